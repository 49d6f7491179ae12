# SPDX-License-Identifier: GPL-2.0-or-later
"""What a lane can be asked for: docs/protocols.md, "Lane requests". Each takes the request and its body."""

import contextlib
import os
import traceback

from mercurial import vfs

from . import apply, hashes, hgrc, init, integrity, recover, reinstate, snapshot, state, strip, view
from .repositories import Busy, Missing, locked, locked_files

DEFAULT_TIMEOUT_SECONDS = 10


class Full(Exception):
    """There is too little space to begin."""


class Invalid(Exception):
    """The request is not one."""


# What each operation cannot do without.
_FIELDS = {
    "init": {"offset": int, "settings": dict, "path": str},
    "configure": {"offset": int, "settings": dict, "path": str},
    "apply": {"offset": int, "push": dict},
    "show": {"offset": int, "push": dict},
    "strip": {"offset": int, "changesets": list},
    "recover": {},
    "reinstate": {},
    "state": {},
    "hash": {},
    "integrity": {},
    "snapshot": {"file": str},
    "skip": {"offset": int},
}


class Lane:
    def __init__(self, repositories):
        self._repositories = repositories

    def run(self, request, body):
        name = request.get("op")
        if name not in _FIELDS:
            raise Invalid("there is no operation %r" % (name,))
        for field, kind in {"directory": str, **_FIELDS[name]}.items():
            if not isinstance(request.get(field), kind):
                raise Invalid("%s needs the field %s, of type %s" % (name, field, kind.__name__))
        return getattr(self, name)(request, body)

    def forget(self, request):
        if isinstance(request.get("directory"), str):
            self._repositories.forget(request["directory"])

    def mend(self, request):
        """After a failure: Mercurial leaves a transaction that fails in its last steps to the next `hg recover`."""
        self.forget(request)
        with contextlib.suppress(Exception):
            repo = self._repositories.open(request["directory"])
            if repo.svfs.exists(b"journal"):
                with locked(repo, 0):
                    pass
        self.forget(request)

    def init(self, request, _body):
        try:
            self._repositories.open(request["directory"])
        except Missing:
            return self._create(os.fsencode(request["directory"]), request)
        self.configure(request, b"")
        return self.state(request, b"")

    def _create(self, directory, request):
        """Opens nothing: that would take many times as long as making the files, and a new one is empty."""
        ui = self._repositories.ui
        _require_space(ui, os.path.dirname(directory), 0)
        init.create(ui, directory)
        offset = request["offset"]
        hgrc.write(vfs.vfs(os.path.join(directory, b".hg")), offset, request["settings"], request["path"])
        known = state.State(applied=offset, shown=0 if request.get("hidden") else offset)
        # The last file: without it the repository counts as never begun.
        with vfs.vfs(os.path.join(directory, b".hg", b"store"))(state.FILE, b"w", atomictemp=True) as file:
            file.write(known.line())
        return {**known.object(), **hashes.EMPTY}

    def configure(self, request, _body):
        """Opens nothing, as `_create`. What clients see stays as it was, so that the answer says nothing of it."""
        ui, directory = self._repositories.ui, os.fsencode(request["directory"])
        with locked_files(ui, directory, _timeout(request)) as files:
            _require_space(ui, directory, 0)
            hgrc.write(files.vfs, request["offset"], request["settings"], request["path"])
            known = state.read(files)
            known.passed(request["offset"], bool(request.get("hidden")))
            state.write(files, known)
        # It has read its settings.
        self.forget(request)
        return known.object()

    def apply(self, request, body):
        push = request["push"]
        hidden = bool(request.get("hidden"))
        with self._payloads(push, body) as (bundle, markers), self._changing(request, _size(bundle)) as repo:
            apply.apply(repo, request["offset"], push, bundle, markers, hidden)
        _warm(repo)
        return _answer(repo)

    def show(self, request, body):
        push = request["push"]
        with self._payloads(push, body) as (_bundle, markers), self._changing(request, _size(markers)) as repo:
            apply.show(repo, request["offset"], push, markers)
        _warm(repo)
        return _answer(repo)

    def strip(self, request, _body):
        with self._changing(request) as repo:
            strip.strip(repo, request["offset"], request["changesets"])
        self.forget(request)
        return self.state(request, b"")

    def skip(self, request, _body):
        with self._changing(request) as repo:
            known = state.read(repo)
            known.passed(request["offset"], bool(request.get("hidden")))
            state.write(repo, known)
        return _answer(repo)

    def recover(self, request, _body):
        breaks = bool(request.get("breakLocks"))
        return _answer(recover.recover(self._repositories, request["directory"], breaks, _timeout(request)))

    def reinstate(self, request, _body):
        return _answer(reinstate.reinstate(self._repositories, request["directory"], _timeout(request)))

    def state(self, request, _body):
        return _answer(self._repositories.open(request["directory"]))

    def hash(self, request, _body):
        repo = self._repositories.open(request["directory"])
        # Under the lock: the files that are hashed change one after the other.
        with locked(repo, _timeout(request)):
            known = state.read(repo)
            wanted = request.get("at")
            if wanted is not None and wanted != known.shown:
                raise Busy("record %d is not what is shown, %d is" % (wanted, known.shown))
            return {"at": known.shown, **hashes.content_hashes(repo, known)}

    def integrity(self, request, _body):
        repo = self._repositories.open(request["directory"])
        return {"damage": integrity.damage(repo, _timeout(request))}

    def snapshot(self, request, _body):
        repo = self._repositories.open(request["directory"])
        with locked(repo, _timeout(request)):
            snapshot.write(repo, request["file"])
            return _answer(repo)

    @contextlib.contextmanager
    def _changing(self, request, size=0):
        """The repository, locked; `size` bytes are about to be added to it."""
        repo = self._repositories.open(request["directory"])
        _require_space(repo.ui, repo.path, size)
        with locked(repo, _timeout(request)):
            yield repo

    @contextlib.contextmanager
    def _payloads(self, push, body):
        with contextlib.ExitStack() as files:
            bundle, end = apply.open_payload(push.get("bundle"), body, 0)
            if bundle is not None:
                files.enter_context(bundle)
            markers, end = apply.open_payload(push.get("markers"), body, end)
            if markers is not None:
                files.enter_context(markers)
            yield bundle, markers


def _warm(repo):
    """Fills the caches that readers need; they are only caches, so that failing here fails nothing."""
    try:
        shown = view.shown(repo)
        # Mercurial 7.2 fails to make the branch cache of a view that has nothing to show.
        if shown.changelog.tiprev() >= 0:
            view.warm(repo)
            if hasattr(repo._branchcaches, "update_disk"):
                # Since 7.0 the cache stays in this process otherwise.
                repo._branchcaches.update_disk(view.shown(repo))
    except Exception:
        traceback.print_exc()


def _answer(repo):
    known = state.read(repo)
    if known is None:
        raise Missing(os.fsdecode(repo.root))
    return {**known.object(), **hashes.Shown(repo, known).summary()}


def _timeout(request):
    return request.get("timeout", DEFAULT_TIMEOUT_SECONDS)


def _size(file):
    if file is None:
        return 0
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    return end


def _require_space(ui, path, size):
    """Refuses before anything is written what would fail for want of space and then need space to be undone."""
    free = os.statvfs(path)
    available = free.f_bavail * free.f_frsize
    needed = size + ui.configbytes(b"hg-operator", b"reserved-space")
    if available < needed:
        raise Full("%d bytes are free, %d are needed" % (available, needed))
