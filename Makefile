# Every command of a contributor. `make` alone lists them. Nothing has to be installed or activated
# first: what a command needs is installed into .venv when pyproject.toml or constraints.txt changes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEFINITION := pyproject.toml constraints.txt
SERVER := $(VENV)/.installed-server
TEST := $(VENV)/.installed-test

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test format lint type imports schemas check fuzz chaos bench

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(SERVER) ## Run a whole rehearsal in one process: no server needed
	$(BIN)/rdg demo

test: $(TEST) ## Run all tests (RabbitMQ's are skipped where it is not installed)
	$(BIN)/python -m pytest

format: $(TEST) ## Put the code into its one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: $(TEST) ## Check rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(TEST) ## Check types
	$(BIN)/mypy

imports: $(TEST) ## Check that packages import only what lies below them
	$(BIN)/lint-imports

schemas: $(TEST) ## Write docs/formats again from the message types
	$(BIN)/python -m workers.contract

check: lint type imports test ## Check everything that CI checks

fuzz: $(TEST) ## Give the readers of outside bytes ten million odd inputs (make fuzz RUNS=30000: a minute)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[server,test,fuzz]'
	$(BIN)/python -m tests.fuzz $(if $(RUNS),--runs $(RUNS))

chaos: $(TEST) ## Run 300 jobs under 1,000 faults (45 minutes; make chaos SEED=7 JOBS=30 FAULTS=100: less)
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS)) $(if $(FAULTS),--faults $(FAULTS))

bench: $(TEST) ## Measure the bus, the design and learning's main table (an hour; docs/benchmarks.md names the rest)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[server,test,bench]'
	for each in bus sealing paper_design scale rehearsal; do $(BIN)/python -m benchmarks.$$each || exit 1; done

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or later is needed; '$(PYTHON)' is not. Try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)

$(SERVER): $(DEFINITION) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[server]'
	@touch $@

$(TEST): $(DEFINITION) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[server,test]'
	@touch $@ $(SERVER)
