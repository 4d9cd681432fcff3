# Crossfade's commands; `make` alone lists them. All of them need Linux, Rust, Python 3.10 or later
# and make, and set up what else is missing.
#
# What takes time is compiling, and there are three kinds of it: the functions as they are deployed
# (release, thin LTO, with zig as the linker so that they run on Amazon Linux), the test programs
# (dev), and clippy (metadata only). Nothing can be shared between them, so each is made cheap:
# - All six functions are compiled by one `cargo lambda build`. Left to itself `sam build` calls cargo
#   once for each function, one after the other, and uses one core while it links. After this it
#   finds everything compiled, and only copies.
# - `sam build` is then left out when neither the binaries nor the template have changed.
# - The sample function that tests and demo release is an ordinary release build: it only runs here.
# - Test programs have no debug information of dependencies (see Cargo.toml).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

VENV := $(abspath $(or $(CROSSFADE_VENV),.venv))
SYSTEM_PATH := $(PATH)
export PATH := $(VENV)/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE := 1
export SAM_CLI_TELEMETRY := 0
TARGET := $(or $(CARGO_TARGET_DIR),target)
SAM := $(or $(CROSSFADE_SAM),sam)

# SAM's word for this machine, and cargo-lambda's option where it is not its default.
ARCHITECTURE := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)
LAMBDA_OPTIONS := $(if $(filter arm64,$(ARCHITECTURE)),--arm64)
BUILT := .aws-sam/build/template.yaml
STAMP := $(TARGET)/sam-build.sha256
FINGERPRINT = sha256sum $(TARGET)/lambda/*/bootstrap template.yaml statemachine/*.json samconfig.toml; echo $(ARCHITECTURE)

.PHONY: help
help: ## this list
	@awk -F ': .*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## check what must be there, and make .venv
	@PATH="$(SYSTEM_PATH)" tests/setup.sh "$(VENV)"

.PHONY: functions
functions: setup
	@cargo lambda build --quiet --release --bins $(LAMBDA_OPTIONS)
	@if ! { [ -f $(BUILT) ] && cmp -s <($(FINGERPRINT)) $(STAMP); }; then \
		rm -f $(STAMP); \
		$(SAM) build --parameter-overrides Architecture=$(ARCHITECTURE) TargetFunctionPrefix=demo- \
			>$(TARGET)/sam-build.log 2>&1 || { cat $(TARGET)/sam-build.log >&2; exit 1; }; \
		{ $(FINGERPRINT); } >$(STAMP); \
	fi

.PHONY: build
build: functions ## the functions as they are deployed (.aws-sam/build), and what tests and demo need
	@cargo build --quiet --release -p target-function
	@cargo build --quiet -p crossfade-tests --bins

.PHONY: demo
demo: build ## a good and a bad version released on a local AWS, under live traffic
	@cargo run --quiet -p crossfade-tests --bin demo

.PHONY: local
local: build ## the local AWS with Crossfade deployed, until Ctrl-C (PORT=4566 WAIT_SCALE=0.1)
	@cargo run --quiet -p crossfade-tests --bin demo -- local $(if $(PORT),--port $(PORT)) $(if $(WAIT_SCALE),--wait-scale $(WAIT_SCALE))

.PHONY: test
test: setup ## everything that CI runs
	@tests/all.sh

.PHONY: lint
lint: setup ## clippy, and the template
	@cargo clippy --workspace --all-targets -- -D warnings
	@$(SAM) validate --lint

.PHONY: fmt
fmt: ## format the Rust code
	@cargo fmt --all

.PHONY: schema
schema: ## write statemachine/request.schema.json anew
	@cargo run --quiet -p crossfade --example schema >$(TARGET)/request.schema.json
	@mv $(TARGET)/request.schema.json statemachine/request.schema.json

.PHONY: clean
clean: ## remove all that was made, .venv too
	@cargo clean
	@rm -rf .aws-sam $(if $(CROSSFADE_VENV),,.venv)
