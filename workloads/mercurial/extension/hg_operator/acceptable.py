# SPDX-License-Identifier: GPL-2.0-or-later
"""What a push may bring: only what every instance gets back from the log as it went in.

Mercurial checks much of this in the client only, so that a bundle made by hand gets it past a server. Everything here
is refused before the record is appended, with a sentence.
"""

from mercurial import bookmarks, bundle2, changegroup, encoding, error, extensions, obsolete, phases, revlog, scmutil
from mercurial.node import hex, short
from mercurial.revlogutils import constants

from . import admission

# They change more than the transaction says, or what others are told: a store file, a cache, what a URL holds today.
_REFUSED_PARTS = (b"remote-changegroup", b"stream2", b"stream3-exp", b"hgtagsfnodes", b"cache:rev-branch-cache")
# Content that is not in the revision itself: lfs, narrow.
_ELSEWHERE = constants.REVIDX_EXTSTORED | constants.REVIDX_ELLIPSIS


def extsetup(_ui):
    for name in _REFUSED_PARTS:
        if name in bundle2.parthandlermapping:
            _wrap_part(name, _refuse_part)
    _wrap_part(b"changegroup", _check_changegroup_part)
    # What is refused is not offered.
    bundle2.capabilities.pop(b"remote-changegroup", None)
    extensions.wrapfunction(revlog.revlog, "addgroup", _add_group)


def reposetup(_ui, repo):
    class checkedrepository(repo.__class__):
        def register_changeset(self, rev, changelogrevision):
            session = admission.session()
            if session is not None:
                check_changeset(session, self.unfiltered(), rev, changelogrevision)
            super().register_changeset(rev, changelogrevision)

    repo.__class__ = checkedrepository


def _wrap_part(name, wrapper):
    original = bundle2.parthandlermapping[name]

    def handler(op, part):
        session = admission.session()
        if session is not None and session.of_client:
            wrapper(op, part)
        original(op, part)

    handler.params = original.params
    bundle2.parthandlermapping[name] = handler


def _refuse_part(_op, part):
    raise error.Abort(b"a push with a part '%s' is not taken: it brings what is not in the log" % part.type)


def _check_changegroup_part(op, part):
    version = part.params.get(b"version", b"01")
    if version not in changegroup.supportedincomingversions(op.repo):
        raise error.Abort(b"a changegroup of version '%s' is not taken" % version)
    if b"treemanifest" in part.params and not scmutil.istreemanifest(op.repo):
        raise error.Abort(b"tree manifests are not taken; push from a repository without 'treemanifest'")


def _add_group(original, store, deltas, linkmapper, transaction, *args, **kwargs):
    """Refuses revisions that no changeset of this transaction brings: another instance would not get them."""
    session = admission.session()
    if session is None:
        return original(store, deltas, linkmapper, transaction, *args, **kwargs)
    kind, name = store.target
    if kind == constants.KIND_FILELOG and b"\n" in name:
        raise _not_taken(name, b"file name", b"it has a line end in it")
    before = len(store)
    answer = original(store, deltas, linkmapper, transaction, *args, **kwargs)
    first = transaction.changes[b"origrepolen"]
    for rev in range(before, len(store)):
        if store.linkrev(rev) < first:
            raise error.Abort(b"the push adds content to changeset %d, which is here already" % store.linkrev(rev))
        if store.flags(rev) & _ELSEWHERE:
            raise error.Abort(b"the push has content that is kept elsewhere (lfs, narrow); this server cannot keep it")
    if len(store) > before:
        session.added.setdefault((kind, name), (store, before))
    return answer


def check_all_is_carried(repo, first, added):
    """For a bundle that is made again: it holds what its changesets name, and nothing else must have been added."""
    log = repo.changelog
    manifests, files = set(), set()
    for rev in range(first, len(log)):
        read = log.changelogrevision(rev)
        manifests.add(read.manifest)
        files.update(read.files)
    for (kind, name), (store, before) in added.items():
        if kind == constants.KIND_FILELOG:
            carried = name in files
        elif kind == constants.KIND_MANIFESTLOG:
            carried = all(store.node(rev) in manifests for rev in range(before, len(store)))
        else:
            carried = True
        if not carried:
            raise error.Abort(b"the push adds content that none of its changesets has")


def check_changeset(session, repo, rev, read):
    """A new changeset: it can be read whole, and its branch survives caches that are lines."""
    try:
        name = read.extra[b"branch"]
        _ = read.user, read.date, read.description, read.files
    except (ValueError, KeyError, IndexError) as why:
        node = short(repo.changelog.node(rev))
        raise error.Abort(b"changeset %s cannot be read: %s" % (node, repr(why).encode())) from None
    if name in session.branches:
        return
    check_line(name, b"branch name")
    if session.of_client:
        try:
            scmutil.checknewlabel(repo, name, b"branch")
        except error.Abort as why:
            # One that an import brought may go on.
            parents = [parent for parent in repo.changelog.parentrevs(rev) if parent >= 0]
            if not any(repo.changelog.branchinfo(parent)[0] == encoding.tolocal(name) for parent in parents):
                raise _not_taken(name, b"branch name", why.message) from None
            return
    session.branches.add(name)


def check_bookmarks(repo, moves, of_client):
    """`moves` is name to (old, new). What is there already may always be moved or removed."""
    for name, (old, new) in moves.items():
        if new is None:
            continue
        try:
            line = b"%s %s\n" % (hex(new), encoding.fromlocal(name))
        except error.Abort:
            raise _not_taken(name, b"bookmark name", b"it is not UTF-8") from None
        check_line(line[41:-1], b"bookmark name")
        if old is None and of_client:
            try:
                bookmarks.checkformat(repo, name)
            except error.Abort as why:
                raise _not_taken(name, b"bookmark name", why.message) from None


def check_phases(changes):
    """The log knows drafts and what has become public."""
    for _revs, (old, new) in changes:
        if new not in (phases.public, phases.draft) or (old is not None and new > old):
            raise error.Abort(b"a push can make changesets draft or public, and nothing else")


def check_markers(markers):
    """One that its file does not keep whole would be another one when it is sent again."""
    markers = list(markers)
    file = b"".join(obsolete.encodemarkers(markers, addheader=True, version=obsolete._fm1version))
    _version, read = obsolete._readmarkers(file)
    if list(read) != markers:
        raise error.Abort(b"an obsolescence marker is not taken: its time zone is not one of whole minutes")


def check_line(name, what):
    """`name` as UTF-8 is what is read back from a file with one on each line."""
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        raise _not_taken(name, what, b"it is not UTF-8") from None
    if not name.strip():
        raise _not_taken(name, what, b"it is blank")
    if name != name.strip():
        raise _not_taken(name, what, b"it begins or ends with a blank")
    if any(byte in name for byte in (b"\n", b"\r", b"\0")):
        raise _not_taken(name, what, b"it has a line end or a zero byte in it")


def _not_taken(name, what, why):
    return error.Abort(b"the %s '%s' is not taken: %s" % (what, encoding.trim(_printable(name), 60, b"..."), why))


def _printable(name):
    return name.decode("utf-8", "backslashreplace").encode("unicode-escape")
