# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether pushes can be taken here: does, without a repository, what each of them needs.

A full volume is no fault here: what has no room is said by the gate, and smaller pushes may still fit.
"""

import errno
import tempfile

from . import frames

_FULL = (errno.ENOSPC, errno.EDQUOT)


def run(connection, request, config):
    why = _fault(config, request.get("gate"))
    connection.send({"proved": None} if why is None else {"failed": why})


def _fault(config, with_gate):
    """One clause for whoever looks into it, or None."""
    why = _write("no temporary file can be written", None)
    why = why or _write("no bundle of a push can be written", config["spool"])
    return why or (_ask(config["gate"]) if with_gate else None)


def _write(what, directory):
    try:
        # Without a name, so that a child that is killed leaves nothing behind.
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"proof")
            file.flush()
    except OSError as why:
        if why.errno not in _FULL:
            return "%s: %s" % (what, why)
    return None


def _ask(path):
    try:
        connection = frames.connect(path)
        # Of no record: the gate has nothing to do but to answer.
        connection.send({"op": "closed", "offset": 0})
        received = connection.receive()
    except (OSError, TypeError, ValueError, frames.FrameError) as why:
        return "the push gate does not answer: %s" % why
    if received is None or "ok" not in received[0]:
        return "the push gate does not answer as it should"
    return None
