#!/bin/bash
# The image that holds the namespaces of every pod: one static program, written where the argument says.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
programs=$("$here/../../tests/kubernetes/build.sh" testbed)
mkdir -p "$(dirname "$1")"
"$programs/testbed" image --out "$1" --name localhost/pause:1 --file "$programs/pause:/pause" --entrypoint /pause \
    --user 65535:65535
