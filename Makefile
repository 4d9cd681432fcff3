# Crossfade's commands; `make` alone lists them. All of them need Rust, Python 3.10 or later and make, and
# set up what else is missing. What runs the local AWS needs Linux.
#
# What takes time is compiling, and there are four kinds of it: the functions as they are deployed
# (release, with zig as the linker so that they run on Amazon Linux), the test programs
# (dev), clippy (metadata only), and what `make demo` and `make local` run (demo). Nothing can be shared between them, so each is made cheap:
# - All functions are compiled by one `cargo lambda build`: 6 minutes of CPU time. Left to itself
#   `sam build` calls cargo once for each function, one after the other, with one core while it
#   links: 11 minutes. After this it finds everything compiled, and only copies, in 5 seconds.
# - `sam build` is then left out when neither the binaries nor the template have changed.
# - The sample function that tests release is an ordinary release build: it only runs here.
# - Test programs have no debug information of dependencies (see Cargo.toml), and cargo always
#   builds them for the whole workspace: with `-p` it would choose other features, and compile the
#   AWS SDK a second time. That is why the suites' programs are built by `cargo test`, as the end-to-end
#   suite's siblings, and the command line for the tests as the sibling of its own.

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

# Where dependencies lie on this machine is in the messages of their panics: with a name in the place of Cargo's
# folder, the functions are the same wherever they are compiled.
REPRODUCIBLY := RUSTFLAGS="$(strip $(RUSTFLAGS) --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo)"

# SAM's word for this machine, and cargo-lambda's option where it is not its default.
ARCHITECTURE := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)
LAMBDA_OPTIONS := $(if $(filter arm64,$(ARCHITECTURE)),--arm64)
BUILT := .aws-sam/build/template.yaml
STAMP := $(TARGET)/sam-build.sha256
# The first time takes minutes, in which something should be seen.
QUIETLY := $(if $(wildcard $(STAMP)),--quiet)
SHA256 := $(if $(shell command -v sha256sum),sha256sum,shasum -a 256)
FINGERPRINT = $(SHA256) $(TARGET)/lambda/*/bootstrap template.yaml statemachine/*.json samconfig.toml; echo $(ARCHITECTURE)

.PHONY: help
help: ## this list
	@awk -F ': .*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## check what must be there, and make .venv: enough to deploy, on macOS too
	@PATH="$(SYSTEM_PATH)" tests/setup.sh "$(VENV)"

.PHONY: linux
linux:
	@PATH="$(SYSTEM_PATH)" tests/setup.sh "$(VENV)" local

.PHONY: browser
browser:
	@PATH="$(SYSTEM_PATH)" tests/setup.sh "$(VENV)" browser

.PHONY: functions
functions: setup
	@$(REPRODUCIBLY) cargo lambda build $(QUIETLY) --release --bins $(LAMBDA_OPTIONS)
	@if ! { [ -f $(BUILT) ] && cmp -s <($(FINGERPRINT)) $(STAMP); }; then \
		rm -f $(STAMP); \
		$(REPRODUCIBLY) $(SAM) build --parameter-overrides Architecture=$(ARCHITECTURE) TargetFunctionPrefix=demo- \
			>$(TARGET)/sam-build.log 2>&1 || { cat $(TARGET)/sam-build.log >&2; exit 1; }; \
		{ $(FINGERPRINT); } >$(STAMP); \
	fi

.PHONY: build
build: functions ## the functions as they are deployed (.aws-sam/build), and the sample to release
	@cargo build $(QUIETLY) --release -p target-function

.PHONY: package
package: setup ## what an installation without Rust needs, for x86_64 and arm64 (dist): docs/installing.md
	@$(REPRODUCIBLY) $(VENV)/bin/python packaging/package.py

.PHONY: programs
programs: linux build
	@cargo test $(QUIETLY) --workspace --test e2e --test cli --no-run

.PHONY: cli
cli: ## the command line, as it is used (target/release/crossfade)
	@cargo build --release -p crossfade-cli

# The demo's own way: the handlers, the sample and the demo are compiled once, quickly and for this machine only, so that
# the SDK is as well, and put into the real template. With packages in `dist` nothing is compiled.
DIST := dist
PACKAGED_STACK := $(DIST)/crossfade-stack-$(ARCHITECTURE)
PACKAGED_DEMO := $(DIST)/crossfade-demo-$(ARCHITECTURE)
PACKAGED := $(and $(wildcard $(PACKAGED_STACK)/template.yaml),$(wildcard $(PACKAGED_DEMO)/demo))
DEMO := $(if $(PACKAGED),$(PACKAGED_DEMO),$(TARGET)/demo)
DEMO_STACK := $(if $(PACKAGED),$(PACKAGED_STACK),$(TARGET)/demo/dist/crossfade-stack-$(ARCHITECTURE))
HANDLERS := $(patsubst functions/%/Cargo.toml,%,$(wildcard functions/*/Cargo.toml))
DEMO_BINS := demo target-function $(HANDLERS)
DEMO_RUN = CROSSFADE_REPOSITORY="$(CURDIR)" CROSSFADE_SAMPLE="$(abspath $(DEMO)/target-function)" \
	CROSSFADE_TEMPLATE="$(abspath $(DEMO_STACK)/template.yaml)" $(DEMO)/demo

.PHONY: demo-programs
demo-programs:
ifdef PACKAGED
	@PATH="$(SYSTEM_PATH)" tests/setup.sh "$(VENV)" packaged
	@echo "demo: with the packages in $(DIST): nothing is compiled (make demo DIST= compiles)"
else
	@echo "demo: 1 of 3: what it needs beside Rust"
	@PATH="$(SYSTEM_PATH)" tests/setup.sh "$(VENV)" local
	@echo "demo: 2 of 3: compiling $(COMPILED): minutes the first time"
	@cargo build --locked --profile demo $(DEMO_CLI) -p crossfade-cli -p crossfade-tests -p target-function $(HANDLERS:%=-p %) $(DEMO_BINS:%=--bin %)
	@$(VENV)/bin/python packaging/package.py demo
	@echo "demo: 3 of 3: $(SHOWN)"
endif

.PHONY: demo
demo: COMPILED := the handlers, the sample and the demo
demo: SHOWN := three releases
demo: demo-programs ## a good, a bad and a subtly bad version released on a local AWS, under live traffic
	@$(DEMO_RUN)

.PHONY: local
local: COMPILED := the handlers, the sample, the demo and the command line
local: SHOWN := the local AWS
local: DEMO_CLI := --bin crossfade
local: demo-programs ## the local AWS with Crossfade deployed, until Ctrl-C (PORT=4566 WAIT_SCALE=0.1 PREFIX=chat-)
	@$(DEMO_RUN) local $(if $(PORT),--port $(PORT)) $(if $(WAIT_SCALE),--wait-scale $(WAIT_SCALE)) $(if $(PREFIX),--prefix $(PREFIX))

.PHONY: train
train: programs ## fifty functions as one release, where Lambda throttles; then one of them is bad
	@$(TARGET)/debug/train

.PHONY: faults
faults: programs ## each AWS call of a release, and each thing that can go wrong at it (FAULTS=100 SEED=1 ONLY='canary/alias')
	@FAULTS="$(FAULTS)" SEED="$(SEED)" ONLY="$(ONLY)" $(TARGET)/debug/faults

# The sample is built to run on AWS, unless an endpoint stands in for it.
SAMPLE := $(TARGET)/sample/target-function/bootstrap
.PHONY: aws
aws: programs ## a run in your own AWS account, under a dollar; asks first (YES=1 REGION=eu-west-1 PARTS=releases CLEAN=1): docs/AWS-RUN.md
ifndef AWS_ENDPOINT_URL
	@$(REPRODUCIBLY) cargo lambda build $(QUIETLY) --release -p target-function $(LAMBDA_OPTIONS) --lambda-dir $(TARGET)/sample
endif
	@YES="$(YES)" CLEAN="$(CLEAN)" PARTS="$(PARTS)" KMS_KEY="$(KMS_KEY)" $(if $(REGION),AWS_REGION="$(REGION)") \
		$(if $(AWS_ENDPOINT_URL),,CROSSFADE_SAMPLE="$(abspath $(SAMPLE))") $(TARGET)/debug/aws

.PHONY: screens
screens: browser programs ## pictures of the pages and of the demo's timeline, in target/screens: six minutes
	@$(TARGET)/debug/demo screens

# All functions again, and what they are measured against: chosen together, so that cargo finds the
# SDKs compiled with the features that it needs.
.PHONY: floor
floor: build
	@$(REPRODUCIBLY) cargo lambda build $(QUIETLY) --release --bins $(LAMBDA_OPTIONS) --lambda-dir $(TARGET)/bench \
		$(patsubst functions/%/Cargo.toml,-p %,$(wildcard functions/*/Cargo.toml)) -p bench-floor

.PHONY: bench
bench: floor programs ## times, memory, sizes, calls and states, side by side: a minute (ROUNDS=12)
	@$(TARGET)/debug/bench $(ROUNDS)

.PHONY: load
load: programs ## five hundred releases in flight, and all their alarms in one second (MOST=500)
	@$(TARGET)/debug/load $(MOST)

.PHONY: test
test: browser ## everything that CI runs
	@tests/all.sh

.PHONY: lint
lint: setup ## clippy, and the template
	@cargo clippy --workspace --all-targets -- -D warnings
	@$(SAM) validate --lint

.PHONY: sim
sim: ## the judge against the rules of its peers, in worlds with and without a bad green, and the fast lane beside it
	@cargo run --quiet -p crossfade-sim --bin sim -- $(RUNS) $(SEED)
	@cargo run --quiet -p crossfade-sim --bin sim-live -- $(RUNS) $(SEED)

.PHONY: fuzz
fuzz: ## what comes from outside, as a fuzzer makes it up: SECONDS=60 for each of five targets
	@tests/fuzz.sh $(or $(SECONDS),60) $(TARGETS)

.PHONY: mutants
mutants: ## the decisions changed one at a time, and whether a unit test notices: an hour (PARTS="judge check")
	@tests/mutants.sh $(PARTS)

.PHONY: model
model: ## two releases in every order of their writes: all states of the protocol (DEEP=1: for minutes)
	@cargo build --quiet --workspace --bin model
	@$(TARGET)/debug/model $(if $(DEEP),deep)

.PHONY: fmt
fmt: ## format the Rust code
	@cargo fmt --all

.PHONY: schema
schema: ## write statemachine/request.schema.json and events.schema.json anew
	@UPDATE_SCHEMA=1 cargo test --quiet --workspace --test request --test notices schema

.PHONY: integrations
integrations: setup ## write what integrations/ has from the request's schema and from the template anew
	@$(VENV)/bin/python integrations/cdk/generate.py
	@$(VENV)/bin/python integrations/terraform/generate.py

.PHONY: graph
graph: setup ## write the state machines' definitions and pictures anew, from statemachine/definitions.yaml
	@$(VENV)/bin/python statemachine/generate.py --definitions
	@CROSSFADE_WRITE_DOCS=1 cargo test --quiet --workspace --test contract the_pictured_release
	@$(VENV)/bin/python statemachine/generate.py

.PHONY: golden
golden: ## write the notices (shared/tests/golden) anew; look at the difference
	@UPDATE_GOLDEN=1 cargo test --quiet --workspace --test notices golden

.PHONY: docs
docs: ## write what docs/request.md has from the schema and from events/ anew
	@CROSSFADE_WRITE_DOCS=1 cargo test --quiet --workspace --test docs

.PHONY: clean
clean: ## remove all that was made, .venv too
	@cargo clean
	@rm -rf .aws-sam dist $(if $(CROSSFADE_VENV),,.venv)
