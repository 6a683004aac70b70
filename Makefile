# Everything that a person or CI runs. It installs what it needs: by apt what the machine lacks, by cargo the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-s3 bench-audio bench-archive fuzz check fmt fmt-check clippy doc deny setup setup-build setup-fuzz setup-test \
	setup-rust clean

# More for the command: make demo ARGS="--http 127.0.0.1:9000", make test ARGS=isolation
ARGS ?=
CARGO ?= cargo

help: ## show this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup-build ## build and serve an archive that fills with real sample recordings, in ./demo-data
	@exec $(CARGO) run --locked -- demo $(ARGS)

test: setup-build setup-test ## run every test, on SQLite and on a PostgreSQL and an S3 server that it starts
	@tests/services/postgres run tests/services/s3 run $(CARGO) test --workspace --locked --no-fail-fast $(ARGS)

test-s3: setup-build ## run the store suite against the server that FONOTECA_TEST_S3 names: a Garage, a MinIO
	@tests/services/s3 run $(CARGO) test --locked -p archive -- s3_of_another_make stores::tests:: $(ARGS)

test-all: setup-build setup-test ## run also what takes minutes and 15 GB: how statements go about ten million recordings
	@FONOTECA_TEST_AS_MANY_AS_A_PLATFORM_KEEPS=1 \
		tests/services/postgres run tests/services/s3 run $(CARGO) test --workspace --locked --no-fail-fast $(ARGS)

bench-audio: setup-build ## what transcoding costs and how it sounds (ARGS=FILES, ARGS=memory or ARGS=sound)
	@python=""; if [ "$(firstword $(ARGS))" = sound ]; then python=$$(.ci/pesq); fi; \
	FONOTECA_PESQ="$${python:+$$python audio/examples/bench/listener.py}" \
		$(CARGO) run --locked --release -p audio --example bench -- $(ARGS)

bench-archive: setup-build setup-test ## archiving beside bare writing, and searches, as the archive grows (ARGS="ingest N", ARGS="search N")
	@tests/services/postgres measure $(CARGO) run --locked --release -p archive --features testing --example bench -- $(ARGS)

fuzz: setup-build setup-fuzz ## try decoders and encoders with broken and random files (ARGS="SECONDS TARGET...", 10 s each)
	@.ci/fuzz $(ARGS)

check: fmt-check clippy doc deny test ## all that must hold before a commit: format, lints, docs, dependencies, tests

fmt: setup-rust ## format the code
	@$(CARGO) fmt --all
	@$(CARGO) fmt --manifest-path audio/fuzz/Cargo.toml

fmt-check: setup-rust
	@$(CARGO) fmt --all --check
	@$(CARGO) fmt --manifest-path audio/fuzz/Cargo.toml --check

clippy: setup-rust setup-build setup-fuzz ## lint the code
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@$(CARGO) clippy --manifest-path audio/fuzz/Cargo.toml --target-dir target --all-targets --locked -- -D warnings

doc: export RUSTDOCFLAGS = -D warnings
doc: setup-build ## build the documentation of our crates
	@$(CARGO) doc --workspace --no-deps --locked

deny: setup-build ## check licences, sources and banned crates of the dependencies
	@.ci/deny

setup: setup-rust setup-build setup-test ## install what building and testing need, if it is missing

setup-build:
	@.ci/packages build

setup-fuzz:
	@.ci/packages fuzz

setup-test:
	@.ci/packages test

# A minimal toolchain comes without these two.
setup-rust:
	@for component in rustfmt clippy; do \
		$(CARGO) "$${component/rust/}" --version >/dev/null 2>&1 || rustup component add $$component; \
	done

clean: ## remove what was built and what the demo kept
	@$(CARGO) clean
	@rm -rf demo-data
