#!/bin/bash
# Builds Kubernetes, helm and CoreDNS once a machine, and prints the folder that holds them.
#
#   tests/kubernetes/build.sh [testbed|helm|coredns]...     without arguments: all of them
#
# On two cores the first time takes about 9, 3 and 5 minutes; after that only this prints. The folder is outside of
# the tree, ${HGOP_CACHE:-~/.cache/hg-operator}/kubernetes-HASH, where HASH stands for the sources and the versions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

KUBERNETES=1.36.3
HELM=v4.2.4
COREDNS=v1.15.0

cache=${HGOP_CACHE:-$HOME/.cache/hg-operator}
hash=$(find . \( -name '*.go' ! -name '*_test.go' -o -name go.mod -o -name go.sum -o -name build.sh \) -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
folder=$cache/kubernetes-$hash
parts=("$@")
[ $# -gt 0 ] || parts=(testbed helm coredns)

missing=()
for part in "${parts[@]}"; do
    [ -x "$folder/$part" ] || missing+=("$part")
done
if [ ${#missing[@]} -eq 0 ]; then
    # Not to be taken for an old one below.
    touch "$folder"
    echo "$folder"
    exit
fi
if ! command -v go > /dev/null; then
    echo "build.sh: Go is missing; install the version that tests/kubernetes/go.mod names" >&2
    exit 1
fi
mkdir -p "$folder"
# Two at once would only slow each other down.
exec {lock}> "$cache/build.lock"
flock "$lock"
export CGO_ENABLED=0 GOTOOLCHAIN=local
export GOFLAGS=-trimpath

# Go names each package that it has compiled; whoever waits wants to see that it goes on.
counted() {
    local line packages=0
    while IFS= read -r line; do
        if [[ $line =~ [[:space:]:#] ]]; then
            echo "$line" >&2
        elif [ $((++packages % 200)) -eq 0 ]; then
            echo "  $1: $packages packages compiled, $SECONDS s" >&2
        fi
    done
}

build_testbed() {
    local version=k8s.io/component-base/version
    go build -v -o "$folder/testbed.new" -ldflags "-s -w -X $version.gitVersion=v$KUBERNETES -X $version.gitMajor=1 \
        -X $version.gitMinor=36 -X k8s.io/client-go/pkg/version.gitVersion=v$KUBERNETES" . 2>&1 | counted testbed
    go build -o "$folder/pause" -ldflags "-s -w" ./pause
    ln -sf testbed "$folder/kubectl"
    mv "$folder/testbed.new" "$folder/testbed"
}

# The version has a folder of its own, for it does not change with our sources.
install_module() {
    local name=$1 package=$2 version=$3
    local own=$cache/$name-$version
    if [ ! -x "$own/$name" ]; then
        GOBIN=$own go install -v -ldflags "-s -w" "$package@$version" 2>&1 | counted "$name"
    fi
    ln -sf "../$name-$version/$name" "$folder/$name"
}

for part in "${missing[@]}"; do
    [ ! -x "$folder/$part" ] || continue
    SECONDS=0
    echo "building $part, once" >&2
    case $part in
        testbed) build_testbed ;;
        helm) install_module helm helm.sh/helm/v4/cmd/helm $HELM ;;
        coredns) install_module coredns github.com/coredns/coredns $COREDNS ;;
        *) echo "build.sh: no such part: $part" >&2; exit 1 ;;
    esac
    echo "built $part in $SECONDS s" >&2
done
# What was made from sources of a week ago is not asked for again.
find "$cache" -mindepth 1 -maxdepth 1 -name 'kubernetes-*' -mtime +7 -exec rm -rf {} +
echo "$folder"
