# The one entrance. CI runs the same recipes (.ci/run calls `make test`).
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

CARGO ?= cargo
NPM ?= npm
# Where `make run` keeps its data and listens.
DATA ?= data
LISTEN ?= 127.0.0.1:8080
# More arguments for bench or soak, see klatch bench --help, klatch soak --help.
ARGS ?=
KILLS ?= 50

# cargo's own answer would cost a cargo call per recipe; the default is its default.
TARGET := $(or $(CARGO_TARGET_DIR),target)
WEB_SOURCES := $(shell find web -type f -not -path '*/node_modules/*' -not -path '*/dist/*' \
	-not -path '*/e2e/*' -not -name '*.md' 2>/dev/null)
WEB_MODULES := web/node_modules/.package-lock.json
WEB_DIST := web/dist/index.html

BROWSER := command -v $${CHROMIUM:-chromium} chromium-browser google-chrome | head -n 1

say = @printf '\n==> %s\n' "$(1)"

.PHONY: help
help: ## list the recipes
	@echo 'Usage: make <recipe>'
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- run -------------------------------------------------------------------------------------

.PHONY: run
run: web ## build everything and serve a demo (LISTEN=…, DATA=…)
	$(call say,build the release binary)
	$(CARGO) build --release -p klatch
	$(call say,serve the demo on $(LISTEN) with its data in $(DATA))
	exec $(TARGET)/release/klatch serve --demo --listen $(LISTEN) --data-dir $(DATA)

.PHONY: web
web: ## build the web client if npm is here and its sources are newer than web/dist
	@if ! command -v $(NPM) >/dev/null; then \
	  echo 'npm is not here: the server will say how to build the web client'; \
	elif [ -f web/package.json ]; then $(MAKE) --no-print-directory $(WEB_DIST); fi

$(WEB_MODULES): web/package.json web/package-lock.json
	$(call say,install the web client's packages)
	cd web && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 $(NPM) ci --no-audit --no-fund
	@touch $@

$(WEB_DIST): $(WEB_SOURCES) $(WEB_MODULES)
	$(call say,build the web client)
	cd web && $(NPM) run build
	@touch $@

# --- check -----------------------------------------------------------------------------------

.PHONY: test
test: ## every check, as CI runs it
test: test-tools fmt-check web-lint web-unit web-build lint-rust doc audit test-rust schema-step \
	web-e2e
	$(call say,all checks passed)

.PHONY: check
check: ## type-check the workspace, tests included
	$(call say,check the workspace)
	$(CARGO) check --workspace --all-targets

.PHONY: lint
lint: fmt-check lint-rust web-lint ## formatting, clippy and the web client's linter

.PHONY: fmt
fmt: ## format Rust and the web client
	$(call say,format)
	$(CARGO) fmt --all
	@if [ -f $(WEB_MODULES) ]; then cd web && $(NPM) run format; fi

.PHONY: tidy
tidy: ## the rules of CONTRIBUTING.md that no other tool knows
	$(call say,tidy)
	$(CARGO) run --quiet -p xtask -- tidy

.PHONY: audit
audit: ## licences, banned crates and advisories, by cargo-deny (cargo install cargo-deny)
	$(call say,audit the dependencies)
	@.ci/audit

# What decides, orders and keeps; their own tests and whole servers in virtual time.
COVERED := domain ports protocol command log pump workers fanout query sync
COVERAGE_SEEDS ?= 10

.PHONY: coverage
coverage: ## lines that the core crates' tests reach, by cargo-llvm-cov
	$(call say,coverage of the core crates)
	KLATCH_SEEDS=$(COVERAGE_SEEDS) cargo llvm-cov test $(COVERED:%=-p klatch-%) \
	  -p klatch-simulation --summary-only --ignore-filename-regex \
	  '(/tests/|/tests\.rs|/testing/|/edge/|/node/|/adapters/(memory|embedded)/|rustc)'

.PHONY: doc
doc: ## the Rust documentation, with broken links as errors
	$(call say,document the workspace)
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps

.PHONY: e2e
e2e: web binary ## black-box tests of the built binary, then the browser's
	$(call say,end-to-end tests)
	$(CARGO) test -p klatch-e2e --no-fail-fast
	@$(MAKE) --no-print-directory web-e2e

.PHONY: soak-kill
soak-kill: ## kill the server under load again and again and look for what was lost (KILLS=50)
	$(call say,$(KILLS) kills under load)
	KLATCH_KILLS=$(KILLS) $(CARGO) test -p klatch-e2e --test it \
	  a_server_that_is_killed_again_and_again -- --nocapture

.PHONY: soak
soak: web ## people, kills and the checker for ten minutes (ARGS='--for 1h --kill-every 30s')
	$(call say,build the release binary)
	$(CARGO) build --release -p klatch
	$(call say,soak)
	$(TARGET)/release/klatch soak $(ARGS)

SEEDS ?= 1000
# The seed to begin at, to go on with a run that was ended.
FROM ?= 0

# Our own crates optimised a little, with all assertions: several times as fast.
.PHONY: night
night: ## whole servers in virtual time, SEEDS of them (KLATCH_SEED=7 for one), and many kills
	$(call say,$(SEEDS) seeds of simulated machines)
	KLATCH_SEEDS=$(SEEDS) KLATCH_FROM=$(FROM) CARGO_PROFILE_DEV_OPT_LEVEL=1 \
	  $(CARGO) test -p klatch-simulation --test seeds -- --nocapture
	@if [ -z "$$KLATCH_SEED" ]; then $(MAKE) --no-print-directory soak-kill; fi

.PHONY: schema-test
schema-test: binary ## try the REST interface against its OpenAPI document (Python; a minute)
	$(call say,schemathesis)
	tools/schema/run.sh $(TARGET)/debug/klatch --checks all

.PHONY: bench
bench: web ## load the release binary from a second process and print a report (ARGS=…)
	$(call say,build the release binary)
	$(CARGO) build --release -p klatch
	$(call say,bench)
	$(TARGET)/release/klatch bench $(ARGS)

.PHONY: clean
clean: ## remove what the recipes built; data stays
	$(call say,clean)
	$(CARGO) clean
	rm -rf web/dist web/coverage

# --- the steps of `test` ---------------------------------------------------------------------

.PHONY: fmt-check
fmt-check:
	$(call say,formatting)
	$(CARGO) fmt --all -- --check

.PHONY: lint-rust
lint-rust:
	$(call say,clippy)
	$(CARGO) clippy --workspace --all-targets -- -D warnings

.PHONY: binary
binary:
	$(call say,build the binary that the end-to-end tests drive)
	$(CARGO) build -p klatch

.PHONY: test-rust
test-rust: binary
	$(call say,Rust tests)
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	  $(CARGO) nextest run --workspace --no-fail-fast; \
	  $(CARGO) test --workspace --doc --no-fail-fast; \
	else \
	  $(CARGO) test --workspace --no-fail-fast; \
	fi

# Where there is no Python or no PyPI it says so, and the other checks go on.
.PHONY: schema-step
schema-step: binary
	$(call say,schemathesis)
	SCHEMA_MISSING=0 tools/schema/run.sh $(TARGET)/debug/klatch --checks all

.PHONY: web-lint
web-lint: $(WEB_MODULES)
	$(call say,web client: lint)
	cd web && $(NPM) run lint

.PHONY: web-unit
web-unit: $(WEB_MODULES)
	$(call say,web client: unit tests)
	cd web && $(NPM) test

.PHONY: web-build
web-build: $(WEB_DIST)

.PHONY: web-e2e
web-e2e: $(WEB_MODULES) $(WEB_DIST) binary
	$(call say,web client: browser tests)
	cd web && CHROMIUM=$$($(BROWSER)) $(NPM) run e2e

# What the checks need beyond Rust: node for the web client, and a browser.
.PHONY: test-tools
test-tools:
	$(call say,tools for the checks)
	@.ci/tools
