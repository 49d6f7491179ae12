# SPDX-License-Identifier: GPL-2.0-or-later
"""A lane: applies the log to repositories, one request at a time (docs/protocols.md, "Lane requests")."""

import errno
import signal
import sys
import traceback

from mercurial import error

from . import admission
from .apply import ShortBody
from .lane_ops import Busy, Full, Invalid, Lane
from .repositories import Missing, Repositories, lane_ui
from .state import OrderError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def run(connection, config, baseui):
    """Answers requests until the other side closes the connection."""
    admission.admit(admission.LANE)
    signal.signal(signal.SIGTERM, _interrupt)
    lane = Lane(Repositories(lane_ui(baseui)))
    while True:
        received = connection.receive()
        if received is None:
            return
        request, body = received
        try:
            answer = {"ok": lane.run(request, body)}
        except Exception as why:
            kind = _kind(why)
            if kind == "corrupt":
                traceback.print_exc()
            lane.mend(request)
            answer = {"error": {"kind": kind, "message": _message(why)}}
        sys.stderr.flush()
        connection.send(answer)


def _interrupt(_number, _frame):
    raise error.SignalInterrupt


def _kind(why):
    """`corrupt` is the rest: whatever a new copy of the repository mends."""
    if isinstance(why, Full) or any(getattr(cause, "errno", None) in _NO_SPACE for cause in _causes(why)):
        return "full"
    if isinstance(why, (Busy, error.LockHeld)):
        return "locked"
    if isinstance(why, Missing):
        return "missing"
    if isinstance(why, (Invalid, OrderError, ShortBody)):
        return "invalid"
    return "corrupt"


def _causes(why):
    while why is not None:
        yield why
        why = why.__cause__ or why.__context__


def _message(why):
    if isinstance(why, Missing):
        return "there is no repository in %s" % why
    if isinstance(why, error.LockHeld):
        return "the repository is locked by %s" % (why.locker or b"somebody").decode("utf-8", "replace")
    if isinstance(why, error.Abort):
        return why.message.decode("utf-8", "replace")
    text = str(why)
    return text if text else type(why).__name__
