# Every target sets up what it needs. Run `make` to list them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
WORKERS ?= 5          # processes that run tests; on two cores most of them always wait for something
ARGS ?=               # handed on to the command of a target: make bench ARGS=--quick

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CODE := streams deploy tests benchmarks

# Without kept bytecode each worker that is started compiles all that it imports: two seconds of CPU instead of one.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: setup
setup: $(READY) ## Make the virtual environment from the locked requirements

# uv comes by pip, pinned like everything else. pyproject.toml counts too: it names the command and the transport.
$(READY): requirements/uv.txt requirements/build.txt requirements/test.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
	  echo "Logflume needs Python 3.11 to 3.13; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments. On Debian: sudo apt-get install -y python3-venv"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	$(BIN)/python -m pip install -q --require-hashes -r requirements/uv.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --require-hashes -r requirements/test.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --no-deps --build-constraints requirements/build.txt -e .
	@touch $(READY)

.PHONY: tools
tools:
	@command -v java >/dev/null && command -v mvn >/dev/null || { \
	  echo "The local Kafka needs Java and Maven. On Debian: sudo apt-get install -y maven"; exit 2; }

.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { \
	  echo "The tests of the page need Chromium. On Debian: sudo apt-get install -y chromium"; exit 2; }

.PHONY: prometheus
prometheus:
	@command -v prometheus >/dev/null && command -v promtool >/dev/null || { \
	  echo "The tests of alerts need Prometheus. On Debian: sudo apt-get install -y prometheus"; exit 2; }

STATIC := types format lint layers spelling   # what needs no test to run

.PHONY: check
check: $(READY) ## Format, lint, types, layers, spelling, unit tests: about a minute
	@$(MAKE) -j2 --output-sync=target unit $(STATIC)

.PHONY: static
static: $(READY) ## The same without the unit tests, for who runs all tests anyway
	@$(MAKE) -j2 --output-sync=target $(STATIC)

.PHONY: $(STATIC) unit
format: $(READY)
	$(BIN)/ruff format --check $(CODE)
lint: $(READY)
	$(BIN)/ruff check $(CODE)
types: $(READY)
	$(BIN)/mypy
layers: $(READY)
	$(BIN)/lint-imports --no-cache
spelling: $(READY)
	$(BIN)/codespell
unit: $(READY)
	$(BIN)/pytest -q -n logical tests/unit

.PHONY: fix
fix: $(READY) ## Format, and repair what the linter can
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

.PHONY: test
test: $(READY) tools chromium prometheus ## All tests, with real Kafka, S3, Prometheus and Chromium: about 15 minutes on two cores
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

.PHONY: seconds
seconds: $(READY) tools chromium prometheus ## Run all tests, and note how long each file takes: the next runs are dealt by that
	$(BIN)/pytest -n $(WORKERS) --dist worksteal --junitxml build/tests.xml $(ARGS)
	$(BIN)/python -m tests.support.order build/tests.xml

.PHONY: demo
demo: $(READY) tools ## The main job on this machine: send, sort, store, count, ask
	$(BIN)/logflume demo $(ARGS)

.PHONY: bench
bench: $(READY) tools ## Measure speed, CPU and memory; writes build/bench.json
	$(BIN)/python -m benchmarks.bench $(ARGS)

.PHONY: soak
soak: $(READY) tools ## Kill each stage a hundred times under load (prints the seed that replays it); long random schedules; all fault tests by commands as users start them; all drills, small
	LOGFLUME_TEST_TIMES=20 LOGFLUME_TEST_KILLS=100 $(BIN)/pytest -s tests/faults/test_kills.py $(ARGS)
	LOGFLUME_TEST_TIMES=20 $(BIN)/pytest -n $(WORKERS) --timeout 7200 tests/property tests/faults tests/e2e/test_drills.py $(ARGS)

.PHONY: drills
drills: $(READY) tools ## Every drill at its real size, about half an hour; writes docs/drills.md and build/drills
	$(BIN)/python -m benchmarks.drills $(ARGS)

.PHONY: mutate
mutate: $(READY) tools ## Take each rule of exactly-once out in turn, and see its test fail
	$(BIN)/python tests/mutations/run.py $(ARGS)

.PHONY: docs
docs: $(READY) ## Generate the pages in docs/ that come from code
	$(BIN)/python -m tests.support.pages

.PHONY: dashboards
dashboards: $(READY) ## Generate Grafana's dashboards from deploy/grafana/*.py
	$(BIN)/python -m deploy.grafana

.PHONY: pictures
pictures: $(READY) tools chromium prometheus ## Make the pictures of the page and of the dashboards in docs/pictures
	$(BIN)/python -m tests.browser.pictures
	$(BIN)/python -m tests.alerts.pictures

.PHONY: lock
lock: $(READY) ## Lock the requirements again, at the newest versions that pyproject.toml allows
	cd requirements && ./lock

.PHONY: clean
clean: ## Remove what was built; the environment and the caches stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find streams deploy tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
