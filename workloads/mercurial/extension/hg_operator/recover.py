# SPDX-License-Identifier: GPL-2.0-or-later
"""Mending a repository after a process that worked on it has died."""

import os

from . import state, strip
from .repositories import locked

_LOCKS = ("store/lock", "wlock", "store/lock.break", "wlock.break")


def break_locks(directory):
    """Removes all locks: nobody else is at work here."""
    for name in _LOCKS:
        try:
            os.unlink(os.path.join(directory, ".hg", name))
        except FileNotFoundError:
            pass


def recover(repositories, directory, breaks, timeout):
    """Rolls back an abandoned transaction and finishes an interrupted strip; answers the repository.

    With `breaks` the locks go whoever holds them: after a promotion their owners are gone, but Mercurial cannot
    know that about another host or another PID namespace. Otherwise it breaks only locks of dead processes.
    """
    if breaks:
        break_locks(directory)
    repositories.forget(directory)
    repo = repositories.open(directory)
    with locked(repo, timeout):
        if state.read(repo).planned:
            strip.finish(repo)
    return repo
