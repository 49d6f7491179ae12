# SPDX-License-Identifier: GPL-2.0-or-later
"""Content hashes of what a repository shows: equal on all instances that show the same, whatever their Mercurial.

Nothing here may depend on revision numbers, on what is applied but not shown, or on caches.
"""

import hashlib

from mercurial import obsolete, phases, repoview
from mercurial.node import hex

from . import pushlog

# What a lane says of a repository without changesets.
EMPTY = {"tip": None, "heads": 0, "changesets": 0}


class Shown:
    """The revisions that clients see: a prefix, without obsolete and secret ones."""

    def __init__(self, repo, known):
        self.repo = repo
        self.changelog = repo.changelog
        self.end = min(known.shown_revisions, len(self.changelog))
        self.hidden = self._hidden()
        later = range(self.end, len(self.changelog))
        self.view = repoview.wrapchangelog(self.changelog, frozenset(self.hidden.union(later)))

    def _hidden(self):
        """As Mercurial's `served` filter, but only with what is in the prefix."""
        cache = self.repo._phasecache
        secret = {rev for rev in cache.getrevset(self.repo, phases.remotehiddenphases) if rev < self.end}
        hidden = {rev for rev in repoview.hideablerevs(self.repo) if rev < self.end}
        if hidden:
            hidden -= repoview.pinnedrevs(self.repo)
            mutable = cache.getrevset(self.repo, phases.mutablephases)
            visible = [rev for rev in mutable if rev < self.end and rev not in hidden]
            repoview._revealancestors(self.changelog.parentrevs, hidden, visible)
        return hidden | secret

    def heads(self):
        return [rev for rev in self.view.headrevs() if rev >= 0]

    def summary(self):
        """What every answer of a lane says about the repository."""
        tip = self.view.tiprev()
        return {
            "tip": hex(self.changelog.node(tip)).decode("ascii") if tip >= 0 else None,
            "heads": len(self.heads()),
            "changesets": self.end - len(self.hidden),
        }


def content_hashes(repo, known):
    shown = Shown(repo, known)
    node = repo.changelog.node
    return {
        "heads": _digest(sorted(hex(node(rev)) for rev in shown.heads())),
        "phases": _digest(_phases(repo, shown)),
        "bookmarks": _digest(b"%s\0%s" % (name, hex(at)) for name, at in sorted(repo._bookmarks.items())),
        "markers": _digest(sorted(_markers(repo))),
        "pushlog": _digest(line.rstrip(b"\n") for _row, line in pushlog.rows(repo, known.shown)),
    }


def _phases(repo, shown):
    """Roots of what is draft say everything, once it is known which changesets there are: that is what heads say."""
    draft = {rev for rev in repo._phasecache.getrevset(repo, (phases.draft,)) if rev < shown.end}
    parents = repo.changelog.parentrevs
    roots = [rev for rev in draft if draft.isdisjoint(parents(rev))]
    return sorted(hex(repo.changelog.node(rev)) for rev in roots)


def _markers(repo):
    for marker in repo.obsstore:
        yield b"".join(obsolete.encodemarkers([marker], version=obsolete._fm1version))


def _digest(items):
    digest = hashlib.sha256()
    for item in items:
        digest.update(b"%d\n" % len(item))
        digest.update(item)
    return digest.hexdigest()
