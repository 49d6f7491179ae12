# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether what is stored is what its hashes say: Mercurial's own verification, on a repository that is in use."""

from mercurial import verify

from . import state
from .repositories import locked


def damage(repo, timeout):
    """What is wrong, in one line, or None. Takes the repository's lock only to be sure of what it found.

    Without the lock a change that is made meanwhile can look like damage.
    """
    if first_error(repo) is None:
        return None
    with locked(repo, timeout):
        repo.invalidateall()
        found = first_error(repo)
        return found and "at record %d: %s" % (state.read(repo).applied, found)


def first_error(repo):
    """What verification says first, or None."""
    repo.ui.pushbuffer(error=True)
    try:
        errors = verify.verifier(repo).verify()
    except Exception as why:
        # Where the damage is bad enough, verification does not get to its end.
        repo.ui.popbuffer()
        return "%s: %s" % (type(why).__name__, why)
    text = repo.ui.popbuffer().decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else "verification failed") if errors else None
