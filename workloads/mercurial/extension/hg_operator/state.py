# SPDX-License-Identifier: GPL-2.0-or-later
"""How far a repository has followed the log: `.hg/store/hg-operator-state`, one line of JSON.

The file is written by the transaction that makes it true, as its very last file, so whoever reads an offset here finds
everything that belongs to it.
"""

import json

FILE = b"hg-operator-state"


class StateError(Exception):
    """The state file is not what we write; the repository has to be resynchronised."""


class OrderError(Exception):
    """A record was to be applied or shown before one that comes earlier in the log."""


class State:
    """`applied` and `shown` are offsets of the log, the two counts are revisions of the repository.

    `pending` holds [offset, revisions afterwards] for every record that is applied but not shown and added changesets:
    what is shown is a prefix of the revisions, and this says which. While a strip is under way, `stripping` holds the
    hashes that go and `planned` the offset and counts that the state will have afterwards.
    """

    def __init__(
        self, applied=0, applied_revisions=0, shown=0, shown_revisions=0, pending=(), stripping=(), planned=None
    ):
        self.applied = applied
        self.applied_revisions = applied_revisions
        self.shown = shown
        self.shown_revisions = shown_revisions
        self.pending = [list(entry) for entry in pending]
        self.stripping = list(stripping)
        self.planned = planned

    def applied_to(self, offset, revisions):
        """A record that is stored but hidden."""
        if revisions != self.applied_revisions:
            self.pending.append([offset, revisions])
        self.applied = offset
        self.applied_revisions = revisions

    def shown_to(self, offset):
        """Makes the record at `offset` visible; answers the range of revisions that this shows."""
        if offset > self.applied:
            raise OrderError("record %d is not applied yet, only those up to %d are" % (offset, self.applied))
        due = [entry for entry in self.pending if entry[0] <= offset]
        if due and (len(due) > 1 or due[0][0] != offset):
            raise OrderError("record %d has to be shown before record %d" % (due[0][0], offset))
        before = self.shown_revisions
        if due:
            self.shown_revisions = due[0][1]
        self.pending = [entry for entry in self.pending if entry[0] > offset]
        self.shown = max(self.shown, offset)
        return range(before, self.shown_revisions)

    def passed(self, offset, hidden):
        """A record that adds no changesets."""
        if offset > self.applied:
            self.applied_to(offset, self.applied_revisions)
        if not hidden and offset > self.shown:
            self.shown_to(offset)

    def object(self):
        fields = {
            "applied": self.applied,
            "appliedRevisions": self.applied_revisions,
            "shown": self.shown,
            "shownRevisions": self.shown_revisions,
        }
        if self.pending:
            fields["pending"] = self.pending
        if self.stripping:
            fields["stripping"] = self.stripping
            fields["planned"] = self.planned
        return fields

    def line(self):
        return json.dumps(self.object(), separators=(",", ":")).encode("ascii") + b"\n"


def parse(data):
    try:
        fields = json.loads(data)
        return State(
            fields["applied"],
            fields["appliedRevisions"],
            fields["shown"],
            fields["shownRevisions"],
            fields.get("pending", ()),
            fields.get("stripping", ()),
            fields.get("planned"),
        )
    except (ValueError, KeyError, TypeError) as why:
        raise StateError("%s does not hold a state: %r" % (FILE.decode(), why)) from why


def read(repo):
    """The state of `repo`, which may be its mere files, or None when it is not a replicated repository."""
    try:
        return parse(repo.svfs.read(FILE))
    except FileNotFoundError:
        return None


def write(repo, state):
    """Writes the state alone, outside of any transaction; the caller holds the lock."""
    with repo.svfs(FILE, b"w", atomictemp=True) as file:
        file.write(state.line())


def write_with(tr, state):
    """Lets the transaction write the state as its last file; an abort or recovery brings the old one back."""
    line = state.line()
    # Files are written in the order of these names.
    tr.addfilegenerator(b"zz-hg-operator-state", (FILE,), lambda file: file.write(line), post_finalize=True)
