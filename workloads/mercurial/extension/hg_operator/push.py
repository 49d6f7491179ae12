# SPDX-License-Identifier: GPL-2.0-or-later
"""A push: asked about before it begins, recorded by the transaction's last validator, confirmed when it has closed.

Mercurial runs validators in the order of their names and its own runs all `pretxnclose` hooks, so whatever a hook may
refuse is refused before anything is in the log. After the validator only the disk can fail: then the record stands and
the repository's lane repeats it.
"""

import weakref
from traceback import print_exception

from mercurial import bundle2, error, exchange, extensions, wireprototypes, wireprotov1server
from mercurial.utils import stringutil

from . import acceptable, admission, gate, limits, payload, pushlog, received, spool, state, test_points
from .pending import Pending, served_heads

REPAIRED = b"recorded; being repaired\n"

# More changesets than this get one link to the pushlog instead of one each, as in the reference (facts/hgmo.md, C2).
MAX_CHANGESET_LINKS = 10


class Session:
    """What one child does with its pushes; `spool_directory` is where large bundles are left for the gate.

    `log` is where a fault is told that the person is not; `of_client` is false for an import.
    """

    def __init__(self, ui, push_gate, user, spool_directory, log, of_client=True):
        self.ui = ui
        self.log = log
        self.of_client = of_client
        # What the open transaction has added from changegroups: (kind, name) to (revlog, length before).
        self.added = {}
        # Names of branches that were found good.
        self.branches = set()
        self._gate = push_gate
        self._user = user
        self._spool = spool_directory
        # What the client is sending, where that is kept in a file.
        self.bundle_file = None
        # The type of the part that is being processed.
        self.part = None
        # Why the push that is being received will not be taken.
        self.refusal = None
        # The most bytes that the client may send with it, where a resource says so.
        self.largest_push = None
        # True after a transaction of the current command was recorded and has closed.
        self.recorded = False
        # The record whose transaction is not known to be over.
        self._offset = None
        self._closed = False

    def wait(self, repo):
        """Before the lock: lets the lane bring the repository up to date, which needs the lock."""
        self.recorded = False
        try:
            self._gate.wait()
        except gate.Refused as refusal:
            raise _abort(repo.ui, refusal) from None
        repo.unfiltered().invalidateall()

    def ask(self, ui):
        """Before anything of a push is received: None, or why it is not taken."""
        self.largest_push = None
        try:
            self.largest_push = self._gate.open()
        except gate.Refused as refusal:
            return _abort(ui, refusal)
        return None

    def settle(self, ui):
        """After the lock is released: tells the gate how the transaction of the last record ended."""
        if self._offset is None:
            return
        failed = not self._closed
        self._gate.closed(self._offset, failed)
        self._offset = None
        if failed:
            ui.warn(REPAIRED)

    def transaction(self, repo, opened, desc, *args, **kwargs):
        """Opens the outermost transaction of a push; the lock is held."""
        try:
            self._gate.open()
        except gate.Refused as refusal:
            raise _abort(repo.ui, refusal) from None
        if repo.svfs.exists(b"journal"):
            repo.ui.warn(b"abandoned transaction found; running recover\n")
            repo.recover()
        self.added = {}
        heads = served_heads(repo)
        reference = weakref.ref(repo)
        tr = opened(desc, *args, **kwargs)
        tr.addvalidator(b"zz-hg-operator", lambda tr: self._record(reference(), tr, heads))
        return tr

    def _record(self, repo, tr, heads_before):
        acceptable.check_phases(tr.changes[b"phases"])
        brought = Pending(repo, tr, self.bundle_file, self.added)
        if not brought:
            return
        acceptable.check_markers(brought.markers)
        acceptable.check_bookmarks(repo, brought.bookmarks, self.of_client)
        ui = repo.ui
        known = state.read(repo)
        if known is None:
            raise error.Abort(b"this repository has no state file; it cannot take pushes")
        test_points.reach(ui, test_points.BEFORE_APPEND)
        recorded = self._append(ui, known, brought, heads_before)
        self._offset = recorded["offset"]
        self._closed = False
        test_points.reach(ui, test_points.AFTER_APPEND)
        if brought.changesets:
            line = pushlog.row(recorded["pushId"], self._user, recorded["time"], self._offset, brought.nodes())
            pushlog.append(repo, tr, line)
        revisions = len(repo.changelog)
        state.write_with(tr, state.State(self._offset, revisions, self._offset, revisions))
        # Finalizers run in the order of their names, too: the changelog is written by `cl-...`.
        tr.addfinalize(b"zz-hg-operator", lambda tr: test_points.reach(ui, test_points.DURING_CLOSE))
        tr.addpostclose(b"-hg-operator", lambda tr: self._after_close(ui, brought))
        tr.addpostclose(b"zz-hg-operator", lambda tr: _say_what_was_recorded(ui, brought, recorded))

    def _append(self, ui, known, brought, heads_before):
        try:
            push, body = brought.describe(heads_before, self._spool)
        except OSError as why:
            raise error.Abort(b"cannot prepare the push for the log: %s" % stringutil.forcebytestr(why)) from None
        try:
            return self._gate.append(known.applied, push, body)
        except gate.Refused as refusal:
            if not isinstance(refusal, gate.Unknown):
                spool.discard(push["bundle"])
                spool.discard(push["markers"])
            raise _abort(ui, refusal) from None

    def _after_close(self, ui, brought):
        self._closed = self.recorded = True
        if brought.changesets:
            ui.status(b"recorded push in pushlog\n")


def _abort(ui, refusal):
    """The lines reach the person as `remote:` lines, the last one with the abort itself."""
    lines = [line.encode("utf-8", "replace") for line in refusal.lines]
    for line in lines[:-1]:
        ui.warn(line + b"\n")
    return error.Abort(lines[-1])


def _say_what_was_recorded(ui, brought, recorded):
    """The reference's texts (facts/hgmo.md, C2 and C3)."""
    if brought.changesets:
        _print_links(ui, brought)
    kinds = []
    if brought.changesets:
        kinds.append(b"changegroup")
    else:
        kinds.extend([b"updates to bookmarks"] if brought.bookmarks else [])
        kinds.extend([b"updates to phases"] if brought.published else [])
    kinds.extend([b"updates to obsolete"] if brought.markers else [])
    for kind in kinds:
        ui.status(b"recorded %s in replication log in %.3fs\n" % (kind, recorded["seconds"]))
    if recorded.get("warning"):
        ui.warn(recorded["warning"].encode("utf-8") + b"\n")


def _print_links(ui, brought):
    base = ui.config(b"hg-operator", b"url").rstrip(b"/")
    if not base:
        return
    base += b"/" + ui.config(b"hg-operator", b"path")
    nodes = [node.encode("ascii") for node in brought.nodes()]
    if len(nodes) > MAX_CHANGESET_LINKS:
        ui.status(b"\nView the pushlog for these changes here:\n")
        ui.status(b"  %s/pushloghtml?changeset=%s\n" % (base, nodes[-1]))
        return
    ui.status(b"\nView your change%s here:\n" % (b"s" if len(nodes) > 1 else b""))
    for node in nodes:
        ui.status(b"  %s/rev/%s\n" % (base, node))


def _unbundle(original, repo, bundle, heads, source, url):
    session = admission.session()
    if session is None:
        return original(repo, bundle, heads, source, url)
    in_bundle2 = isinstance(bundle, bundle2.unbundle20)
    try:
        with as_abort(session):
            try:
                if session.refusal is not None:
                    raise session.refusal
                session.wait(repo)
                session.bundle_file = received.file_of(bundle)
                answer = original(repo, bundle, heads, source, url)
            finally:
                session.bundle_file = None
                session.settle(repo.ui)
    except error.Abort as abort:
        # Without this a bundle2 client is answered in bundle1's way.
        abort.duringunbundle2 = in_bundle2
        raise
    # One that did not say what it understands is answered with nothing, which Mercurial itself does not manage.
    return bundle2.bundle20(repo.ui) if answer is None and in_bundle2 else answer


def _pushkey(original, repo, proto, *args):
    session = admission.session()
    if session is None:
        return original(repo, proto, *args)
    try:
        with as_abort(session):
            try:
                session.wait(repo)
                return original(repo, proto, *args)
            finally:
                session.settle(repo.ui)
    except error.Abort as abort:
        # The command's own code lets this end the whole connection.
        repo.ui.warn(b"abort: %s\n" % abort.message)
        return wireprototypes.bytesresponse(b"0\n")


class as_abort:
    """Turns whatever a push may raise into an abort, which reaches the client as a sentence."""

    def __init__(self, session):
        self._session = session

    def __enter__(self):
        return self

    def __exit__(self, kind, why, traceback):
        if isinstance(why, _ANSWERED) or not isinstance(why, Exception):
            return False
        if isinstance(why, error.LockHeld):
            # Mercurial would name the folder, this machine and a process, which is nothing to the person.
            raise error.Abort(b"somebody else is changing the repository; try again in a moment") from why
        bound = limits.sentence(self._session.ui, why)
        if bound is not None:
            raise error.Abort(bound) from why
        if isinstance(why, OSError):
            raise error.Abort(stringutil.forcebytestr(why.strerror or why)) from why
        # A bundle made by hand, most likely; what is wrong with it may be a fault of ours as well.
        print_exception(why, file=self._session.log)
        recorded = self._session.recorded
        if recorded:
            raise error.Abort(b"the push is recorded, but its answer cannot be made") from why
        what = b"its bundle" if self._session.part is None else b"its part '%s'" % self._session.part
        raise error.Abort(b"the push cannot be taken: %s cannot be read (the server's log says more)" % what) from why


# Mercurial's own code has an answer to these.
_ANSWERED = (error.Abort, error.BundleValueError, error.PushRaced, BrokenPipeError, payload.SessionOver)


def extsetup(ui):
    extensions.wrapfunction(exchange, "unbundle", _unbundle)
    entry = wireprotov1server.commands[b"pushkey"]
    original = entry.func
    entry.func = lambda repo, proto, *args: _pushkey(original, repo, proto, *args)
