# `make demo` and `make test` set up what is missing; nothing has to be installed by hand first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

VENV := .venv
BIN := $(VENV)/bin
MEMBERS := schemas $(wildcard shared/*) infra/local $(wildcard services/*)
PACKAGES := $(wildcard schemas/src shared/*/src infra/local/src services/*/src docs/example-sink/src)
READY := $(VENV)/.ready

.PHONY: help setup prerequisites browser demo test test-long mutants check format bench lock clean

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: prerequisites $(READY) ## Install everything into .venv

prerequisites:
	@bash infra/prerequisites.sh

browser:
	@bash infra/prerequisites.sh browser

$(READY): requirements.txt requirements-dev.txt pyproject.toml $(wildcard */pyproject.toml shared/*/pyproject.toml infra/*/pyproject.toml services/*/pyproject.toml)
	python3 -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r infra/uv.txt
	$(BIN)/uv pip sync --quiet --require-hashes requirements.txt requirements-dev.txt
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation $(addprefix -e ./,$(MEMBERS))
	touch $@

demo: setup ## The main job on real servers, followed into three stores (DOCKER=1: in containers; EMBEDDER=triton)
	@$(if $(EMBEDDER),HEADRACE_EMBEDDER=$(EMBEDDER)) $(if $(DOCKER),bash infra/docker-demo.sh,$(BIN)/headrace demo)

# Without it a process that the tests fork may run gRPC's handlers among gRPC's threads, and crash before it starts.
test test-long: export GRPC_ENABLE_FORK_SUPPORT = 0

test: setup browser ## Every test, on real servers that it starts
	$(BIN)/python tests/suite.py

test-long: setup browser ## The full-size fault and property suites as well
	$(BIN)/python tests/suite.py --long

mutants: export GRPC_ENABLE_FORK_SUPPORT = 0

mutants: setup ## Weaken each guarantee in a copy, and show that the tests notice
	PYTHONPATH=tests $(BIN)/python -m mutation $(ARGS)

check: setup ## Lint, format, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(subst $() ,:,$(PACKAGES)) $(BIN)/mypy $(PACKAGES)
	$(BIN)/python infra/import_contracts.py

format: setup ## Format the code, and write the settings page from it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python docs/settings_page.py > $(VENV)/settings.md
	cp $(VENV)/settings.md docs/settings.md

bench: setup ## Ratios against raw clients, side by side in one run
	$(BIN)/python -m benchmarks

COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --custom-compile-command "make lock" \
	$(foreach member,$(MEMBERS),$(member)/pyproject.toml --no-emit-package headrace-$(notdir $(member)))

lock: ## Pin the dependencies with hashes: what runs, and apart from it what only a checkout needs
	$(COMPILE) -o requirements.txt
	$(COMPILE) --group pyproject.toml:dev -c requirements.txt -o requirements-dev.txt \
		$$(sed -nE 's/^([a-z0-9._-]+)==.*/--no-emit-package \1/p' requirements.txt)
	sed -n '/^uv==/,/[^\]$$/p' requirements-dev.txt > infra/uv.txt

clean: ## Stop the servers and remove what was built
	-[ -x $(BIN)/headrace ] && $(BIN)/headrace down
	rm -rf $(VENV) .headrace .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
