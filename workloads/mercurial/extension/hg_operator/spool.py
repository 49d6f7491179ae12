# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the bytes of a record go while they are made: into memory when they are few, else into a file.

The gate takes over the file: it makes it durable, moves it to where blobs are stored, or removes it.
"""

import hashlib
import os
import tempfile

# protocol::MAX_INLINE_BYTES.
MAX_INLINE_BYTES = 64 * 1024


def store(chunks, directory):
    """Takes all chunks; answers (what to tell the gate, the bytes to send along)."""
    start = []
    size = 0
    for chunk in chunks:
        start.append(chunk)
        size += len(chunk)
        if size > MAX_INLINE_BYTES:
            return _store_in_file(start, chunks, directory), b""
    return {"inline": size}, b"".join(start)


def _store_in_file(start, rest, directory):
    descriptor, path = tempfile.mkstemp(prefix="push-", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            digest = hashlib.sha256()
            for chunks in (start, rest):
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
            size = file.tell()
    except BaseException:
        os.unlink(path)
        raise
    return {"file": path, "digest": digest.hexdigest(), "size": size}


def discard(payload):
    """Removes what the gate did not take over."""
    if payload and "file" in payload:
        try:
            os.unlink(payload["file"])
        except FileNotFoundError:
            pass
