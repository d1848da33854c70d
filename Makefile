# The two commands a new user needs: `make quickstart` and `make test`.
VENV ?= .venv
PYTHON ?= python3
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed-dev

.PHONY: help quickstart test verify generate clean

help:  ## Say what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 20

$(STAMP): pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

test: $(STAMP)  ## Run the tests (both worlds when KUBEBUILDER_ASSETS names a control plane)
	$(PY) -m pytest

generate: $(STAMP)  ## Write every generated file anew
	$(PY) -m kubetune_api.crdgen

verify: generate  ## Generated files are up to date; lint, types and import contracts hold
	git diff --exit-code -- crds
	$(VENV)/bin/ruff check crds operator trainer tests examples
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
