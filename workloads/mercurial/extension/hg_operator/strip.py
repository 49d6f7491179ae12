# SPDX-License-Identifier: GPL-2.0-or-later
"""Applying a strip record.

Mercurial strips in several transactions of its own. So that a crash between them can be finished, the state file first
says what goes and which counts the state will have; changesets that it names are never served (see view.py).
"""

import glob
import os

from mercurial import bundle2, exchange, repair
from mercurial.node import bin

from . import pushlog, state

# Mercurial's bundles of what has to be removed for a moment and added again.
_TEMPORARY_BUNDLES = b"strip-backup/*-temp.hg"


def strip(repo, offset, changesets):
    """Removes `changesets` and their descendants; the caller holds the locks. Repeating it changes nothing.

    A mirror passes the record first without removing anything (it only stops serving the repository), hence what is
    applied says nothing here and what is shown decides.
    """
    known = state.read(repo)
    if offset <= known.shown:
        return
    if not known.planned or known.planned["offset"] != offset:
        _plan(repo, known, offset, changesets)
        state.write(repo, known)
    finish(repo)


def finish(repo):
    """Goes on with the strip that the state announces, from wherever it was interrupted."""
    known = state.read(repo)
    if not known.planned:
        return
    add_back(repo)
    present = [node for node in map(bin, known.stripping) if repo.changelog.hasnode(node)]
    if present:
        repair.strip(repo.ui, repo, present, backup=False)
    repo.invalidate(clearfilecache=True)
    planned = known.planned
    after = state.State(
        planned["offset"],
        planned["appliedRevisions"],
        known.shown if planned["pending"] else planned["offset"],
        planned["shownRevisions"],
        planned["pending"],
    )
    with repo.transaction(b"hg-operator-strip") as tr:
        pushlog.rewrite_without(repo, tr, repo.changelog.hasnode)
        state.write_with(tr, after)


def _plan(repo, known, offset, changesets):
    """Fills in what will be: revisions that stay keep their order, so the prefixes only get shorter."""
    changelog = repo.changelog
    roots = [changelog.rev(node) for node in map(bin, changesets) if changelog.hasnode(node)]
    gone = sorted(set(roots).union(changelog.descendants(roots))) if roots else []

    def left_of(revisions):
        return revisions - sum(1 for rev in gone if rev < revisions)

    known.stripping = list(changesets)
    known.planned = {
        "offset": offset,
        "appliedRevisions": left_of(known.applied_revisions),
        "shownRevisions": left_of(known.shown_revisions),
        "pending": [[at, left_of(revisions)] for at, revisions in known.pending],
    }


def add_back(repo):
    """Adds what an interrupted strip had set aside."""
    for path in sorted(glob.glob(repo.vfs.join(_TEMPORARY_BUNDLES))):
        with open(path, "rb") as file:
            source = exchange.readbundle(repo.ui, file, path)
            with repo.transaction(b"strip") as tr:
                bundle2.applybundle(repo, source, tr, source=b"strip", url=b"bundle:" + path)
        os.unlink(path)
