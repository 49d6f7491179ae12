# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of a bundle that a client sends: how much memory each may take, and which one it is that cannot be read.

Mercurial takes a piece of a part whole, however long it says to be, and most parts whole, piece by piece.
"""

import struct

from mercurial import bundle2, changegroup, error, exchange, extensions, util

from . import admission, limits, push

# Of any part but a changegroup. A hundred thousand heads, or as many markers, are a few megabytes.
MAX_PART_BYTES = 64 * 1024 * 1024
# A longer piece is read in several.
_PIECE_BYTES = 256 * 1024
# A revision's content is in memory this many times when it is added.
_COPIES = 3
_LENGTH = struct.Struct(">i")


def extsetup(_ui):
    extensions.wrapfunction(bundle2.unbundlepart, "_payloadchunks", _payload_chunks)
    extensions.wrapfunction(bundle2, "_processpart", _process_part)
    extensions.wrapfunction(changegroup.cg1unpacker, "_chunklength", _chunk_length)
    extensions.wrapfunction(exchange, "readbundle", _read_bundle)


def _client():
    """The session of the client whose bundle is being read; None when it is nobody's."""
    session = admission.session()
    return session if session is not None and session.of_client else None


def _payload_chunks(original, part):
    return original(part) if _client() is None else _pieces(part)


def _pieces(part):
    total = 0
    while True:
        (length,) = _LENGTH.unpack(changegroup.readexactly(part._fp, _LENGTH.size))
        if length == bundle2.flaginterrupt:
            bundle2.interrupthandler(part.ui, part._fp)()
            continue
        if length < 0:
            raise error.BundleValueError(b"negative payload chunk size: %d" % length)
        if length == 0:
            return
        total += length
        if total > MAX_PART_BYTES and part.type != b"changegroup":
            most = util.bytecount(MAX_PART_BYTES)
            raise error.Abort(b"a part '%s' may not be larger than %s on this server" % (part.type, most))
        while length:
            piece = changegroup.readexactly(part._fp, min(length, _PIECE_BYTES))
            length -= len(piece)
            yield piece


def _chunk_length(original, unpacker):
    length = original(unpacker)
    session = _client()
    if session is not None and length > limits.memory(session.ui) // _COPIES:
        # Refused before it is tried in vain.
        raise error.Abort(limits.sentence(session.ui, MemoryError()))
    return length


def _process_part(original, op, part):
    session = _client()
    if session is None:
        return original(op, part)
    session.part = part.type
    original(op, part)
    session.part = None


def _read_bundle(original, *args, **kwargs):
    session = _client()
    if session is None:
        return original(*args, **kwargs)
    session.part = None
    with push.as_abort(session):
        return original(*args, **kwargs)
