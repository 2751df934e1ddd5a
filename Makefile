# Every task a developer or operator has on a checkout. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python
STATIC := src/opaa/api/static/index.html
WEB_SOURCES := $(shell find web/src web/public web/index.html web/vite.config.ts web/tsconfig.json -type f -not -path '*/generated/*' 2>/dev/null)
API_SOURCES := $(shell find src/opaa/api src/opaa/settings/model.py -name '*.py' 2>/dev/null)

.PHONY: help setup run web test test-fast check bench requirements licenses lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# ── environment ──────────────────────────────────────────────────────────────────────────────────────────────────

$(VENV)/.uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit("OPAA needs Python 3.11 or newer; this is %d.%d. Set PYTHON=…" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/.runtime: $(VENV)/.uv requirements/runtime.txt requirements/build.txt pyproject.toml
	$(UV) --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	$(UV) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	$(UV) --require-hashes -r requirements/dev.txt
	@touch $@

# The bundled embedding model, turned into ONNX once.
$(VENV)/.model: $(VENV)/.runtime $(wildcard src/opaa/llm/*.py)
	$(BIN)/python -c "from opaa.llm.bundled_model import ensure_bundled_model as build; from opaa.settings.model import default_models_dir; print(build(default_models_dir()))"
	@touch $@

# Node comes from a Python package, so that nothing else has to be installed.
web/node_modules/.installed: $(VENV)/.runtime web/package.json web/package-lock.json
	cd web && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(STATIC): web/node_modules/.installed $(WEB_SOURCES) $(API_SOURCES)
	$(BIN)/python -m opaa.api.openapi > web/openapi.json
	cd web && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent build
	@touch $@

web: $(STATIC) ## build the web UI

# What the tests run besides Python packages; on Debian it is installed (and its services not started), elsewhere asked for.
$(VENV)/.system: $(VENV)/.uv
	@missing=""; for program in "$${CHROMIUM:-chromium}" xmlsec1 redis-server; do command -v "$$program" >/dev/null || missing="$$missing $$program"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    trap 'rm -f /usr/sbin/policy-rc.d' EXIT; \
	    [ -e /usr/sbin/policy-rc.d ] && trap - EXIT || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; }; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core xmlsec1 redis-server >/dev/null; \
	  else echo "The tests need$$missing: install them (CHROMIUM names another browser)"; exit 1; fi; fi
	@touch $@

# The certified OpenID provider that the log-in tests talk to.
OIDC_PROVIDER := tests/fakes/oidc_provider
$(OIDC_PROVIDER)/node_modules/.installed: $(VENV)/.runtime $(OIDC_PROVIDER)/package.json $(OIDC_PROVIDER)/package-lock.json
	cd $(OIDC_PROVIDER) && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --no-audit --no-fund --loglevel=error
	@touch $@

setup: $(VENV)/.dev $(VENV)/.model $(VENV)/.system $(OIDC_PROVIDER)/node_modules/.installed $(STATIC) ## install everything that development and the tests need

# ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────

run: $(VENV)/.model $(STATIC) ## run OPAA with the sample documents (PORT, OPAA_DATA_DIR change where)
	@exec $(BIN)/opaa up --sample

# ── checking ─────────────────────────────────────────────────────────────────────────────────────────────────────

test: setup ## run every test
	cd web && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent test
	$(BIN)/python -m pytest

test-fast: $(VENV)/.dev ## run the tests of the inner loop
	$(BIN)/python -m pytest tests/unit -m "not slow"

check: setup ## format, lint, types, layers, licences, requirements, then every test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd web && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent check
	$(MAKE) --no-print-directory licenses requirements
	$(BIN)/python -m pytest

bench: setup ## measure speed and memory; table on screen, JSON in benchmark-results/
	$(BIN)/python -m tests.benchmark

requirements: $(VENV)/.dev ## which test and page proves which requirement
	$(BIN)/python -m tests.requirements_table

licenses: $(VENV)/.dev ## the licences of what is shipped; fails on one that is not allowed
	$(BIN)/python -m tests.licenses

lock: $(VENV)/.uv ## compile the hashed lock files anew
	cd requirements && ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header uv.in -o uv.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra all pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements/runtime.txt --group build -o requirements/build.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements/runtime.txt -c requirements/build.txt --group dev -o requirements/dev.txt

clean: ## remove everything that was built here (not the data folder)
	rm -rf $(VENV) web/node_modules $(OIDC_PROVIDER)/node_modules src/opaa/api/static web/openapi.json web/src/api/generated dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache benchmark-results
