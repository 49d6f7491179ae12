# SPDX-License-Identifier: GPL-2.0-or-later
"""Bounds the processor time of one web answer, in the worker itself.

A timer of processor time raises `UsedUp` wherever the answer is being made, also within a regular expression, which
looks for signals now and then. Code that never looks is ended with its process by the kernel a little later; the front
then sees a worker that has gone. Waiting for a slow client or a lock costs no processor time.
"""

import contextlib
import math
import resource
import signal

from mercurial import extensions, wireprotov1server
from mercurial.hgweb import webcommands

# Of a page or a small wire command. What Mercurial does about a whole history, a stream or an archive may take longer.
DEFAULT_PAGE_SECONDS = 30
DEFAULT_BULK_SECONDS = 1800
# From the first signal on: a signal that came where exceptions are lost is repeated.
REPEAT_SECONDS = 0.5
# What is left from the first signal to the end of the process, in whole seconds as the kernel counts.
GRACE_SECONDS = 2
_BULK = frozenset([b"getbundle", b"changegroup", b"changegroupsubset", b"stream_out"])


class UsedUp(BaseException):
    """No `except Exception` on the way may take it for something else."""

    def __init__(self, seconds):
        super().__init__("the answer would take more than %d seconds of processor time: ask for less" % seconds)


class Bound:
    """Of this process, which makes one answer at a time."""

    def __init__(self, ui):
        self._page = ui.configint(b"hg-operator", b"web-page-seconds", DEFAULT_PAGE_SECONDS)
        self._bulk = ui.configint(b"hg-operator", b"web-bulk-seconds", DEFAULT_BULK_SECONDS)
        self._seconds = 0
        self._held = True
        self.is_used_up = False
        signal.signal(signal.SIGPROF, self._on_signal)
        extensions.wrapfunction(wireprotov1server, "dispatch", self._dispatch)
        extensions.wrapfunction(webcommands, "archive", self._archive)

    @contextlib.contextmanager
    def answer(self):
        self._held = False
        self._allow(self._page)
        try:
            yield
        finally:
            self._held = True
            signal.setitimer(signal.ITIMER_PROF, 0)

    @contextlib.contextmanager
    def undisturbed(self, until_next=False):
        """For what must not be left half done."""
        self._held = True
        try:
            yield
        finally:
            self._held = until_next

    def _dispatch(self, original, repo, proto, command, *args, **kwargs):
        if command in _BULK:
            self._allow(self._bulk)
        return original(repo, proto, command, *args, **kwargs)

    def _archive(self, original, web):
        self._allow(self._bulk)
        return original(web)

    def _allow(self, seconds):
        self._seconds = seconds
        usage = resource.getrusage(resource.RUSAGE_SELF)
        last = math.ceil(usage.ru_utime + usage.ru_stime) + seconds + GRACE_SECONDS
        _soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (last if hard == resource.RLIM_INFINITY else min(last, hard), hard))
        signal.setitimer(signal.ITIMER_PROF, seconds, REPEAT_SECONDS)

    def _on_signal(self, _number, _frame):
        if not self._held:
            self.is_used_up = True
            raise UsedUp(self._seconds)
