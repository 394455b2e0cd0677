# Everything that a developer does here. `make` without a target lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-slow test-cluster lint format lock compile golden images bench clean

# The first Python 3.11 on the PATH; `make PYTHON=/path/to/python3.11 setup` says another.
PYTHON ?= $(shell for p in python3.11 python3 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && { command -v "$$p"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
LOCKS := requirements
# Each pipeline step is a fresh process: without cached bytecode every one would compile its imports again.
unexport PYTHONDONTWRITEBYTECODE
# The certificates that the system trusts, a company's own among them, as pip and git use them.
export UV_SYSTEM_CERTS ?= true
# An environment of the caller's must not be the one that uv installs into.
unexport VIRTUAL_ENV CONDA_PREFIX
# In a terminal uv shows what it downloads; elsewhere it says nothing unless it fails.
QUIET := $(if $(MAKE_TERMERR),,--quiet)
INSTALL := $(UV) pip install $(QUIET) --python $(BIN)/python --no-deps --build-constraints $(LOCKS)/build.txt
COMPILE := >/dev/null $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock"

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.dev ## Make .venv with everything that the demo and the tests need

demo: $(VENV)/.laptop ## From raw flights to a canaried model: set up, train, serve, roll out, roll back
	$(BIN)/fairlead demo

test: lint ## Lint, types, import rules and the default tests
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-slow: $(VENV)/.dev ## The tests that take minutes
	$(BIN)/pytest -m "slow and not cluster and not gpu" $(PYTEST_ARGS)

test-cluster: $(VENV)/.dev ## The tests that need a cluster (KUBECONFIG)
	$(BIN)/pytest -m "cluster and not slow" $(PYTEST_ARGS)

lint: $(VENV)/.dev ## ruff, mypy --strict, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev ## Let ruff mend and format the tree
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(UV) ## Regenerate every lock; UPGRADE=--upgrade takes the newest versions
	$(COMPILE) $(UPGRADE) requirements/uv.in -o $(LOCKS)/uv.lock
	$(COMPILE) $(UPGRADE) setup.py --extra laptop -o $(LOCKS)/laptop.lock
	$(COMPILE) $(UPGRADE) setup.py requirements/dev.in --extra laptop -c $(LOCKS)/laptop.lock -o $(LOCKS)/dev.lock
	$(COMPILE) setup.py -c $(LOCKS)/laptop.lock -o $(LOCKS)/base.lock
	$(COMPILE) $(UPGRADE) images/sbom.in -o images/sbom.lock
	$(COMPILE) $(UPGRADE) images/mlflow/requirements.in -o images/mlflow/requirements.lock
	for extra in base-runtime training serving; do \
		$(COMPILE) setup.py --extra $$extra -c $(LOCKS)/laptop.lock -o $(LOCKS)/$$extra.lock; done

compile: $(VENV)/.laptop ## Compile the pipelines into pipelines/fairlead_pipelines/compiled
	$(BIN)/fairlead compile

golden: $(VENV)/.dev ## Compile them and regenerate the golden files of the tests
	$(BIN)/pytest tests/golden --regenerate-golden

images: ## Build the container images; REGISTRY=… pushes them, TOOL=podman builds with it, RUNTIMES="base serving" some
	@$(PYTHON) images/build.py $(RUNTIMES) --registry "$(REGISTRY)" --tool "$(TOOL)" $(IMAGES_ARGS)

bench: $(VENV)/.dev ## Run every benchmark
	for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file; done

clean: ## Stop what serves and remove .venv, caches and build output (.fairlead stays)
	if [ -x $(BIN)/fairlead ] && [ -d .fairlead ]; then $(BIN)/fairlead down || true; fi
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# uv itself comes by pip, into the environment that it then fills.
$(UV): $(LOCKS)/uv.lock
	@if [ -z "$(PYTHON)" ]; then \
		echo "fairlead needs Python 3.11 and the PATH has none. Install it (Debian: apt install python3.11-venv;" \
			"macOS: brew install python@3.11), or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; fi
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCKS)/uv.lock
	@touch $@

# A stamp for each set of packages: the second `make` has nothing to do. The environment of the developer holds that
# of the laptop in the same versions, so making the one makes the other.
$(VENV)/.laptop: $(UV) $(LOCKS)/laptop.lock $(LOCKS)/build.txt setup.py pyproject.toml
	@echo "Installing fairlead[laptop] from $(LOCKS)/laptop.lock (torch brings CUDA on Linux: about 3 GB, once)"
	@$(INSTALL) --require-hashes -r $(LOCKS)/laptop.lock
	@$(INSTALL) --editable .
	@$(BIN)/python -m fairlead_pipelines.precompile
	@touch $@

$(VENV)/.dev: $(VENV)/.laptop $(LOCKS)/dev.lock
	@echo "Installing the tools of $(LOCKS)/dev.lock"
	@$(INSTALL) --require-hashes -r $(LOCKS)/dev.lock
	@touch $@
