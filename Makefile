# `make demo` and `make test` install what is missing; nothing has to be installed by hand.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

VENV := .venv
BIN := $(VENV)/bin
MEMBERS := schemas $(wildcard shared/*) infra/local $(wildcard services/*)
PACKAGES := $(wildcard schemas/src shared/*/src infra/local/src services/*/src docs/example-sink/src)
READY := $(VENV)/.ready
# If the user's environment forbids Python to write bytecode, each start of a process compiles everything it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup prerequisites browser demo test test-long histories chaos mutants mutants-deciders fuzz check check-dashboards format bench bench-freshness lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: prerequisites $(READY) ## Install everything into .venv

prerequisites:
	@bash infra/prerequisites.sh

browser:
	@bash infra/prerequisites.sh browser

$(READY): requirements.txt requirements-dev.txt pyproject.toml $(wildcard */pyproject.toml shared/*/pyproject.toml infra/*/pyproject.toml services/*/pyproject.toml)
	python3 -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r infra/uv.txt
	$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements.txt requirements-dev.txt
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation $(addprefix -e ./,$(MEMBERS))
	touch $@

demo: setup ## Follow a generated catalogue into three stores, on real servers (DOCKER=1: in containers; EMBEDDER=triton)
	@$(if $(EMBEDDER),HEADRACE_EMBEDDER=$(EMBEDDER)) $(if $(DOCKER),bash infra/docker-demo.sh,$(BIN)/headrace demo)

# Otherwise a process that the tests fork may run gRPC's fork handlers beside gRPC's threads, and crash.
test test-long: export GRPC_ENABLE_FORK_SUPPORT = 0

test: setup browser ## Run every test, on real servers that it starts
	$(BIN)/python tests/suite.py

test-long: setup browser ## Run the full-size tests as well
	$(BIN)/python tests/suite.py --long

histories: setup ## Run random histories on real stores, and compare with the model (ARGS="--count 10000 --seed 1")
	@PYTHONPATH=tests $(BIN)/python -m histories $(ARGS)

chaos: setup ## Break everything under a steady stream, and compare with the model (ARGS="--minutes 30 --seed 1")
	@PYTHONPATH=tests $(BIN)/python -m chaos $(ARGS)

mutants mutants-deciders: export GRPC_ENABLE_FORK_SUPPORT = 0

mutants: setup ## Weaken each guarantee in a copy, and show that the tests fail
	PYTHONPATH=tests $(BIN)/python -m mutation $(ARGS)

mutants-deciders: setup ## Mutate every line of the pure functions that decide, with cosmic-ray
	PYTHONPATH=tests $(BIN)/python -m mutation.deciders $(ARGS)

fuzz: setup ## Try hostile records and files, ARGS="--minutes 10"
	PYTHONPATH=tests $(BIN)/python -m fuzz $(ARGS)

check: setup ## Lint, format, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(subst $() ,:,$(PACKAGES)) $(BIN)/mypy $(PACKAGES)
	$(BIN)/python infra/import_contracts.py

check-dashboards: setup ## Run every expression of the dashboards and rules on a running pipeline
	$(BIN)/pytest infra/observability

format: setup ## Format the code, and write the settings page and the dashboards
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python docs/settings_page.py > $(VENV)/settings.md
	cp $(VENV)/settings.md docs/settings.md
	PYTHONPATH=infra/observability $(BIN)/python -m dashboards

bench: setup ## Compare with raw clients, both in one run
	$(BIN)/python -m benchmarks

bench-freshness: setup ## Time until a search finds a change, at half of the capacity (MINUTES=10, RATE=20, PLOT=FILE)
	$(BIN)/python -m benchmarks.freshness $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RATE),--rate $(RATE)) $(if $(PLOT),--plot $(PLOT))

COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --custom-compile-command "make lock" \
	$(foreach member,$(MEMBERS),$(member)/pyproject.toml --no-emit-package headrace-$(notdir $(member)))

lock: ## Pin the dependencies with hashes, those of the packages apart from those of development
	$(COMPILE) -o requirements.txt
	$(COMPILE) --group pyproject.toml:dev -c requirements.txt -o requirements-dev.txt \
		$$(sed -nE 's/^([a-z0-9._-]+)==.*/--no-emit-package \1/p' requirements.txt)
	sed -n '/^uv==/,/[^\]$$/p' requirements-dev.txt > infra/uv.txt

clean: ## Stop the servers and remove everything that was built
	-[ -x $(BIN)/headrace ] && $(BIN)/headrace down
	rm -rf $(VENV) .headrace .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
