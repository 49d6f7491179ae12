# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository that a power loss has put in doubt, when nobody has another copy and the log does not reach back."""

import os

from . import integrity, recover, state
from .apply import Damaged
from .repositories import Missing, locked

# As follower/src/unsynced.rs calls the state of such a repository.
DOUBTED = b"hg-operator-state.doubted"


def reinstate(repositories, directory, timeout):
    """Takes the repository for what its state says, if all hashes are right and there are as many changesets.

    Bookmarks, phases, markers and pushlog have no hashes: they are taken as they are.
    """
    recover.break_locks(directory)
    repositories.forget(directory)
    repo = repositories.load(os.fsencode(directory))
    with locked(repo, timeout):
        if repo.svfs.exists(state.FILE):
            # An abandoned transaction has just been rolled back to it.
            repo.svfs.rename(state.FILE, DOUBTED)
        if not repo.svfs.exists(DOUBTED):
            raise Missing(directory)
        known = state.parse(repo.svfs.read(DOUBTED))
        found = integrity.first_error(repo)
        if found is not None:
            raise Damaged(found)
        if known.planned or len(repo.changelog) != known.applied_revisions:
            raise Damaged("there are %d changesets, not %d" % (len(repo.changelog), known.applied_revisions))
        repo.svfs.rename(DOUBTED, state.FILE)
    repositories.forget(directory)
    return repositories.open(directory)
