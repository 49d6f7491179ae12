#!/bin/bash
# Our one image as an archive that `ctr images import` (or `skopeo copy oci-archive:`) takes. No registry and no
# Docker. Prints its full name, whose tag says what is inside, so that changed programs are a changed image; in the
# archive it is called `:dev` too.
#
#   images/hg-operator/build.sh localhost/hg-operator image.tar target/debug/hgd target/debug/hg-operator
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
    # Several times smaller, and it is read on every node.
    strip --strip-debug -o "$file" "$program"
    files+=(--file "$file:/usr/local/bin/$(basename "$program")")
done
# The root's own name says what is in it.
hash=$({ basename "$root"; cd "$stripped"; sha256sum -- *; } | sha256sum | cut -c1-12)
"$testbed" image --out "$archive" --name "$name:dev" --name "$name:dev-$hash" --root "$root" --user 65532:65532 \
    "${files[@]}"
echo "$name:dev-$hash"
