# SPDX-License-Identifier: GPL-2.0-or-later
"""What an open transaction brings, in the form that the log keeps it."""

import hashlib

from mercurial import bundle2, changegroup, encoding, obsolete, phases, scmutil
from mercurial.node import hex

from . import acceptable, received, spool


class Pending:
    """`first` is the first new revision, the rest is as `tr.changes` has it, without what does not change anything.

    `bundle_file` is what the client sent, or None; `added` is as in `push.Session`.
    """

    def __init__(self, repo, tr, bundle_file, added):
        self.repo = repo.unfiltered()
        self._bundle_file = bundle_file
        self._added = added
        self.first = tr.changes[b"origrepolen"]
        self.changesets = len(self.repo.changelog) - self.first
        self.bookmarks = {name: move for name, move in tr.changes[b"bookmarks"].items() if move[0] != move[1]}
        self.published = _published(self.repo, tr)
        self.markers = tr.changes[b"obsmarkers"]

    def __bool__(self):
        return bool(self.changesets or self.bookmarks or self.published or self.markers)

    def revisions(self):
        return range(self.first, self.first + self.changesets)

    def nodes(self):
        node = self.repo.changelog.node
        return [text(node(rev)) for rev in self.revisions()]

    def describe(self, heads_before, directory):
        """The gate's `push` object, and the bytes that follow it; large payloads are in files below `directory`."""
        node = self.repo.changelog.node
        bundle = markers = None
        bundle_bytes = marker_bytes = b""
        try:
            if self.changesets:
                bundle, bundle_bytes = spool.store(self._bundle_chunks(), directory)
            if self.markers:
                markers, marker_bytes = spool.store(marker_chunks(self.markers), directory)
        except BaseException:
            spool.discard(bundle)
            raise
        heads = served_heads(self.repo)
        push = {
            "changesets": self.changesets,
            "tip": text(node(self.repo.changelog.tiprev())) if self.changesets else None,
            "headsAdded": sorted(text(node(rev)) for rev in heads - heads_before),
            "headsRemoved": sorted(text(node(rev)) for rev in heads_before - heads),
            "heads": len(heads),
            "bookmarks": [
                [encoding.fromlocal(name).decode("utf-8"), text(old), text(new)]
                for name, (old, new) in sorted(self.bookmarks.items())
            ],
            "nodes": digest(node(rev) for rev in self.revisions()) if self.changesets else None,
            "published": sorted(text(node(rev)) for rev in self.published),
            "bundle": bundle,
            "markers": markers,
        }
        return push, bundle_bytes + marker_bytes

    def _bundle_chunks(self):
        node = self.repo.changelog.node
        new = [node(rev) for rev in range(self.first, self.first + self.changesets)]
        with received.changegroup(self.repo.ui, self._bundle_file, new) as sent:
            if sent is None:
                acceptable.check_all_is_carried(self.repo, self.first, self._added)
                yield from bundle_chunks(self.repo, self.first)
            else:
                yield from _bundle(self.repo, *sent, self.changesets)


def digest(nodes):
    """What a record says of its changesets, so that all can see whether they have added the same ones."""
    return hashlib.sha256(b"".join(nodes)).hexdigest()


def text(node):
    """A hash as JSON has it."""
    return None if node is None else hex(node).decode("ascii")


def served_heads(repo):
    """Revisions of the heads that clients see."""
    unfiltered = repo.unfiltered()
    return {rev for rev in unfiltered.filtered(b"served").changelog.headrevs() if rev >= 0}


def _published(repo, tr):
    """Heads of what becomes public."""
    public = set()
    for revs, (_old, new) in tr.changes[b"phases"]:
        if new == phases.public:
            public.update(revs)
    heads = set(public)
    parents = repo.changelog.parentrevs
    for rev in public:
        heads.difference_update(parents(rev))
    return heads


class _Below:
    """Stands for the set of all revisions below `end`, without listing them."""

    def __init__(self, end):
        self._end = end

    def __contains__(self, rev):
        return rev < self._end


def bundle_chunks(repo, first):
    """An uncompressed bundle2 with one changegroup of all revisions from `first` on.

    Every instance has all revisions below `first`, hidden ones too. The changegroup is made here rather than by
    `exchange`, so that discovery need not walk the history and `preoutgoing` hooks do not run.
    """
    node = repo.changelog.node
    nodes = [node(rev) for rev in range(first, len(repo.changelog))]
    version = changegroup.safeversion(repo)
    # The fast path takes file revisions by linkrev, which is exact here: the new ones belong to new changesets.
    changes = changegroup.getbundler(version, repo).generate(_Below(first), nodes, True, b"hg-operator")
    return _bundle(repo, version, changes, len(nodes))


def _bundle(repo, version, changes, changesets):
    bundler = bundle2.bundle20(repo.ui)
    part = bundler.newpart(b"changegroup", data=changes)
    part.addparam(b"version", version)
    part.addparam(b"nbchangesets", b"%d" % changesets, mandatory=False)
    if scmutil.istreemanifest(repo):
        part.addparam(b"treemanifest", b"1")
    return bundler.getchunks()


def marker_chunks(markers):
    """The markers as an obsstore of their own, in an order that does not depend on the process."""
    encoded = sorted(b"".join(obsolete.encodemarkers([marker], version=obsolete._fm1version)) for marker in markers)
    yield b"%c" % obsolete._fm1version
    yield from encoded
