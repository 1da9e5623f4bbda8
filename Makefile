# Every command of the project. A bare `make` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
MAINSTAY = $(CARGO) run --quiet --package mainstay --

# The value of a variable that was given to make. What the environment happens to
# hold does not count: some shells export a HOST or NAME that means the machine.
given = $(if $(filter command,$(firstword $(origin $(1)))),$($(1)))
flag = $(if $(call given,$(2)),$(1) $(call given,$(2)))

##@ Use

.PHONY: help
help: ## List the commands
	@awk 'BEGIN { FS = ":.*## " } \
	    /^##@ / { printf "%s\n%s\n", separator, substr($$0, 5); separator = "" } \
	    /^[a-z][a-z-]*:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: ## Build and start the server with demo data (HOST=127.0.0.1 PORT=8080)
	@$(CARGO) run --package mainstay -- serve --demo $(call flag,--host,HOST) $(call flag,--port,PORT)

.PHONY: build
build: ## Build target/debug/mainstay
	$(CARGO) build --package mainstay

.PHONY: release
release: ## Build the optimized target/dist/mainstay that is shipped
	$(CARGO) build --locked --profile dist --package mainstay

##@ Database (DATABASE_URL says which; default: SQLite in the data folder)

.PHONY: upgrade
upgrade: ## Apply the migrations that are pending (TO=VERSION)
	@$(MAINSTAY) migrate up $(call flag,--to,TO)

.PHONY: rollback
rollback: ## Take the last migration back (STEPS=N or TO=VERSION)
	@$(MAINSTAY) migrate down $(call flag,--steps,STEPS) $(call flag,--to,TO)

.PHONY: migration
migration: ## Write an empty migration (APP=library NAME=add_shelves)
	$(if $(and $(call given,APP),$(call given,NAME)),,$(error usage: make migration APP=library NAME=add_shelves))
	@$(MAINSTAY) migrate new $(APP) $(NAME)

##@ Test

.PHONY: test
test: ## Run all tests, on SQLite and on PostgreSQL (installs PostgreSQL if missing)
	@scripts/test

.PHONY: test-quick
test-quick: ## Run the tests that need no service: everything on SQLite
	@scripts/test quick

.PHONY: schemathesis
schemathesis: ## Fuzz the running server's API from its OpenAPI document
	@scripts/schemathesis $(ARGS)

.PHONY: bench
bench: ## Measure throughput and latency beside a bare axum server (ARGS=…)
	@scripts/bench $(ARGS)

.PHONY: clean-services
clean-services: ## Stop and remove services that an interrupted test run left behind
	@scripts/services clean

##@ Source

.PHONY: check
check: check-format lint check-docs check-dependencies check-generated ## Everything that must hold before a merge, except the tests

.PHONY: format
format: tools ## Format the source
	$(CARGO) fmt --all

.PHONY: check-format
check-format: tools ## Fail on unformatted source
	$(CARGO) fmt --all --check

.PHONY: lint
lint: tools ## Run clippy on all targets, warnings as errors
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

.PHONY: check-docs
check-docs: ## Build the API documentation, warnings as errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

.PHONY: check-dependencies
check-dependencies: ## Who may use whom; licences; forbidden crates
	$(CARGO) test --quiet --locked --package mainstay-e2e --test architecture

.PHONY: check-generated
check-generated: ## Fail when a generated page of docs/ is out of date
	@scripts/generated --check

.PHONY: docs
docs: ## Regenerate the pages of docs/ that come from the source
	@scripts/generated

# A toolchain of rustup's minimal profile has neither of them.
.PHONY: tools
tools:
	@$(CARGO) fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@$(CARGO) clippy --version >/dev/null 2>&1 || rustup component add clippy
