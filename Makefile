# One vocabulary for developers and CI. `make` alone lists it.

.DEFAULT_GOAL := help
.PHONY: help install test test-fast chaos test-services test-feast-suite plan apply deploy demo down bench bench-decisions bench-growth lint docs format clean
SHELL := /bin/bash

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# Python's bytecode is compiled once, at install; where this is set, every start would compile everything again.
unexport PYTHONDONTWRITEBYTECODE
# A thread that waits for a busy core must sleep: spinning makes a fit up to ten times slower.
export OMP_WAIT_POLICY := PASSIVE

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

install: $(STAMP) ## Make .venv from the lock file, byte-compiled; does nothing when it is up to date

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "Perennial needs Python 3.11, 3.12 or 3.13; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)."; \
	  echo "Fix: make $(firstword $(MAKECMDGOALS)) PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { \
	  echo "Fix: python3 lacks venv; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

test: install ## Run the tests that need nothing but the lock file
	$(BIN)/pytest -n 3 --no-loadscope-reorder -m "not services and not chaos"

test-fast: install ## Run the unit tests that start no server or process, properties on few examples, in two minutes
	$(BIN)/pytest -n 2 --no-loadscope-reorder --fast -m "not stores and not services and not chaos and not end_to_end"

chaos: install ## Break everything around the pipelines; then kill workers 200 times at random (SEED=7: there again)
	$(BIN)/pytest -m chaos tests/chaos
	$(BIN)/python tests/chaos/run.py --kills 200 $(if $(SEED),--seed $(SEED))

test-services: install ## Run the tests that need Debian's redis-server, postgresql, docker-compose, chromium, nginx, wrk and prometheus
	@missing=""; for program in redis-server docker-compose chromium wrk prometheus prometheus-alertmanager; do \
	  command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$$missing postgresql"; \
	test -x /usr/sbin/nginx || missing="$$missing nginx-light"; \
	test -z "$$missing" || { echo "These tests need$$missing. Fix: apt-get install -y$$missing"; exit 1; }
	$(BIN)/pytest -n 2 --no-loadscope-reorder -m services

test-feast-suite: install ## Run Feast's own tests of offline stores: FEAST_CHECKOUT=/path/to/feast
	@test -n "$(FEAST_CHECKOUT)" || { echo "Fix: make $@ FEAST_CHECKOUT=/path/to/a/checkout/of/feast-dev/feast"; exit 1; }
	$(BIN)/python tests/feast_suite/run.py $(FEAST_CHECKOUT)

plan: install ## Show what a change to features would do (OUT=plan.md: as Markdown, into that file)
	$(BIN)/perennial plan $(if $(OUT),--markdown > $(OUT))

apply: install ## Register changed features and compute them; shows the plan and asks (YES=1: does not ask)
	$(BIN)/perennial apply $(if $(YES),--yes)

deploy: install ## Bring this commit's feature definitions to an environment: TO=staging (YES=1: does not ask)
	@test -n "$(TO)" || { echo "Fix: make $@ TO=staging"; exit 1; }
	$(BIN)/perennial deploy --to $(TO) $(if $(YES),--yes)

demo: install ## Start everything, replay the flights of 2013, show each month, ask the champion and a shadow
	$(BIN)/perennial up
	$(BIN)/perennial replay flights --from 2013-01 --to 2013-12
	$(BIN)/perennial trigger flights rollout --wait \
	  --param action=begin --param reason="Would the champion before have done as well?"
	$(BIN)/perennial ask flights --from 2013-12-29 --to 2014-01-01
	$(BIN)/perennial ahead flights 2013-12
	$(BIN)/perennial login

down: ## Stop what `make demo` started
	@if test -x $(BIN)/perennial; then $(BIN)/perennial down; else echo "Nothing is installed, so nothing runs."; fi

bench: install ## Measure the performance claims, each beside a bare script that does the same computing
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/materialization.py
	$(BIN)/python benchmarks/pages.py

bench-decisions: install ## Measure how often gate and drift alarms err, and how fast rows are validated and counted
	$(BIN)/python benchmarks/gate.py
	$(BIN)/python benchmarks/drift.py
	$(BIN)/python benchmarks/validation.py

bench-growth: install ## Measure what ten times the data costs
	$(BIN)/python benchmarks/growth.py

lint: install ## Check style, docstrings, layers and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

docs: install ## Write the pages of docs/ that come from the code again
	$(BIN)/python -m perennial.reference docs

format: install ## Fix what can be fixed automatically
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: down ## Stop everything and delete all that was generated: environment, caches and data
	rm -rf .venv .perennial .pytest_cache .mypy_cache .ruff_cache .hypothesis
