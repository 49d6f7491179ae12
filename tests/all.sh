#!/usr/bin/env bash
# All that CI runs, called by `make test`: in phases, and a table of what each took at the end (docs/testing.md).
set -euo pipefail
cd "$(dirname "$0")/.."

logs=$(mktemp -d)
took=()
beside=()

finish() {
	local one
	# What is still running beside a phase that failed.
	for one in "${beside[@]}"; do
		kill -- "-${one%%|*}" 2> /dev/null || true
	done
	rm -rf "$logs"
}
trap finish EXIT

phase() {
	local name=$1 begun=$SECONDS
	shift
	echo "== $name: $*"
	"$@"
	took+=("$name|$((SECONDS - begun))")
}

# Begins a phase beside those that follow; its output is shown by `joined`.
begin() {
	local name=$1 begun=$SECONDS
	shift
	echo "== $name, beside what follows: $*"
	# In a process group of its own.
	set -m
	{
		code=0
		"$@" > "$logs/$name" 2>&1 || code=$?
		echo $((SECONDS - begun)) > "$logs/$name.seconds"
		exit "$code"
	} &
	set +m
	beside+=("$!|$name")
}

# Waits for all that was begun beside others.
joined() {
	local one code failed=0
	for one in "${beside[@]}"; do
		code=0
		wait "${one%%|*}" || code=$?
		echo "== ${one#*|}: ended with $code"
		cat "$logs/${one#*|}"
		took+=("${one#*|} (beside)|$(cat "$logs/${one#*|}.seconds")")
		[ "$code" = 0 ] || failed=1
	done
	beside=()
	return "$failed"
}

python_form() {
	ruff format --check --quiet
	ruff check
}

advisories() {
	if cargo deny --log-level off fetch db; then
		cargo deny --log-level warn check --disable-fetch advisories
	else
		echo "make test: the database of advisories cannot be fetched: nothing was checked against it" >&2
	fi
}

go_tests() {
	local unformatted
	cd tests/kubernetes
	unformatted=$(gofmt -l .)
	[ -z "$unformatted" ] || { echo "gofmt -w $unformatted" >&2; return 1; }
	go vet ./internal/... ./pause
	go test ./internal/...
	# helm and kubectl render the chart. Built once a machine; the tests would build them too, but silently.
	./build.sh helm testbed
}

phase formatting cargo fmt --all --check
phase python-form python_form
phase licences cargo deny --log-level warn check licenses bans sources
phase advisories advisories
begin go go_tests
# One beside the other: they share nothing.
IFS=: read -ra pythons <<< "$HG_PYTHONS"
for python in "${pythons[@]}"; do
	begin "extension-${#beside[@]}" "$python" -m unittest discover -s workloads/mercurial/extension/tests
done
# All targets at once: each choice of packages has features of its own, and everything is compiled again for it. The
# scenarios start a program that nextest does not build.
phase compile cargo build --workspace --all-targets
phase tidy cargo nextest run --workspace -E 'package(tidy)'
phase joined joined
# One more than there are cores: much of what scenarios and operators do is waiting.
phase tests cargo nextest run --workspace --test-threads "$(($(nproc) + 1))"

printf '\n| phase | seconds |\n| --- | --- |\n'
for one in "${took[@]}" "all|$SECONDS"; do
	printf '| %s | %s |\n' "${one%|*}" "${one##*|}"
done
