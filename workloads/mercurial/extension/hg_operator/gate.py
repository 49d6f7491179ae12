# SPDX-License-Identifier: GPL-2.0-or-later
"""The client of the push gate: asks whether a push may begin, and has it recorded (docs/protocols.md, "Push gate")."""

import contextlib

from . import frames

CATCH_UP_SECONDS = 5

UNAVAILABLE = ["replication log not available; all writes disabled"]
UNKNOWN = ["outcome unknown: the push may have been recorded"]


class Refused(Exception):
    """Nothing is in the log; the lines are for the person who pushes."""

    def __init__(self, lines):
        super().__init__(lines)
        self.lines = lines


class Unknown(Refused):
    """The push may be in the log."""


class Gate:
    """One connection, made when it is first needed."""

    def __init__(self, path, repository, user, may_write):
        self._path = path
        self._repository = repository
        self._user = user
        self._may_write = may_write
        self._connection = None

    def wait(self):
        """Returns when everything recorded for this repository is applied here. Must be called without its lock."""
        self._check({"op": "wait", "repository": self._repository})

    def catch_up(self):
        """As `wait`, for a few seconds only and without complaint: what people see is up to date if possible."""
        with contextlib.suppress(OSError, ValueError, TypeError, frames.FrameError):
            connection = frames.connect(self._path)
            with contextlib.closing(connection):
                connection.bound(CATCH_UP_SECONDS)
                self._ask(connection, {"op": "wait", "repository": self._repository})

    def open(self):
        """Asks whether a push may begin; answers how many bytes the client may send with it, or None."""
        fields = {"user": self._user, "mayWrite": self._may_write}
        return self._check({"op": "open", "repository": self._repository, **fields}).get("largestPushBytes")

    def append(self, applied, push, body):
        """Has the push recorded; answers where, as the gate says it."""
        fields = {"user": self._user, "applied": applied, "push": push}
        message = {"op": "append", "repository": self._repository, **fields}
        try:
            connection = self._connected()
        except (OSError, TypeError):
            raise Refused(UNAVAILABLE) from None
        try:
            # From the first byte on the gate may have acted.
            answer = self._ask(connection, message, body)
        except (OSError, ValueError, frames.FrameError):
            raise Unknown(UNKNOWN) from None
        if "recorded" in answer:
            return answer["recorded"]
        if "refuse" in answer:
            raise Refused(answer["refuse"] or UNAVAILABLE)
        raise Unknown(answer.get("unknown") or UNKNOWN)

    def closed(self, offset, failed):
        """Says that the transaction of the record at `offset` is over and the lock is released."""
        message = {"op": "closed", "offset": offset}
        if failed:
            message["failed"] = True
        try:
            self._ask(self._connected(), message)
        except (OSError, ValueError, TypeError, frames.FrameError):
            pass  # the end of the connection tells the gate the same

    def _check(self, message):
        try:
            answer = self._ask(self._connected(), message)
        except (OSError, ValueError, TypeError, frames.FrameError):
            raise Refused(UNAVAILABLE) from None
        if "ok" not in answer:
            raise Refused(answer.get("refuse") or UNAVAILABLE)
        return answer["ok"]

    def _connected(self):
        if self._connection is None:
            self._connection = frames.connect(self._path)
        return self._connection

    def _ask(self, connection, message, body=b""):
        try:
            connection.send(message, body)
            received = connection.receive()
        except BaseException:
            self._connection = None
            raise
        if received is None:
            self._connection = None
            raise frames.FrameError("the push gate closed the connection instead of answering")
        return received[0]
