#!/bin/bash
# The image's root file system, without our programs: Debian's Python and Mercurial. Made once, and printed as the
# path of a tar file outside of the tree. Needs root and mmdebstrap.
set -euo pipefail

INCLUDE=ca-certificates,mercurial,python3

. /etc/os-release
cache=${HGOP_CACHE:-$HOME/.cache/hg-operator}
root=$cache/root-$VERSION_CODENAME-$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-16).tar
if [ ! -e "$root" ]; then
    mkdir -p "$cache"
    exec {lock}> "$cache/root.lock"
    flock "$lock"
fi
if [ ! -e "$root" ]; then
    echo "making the image's root file system, once" >&2
    SECONDS=0
    excluded=()
    for path in '/usr/share/man/*' '/usr/share/doc/*' '/usr/share/locale/*' '/usr/share/info/*'; do
        excluded+=(--dpkgopt="path-exclude=$path")
    done
    # Licences stay. Nobody in the image has a home, but Python asks who it is.
    mmdebstrap --quiet --variant=essential --include="$INCLUDE" "${excluded[@]}" \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --customize-hook='echo "hg:x:65532:65532:hg-operator:/nonexistent:/usr/sbin/nologin" >> "$1/etc/passwd"' \
        --customize-hook='echo "hg:x:65532:" >> "$1/etc/group"' \
        --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/log/*' \
        "$VERSION_CODENAME" "$root.new.tar" >&2
    mv "$root.new.tar" "$root"
    echo "made it in $SECONDS s" >&2
fi
echo "$root"
