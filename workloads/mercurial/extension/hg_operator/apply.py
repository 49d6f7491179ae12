# SPDX-License-Identifier: GPL-2.0-or-later
"""Applying a push record: storing its changesets, and showing what it did.

On mirrors these are two steps with the release by all mirrors between them; elsewhere they are one transaction.
"""

import io

from mercurial import changegroup, encoding, error, exchange, phases
from mercurial.node import bin, hex

from . import pending, pushlog, showing, state


class ShortBody(Exception):
    """The request announces more bytes than it has."""


class Damaged(Exception):
    """The repository does not hold what the log says that it holds."""


def apply(repo, offset, push, bundle, markers, hidden):
    """Stores a push; the caller holds the locks. Repeating it changes nothing."""
    known = state.read(repo)
    showing.forget(repo)
    if offset <= known.applied:
        if not hidden and offset > known.shown:
            _show(repo, known, offset, push, markers)
        return
    if not hidden and known.pending:
        raise state.OrderError("record %d has to be shown before record %d" % (known.pending[0][0], offset))
    with repo.transaction(b"hg-operator-apply") as tr:
        if bundle is not None:
            _add_changesets(repo, tr, offset, bundle)
        _check_added(repo, known, push)
        known.applied_to(offset, len(repo.changelog))
        if hidden:
            state.write_with(tr, known)
        else:
            _effects(repo, tr, known, offset, push, markers)


def show(repo, offset, push, markers):
    """Makes an applied push visible; the caller holds the locks. Repeating it changes nothing."""
    known = state.read(repo)
    if offset > known.shown:
        _show(repo, known, offset, push, markers)


def _show(repo, known, offset, push, markers):
    with repo.transaction(b"hg-operator-show") as tr:
        _effects(repo, tr, known, offset, push, markers)
        _check_tip(repo, push)


def _effects(repo, tr, known, offset, push, markers):
    shown = known.shown_to(offset)
    showing.begin(repo, tr)
    if push.get("published"):
        phases.advanceboundary(repo, tr, phases.public, [bin(text) for text in push["published"]])
    if push.get("bookmarks"):
        _move_bookmarks(repo, tr, push["bookmarks"])
    if markers is not None:
        repo.obsstore.mergemarkers(tr, markers.read())
    if push.get("pushId") is not None:
        nodes = [hex(repo.changelog.node(rev)).decode("ascii") for rev in shown]
        pushlog.append(repo, tr, pushlog.row(push["pushId"], push["user"], push["time"], offset, nodes))
    state.write_with(tr, known)


def _move_bookmarks(repo, tr, moves):
    moves = [(encoding.tolocal(name.encode("utf-8")), new and bin(new)) for name, _old, new in moves]
    marks = repo._bookmarks
    marks.applychanges(repo, tr, [(name, node) for name, node in moves if node is not None or name in marks])


def _add_changesets(repo, tr, offset, bundle):
    """Adds the bundle's changesets as drafts, whatever the repository publishes: `published` says what is public."""
    source = exchange.readbundle(repo.ui, bundle, b"record %d" % offset)
    if not hasattr(source, "iterparts"):
        raise error.Abort(b"record %d does not hold a bundle2" % offset)
    for part in source.iterparts():
        if part.type == b"changegroup":
            _add_changegroup(repo, tr, part)


def _add_changegroup(repo, tr, part):
    changes = changegroup.getunbundler(part.params[b"version"], part, None)
    expected = int(part.params.get(b"nbchangesets", 0)) or None
    # Any source but push and serve: those would publish.
    changes.apply(repo, tr, b"hg-operator", b"log:", phases.draft, expected)


def _check_added(repo, known, push):
    """Revisions are numbered alike everywhere, so one too many or too few would shift all that come later."""
    added = [repo.changelog.node(rev) for rev in range(known.applied_revisions, len(repo.changelog))]
    if len(added) != push["changesets"]:
        raise Damaged("%d changesets were added, the record has %d" % (len(added), push["changesets"]))
    # Records of older versions do not have it.
    if push.get("nodes") is not None and pending.digest(added) != push["nodes"]:
        raise Damaged("other changesets were added than the record has")
    _check_tip(repo, push)


def _check_tip(repo, push):
    tip = push.get("tip")
    if tip is not None and not repo.changelog.hasnode(bin(tip)):
        raise Damaged("changeset %s of the record is not in the repository" % tip)


def open_payload(payload, body, start):
    """A record's bundle or markers as a file, and where the next one starts in `body`."""
    if payload is None:
        return None, start
    if "inline" in payload:
        end = start + payload["inline"]
        if end > len(body):
            raise ShortBody("the inline bytes end before they should")
        return io.BytesIO(body[start:end]), end
    return open(payload["file"], "rb"), start
