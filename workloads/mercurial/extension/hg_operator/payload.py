# SPDX-License-Identifier: GPL-2.0-or-later
"""What a client sends with `unbundle`: only after the gate has agreed, bounded, and never at the log's expense.

A push that is refused is read all the same and dropped as it comes, so that the person reads the refusal in the words
that a push is always refused in.
"""

import os
import signal
import tempfile

from mercurial import extensions, util, wireprotoserver, wireprotov1server

from . import admission

_READ_BYTES = 256 * 1024
# The length of a piece, in decimal digits.
_MAX_LENGTH_LINE_BYTES = 20
_LOOK_AT_VOLUME_EVERY_BYTES = 1024 * 1024
# Kept free by pushes: so much of the volume, and not more than so much.
_RESERVED_SHARE = 0.05
_MAX_RESERVED_BYTES = 1024**3
# Bundles with nothing in them, by the beginning of a bundle of their kind.
_EMPTY = {b"HG20": b"HG20" + b"\0" * 8, b"HG10": b"HG10UN"}


class SessionOver(Exception):
    """Nothing more can be read from this client; the text is for the person."""


def extsetup(_ui):
    entry = wireprotov1server.commands[b"unbundle"]
    original = entry.func
    entry.func = lambda repo, proto, heads: _unbundle(original, repo, proto, heads)
    extensions.wrapfunction(wireprotoserver.sshv1protocolhandler, "getpayload", _getpayload)


def _unbundle(original, repo, proto, heads):
    session = admission.session()
    if session is None:
        return original(repo, proto, heads)
    session.refusal = session.ask(repo.ui)
    try:
        return original(repo, proto, heads)
    finally:
        session.refusal = None


def _getpayload(original, proto):
    session = admission.session()
    if session is None:
        return original(proto)
    # Tells the client that it may begin.
    wireprotoserver._sshv1respondbytes(proto._fout, b"")
    pieces = _pieces(proto._ui, proto._fin, session.largest_push, kept=session.refusal is None)
    return pieces if session.refusal is None else _nothing_of(pieces)


def _nothing_of(pieces):
    start = b""
    for piece in pieces:
        start = (start + piece[:4])[:4]
    yield _EMPTY.get(start, start)


def _pieces(ui, source, most, kept):
    """`kept` is false of what is dropped as it comes: it takes no room."""
    if most is None:
        most = ui.configbytes(b"hg-operator", b"largest-push")
    seconds = ui.configint(b"hg-operator", b"progress-timeout")
    total = looked_at = 0
    while True:
        missing = _length(_in_time(seconds, lambda: source.readline(_MAX_LENGTH_LINE_BYTES)))
        if not missing:
            return
        while missing:
            size = min(missing, _READ_BYTES)
            piece = _in_time(seconds, lambda size=size: source.read1(size))
            if not piece:
                raise SessionOver(b"the connection ended within a push")
            missing -= len(piece)
            total += len(piece)
            if total > most:
                raise SessionOver(b"the push is larger than this server takes (%s)" % util.bytecount(most))
            if kept and total - looked_at >= _LOOK_AT_VOLUME_EVERY_BYTES:
                looked_at = total
                _leave_room()
            yield piece


def _length(line):
    if not line.endswith(b"\n") or not line[:-1].isdigit():
        raise SessionOver(b"the connection ended within a push" if not line else b"this is no push")
    return int(line)


def _leave_room():
    volume = os.statvfs(tempfile.gettempdir())
    if not leaves_room(volume.f_blocks * volume.f_frsize, volume.f_bavail * volume.f_frsize):
        raise SessionOver(b"the server's volume is nearly full; only small pushes are taken")


def leaves_room(size, free):
    """Both in bytes. The log has to go on when a push does not."""
    return free >= min(size * _RESERVED_SHARE, _MAX_RESERVED_BYTES)


def _in_time(seconds, read):
    def late(_number, _frame):
        raise SessionOver(b"nothing has come for %d seconds within a push" % seconds)

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return read()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
