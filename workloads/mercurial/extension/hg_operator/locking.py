# SPDX-License-Identifier: GPL-2.0-or-later
"""Mercurial sleeps a second between two tries for a lock. Pushes hold it for milliseconds, so that is far too long."""

import time

from mercurial import error, extensions, lock

POLL_SECONDS = 0.005


def install():
    extensions.wrapfunction(lock, "trylock", _trylock)


def _trylock(original, ui, vfs, lockname, timeout, warntimeout, *args, **kwargs):
    deadline = time.monotonic() + timeout
    while True:
        try:
            return original(ui, vfs, lockname, 0, 0, *args, **kwargs)
        except error.LockHeld:
            if time.monotonic() >= deadline:
                raise
        time.sleep(POLL_SECONDS)
