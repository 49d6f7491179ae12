#!/bin/bash
# Our one image as an archive that `ctr images import` (or `skopeo copy oci-archive:`) takes. No registry and no
# Docker.
#
#   images/hg-operator/build.sh localhost/hg-operator:dev image.tar target/debug/hgd target/debug/hg-operator
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
name=$1 archive=$2
shift 2

root=$("$here/root.sh")
testbed=$("$here/../../tests/kubernetes/build.sh" testbed)/testbed
mkdir -p "$(dirname "$archive")"
stripped=$(mktemp -d)
trap 'rm -rf "$stripped"' EXIT
files=()
for program in "$@"; do
    file=$stripped/$(basename "$program")
    # Ten times smaller, and it is read on every node.
    strip --strip-debug -o "$file" "$program"
    files+=(--file "$file:/usr/local/bin/$(basename "$program")")
done
"$testbed" image --out "$archive" --name "$name" --root "$root" --user 65532:65532 "${files[@]}"
