# Every target sets up .venv first, if need be. The README gives the plain command behind each.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
PORT ?= 5000

VENV := .venv
INSTALLED := $(VENV)/.installed
# `python -m TOOL`, not `TOOL`: the scripts in a virtual environment hold its path, and break when the folder moves.
RUN := $(VENV)/bin/python -m

# DVC starts the stages as `python -m ...`: that must be this python.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true

# A copy of the datasets beside the project spares the download.
ifeq ($(origin DATASET_MIRROR), undefined)
ifneq ($(wildcard ../shared/datasets/.),)
export DATASET_MIRROR := $(CURDIR)/../shared/datasets
endif
endif

.PHONY: help setup demo test test-all champions repro report ui bench lint lock clean

help: ## Show this list
	@echo "make TARGET, where TARGET is one of"
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

setup: $(INSTALLED) ## Install the locked packages into .venv; the other targets do it by themselves

demo: $(INSTALLED) ## Run every stage on small embedded data, in a workspace of its own
	@$(RUN) pipeline demo

test: $(INSTALLED) ## Run the quick tests
	@$(RUN) pytest --numprocesses auto -m "not slow"

test-all: $(INSTALLED) ## Run every test, and measure what they cover
	@$(RUN) pytest --numprocesses auto --cov

champions: $(INSTALLED) ## Fetch the selected models from this repository and register them
	@$(RUN) pipeline pull-champions

repro: $(INSTALLED) ## Run the full study: only the stages whose inputs changed
	@$(RUN) pipeline repro

report: $(INSTALLED) ## Put the results that are here together in pages that open from the disk: site/index.html
	@$(RUN) dvc repro --single-item report
	@echo "The report: file://$(CURDIR)/site/index.html"

ui: $(INSTALLED) ## Serve the MLflow UI to this machine: http://127.0.0.1:5000, or another PORT=...; DEMO=1: of the demo
	@case "$${MLFLOW_TRACKING_URI:-}" in http*) \
		echo "MLFLOW_TRACKING_URI is a server, which has a UI of its own: $$MLFLOW_TRACKING_URI"; exit;; esac; \
	$(RUN) mlflow ui --host 127.0.0.1 --port $(PORT) --workers 1 \
		--backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///$(if $(DEMO),.demo/)mlflow.db}"

bench: $(INSTALLED) ## Time the engines against plain Keras, and the pipeline: two hours on two cores
	@$(RUN) dvc repro prepare fetch_weights
	@$(RUN) benchmarks

lint: $(INSTALLED) ## Check style, format and types
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy

lock: $(INSTALLED) ## Write requirements.lock anew from pyproject.toml; UPGRADE=1 takes newer versions
	@$(RUN) uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) --quiet --output-file requirements.lock
	@echo "requirements.lock is up to date. Run the tests before you commit it."

clean: ## Remove the caches of the tools; data, models, results and .venv stay
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*
	@find pipeline tests -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment whose python has gone is made anew; one that was only half filled is completed.
$(INSTALLED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
		echo "error: $(PYTHON) is not Python 3.11, 3.12 or 3.13, which the locked packages need." \
			"Install one and name it: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12" >&2; \
		exit 1; }
	@$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock >$(VENV)/uv.txt
	@PIP_USER=0 $(RUN) pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@$(RUN) uv pip sync --python $(VENV)/bin/python --require-hashes --compile-bytecode requirements.lock
	@touch $@
