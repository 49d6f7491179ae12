# SPDX-License-Identifier: GPL-2.0-or-later
"""A lane's open repositories: reopening one costs much more than looking whether its files have changed."""

import collections
import contextlib
import os

from mercurial import hg, lock, vfs

from . import state

MAX_OPEN = 64
# About 64 bytes of index and some caches each.
MAX_OPEN_CHANGESETS = 4_000_000


class Busy(Exception):
    """What is asked for is not there at this moment."""


class Missing(Exception):
    """There is no finished repository in that directory."""


def lane_ui(baseui):
    """Lanes repeat what the log says: no site hook may object, and nothing is printed."""
    ui = baseui.copy()
    for name, _command in list(ui.configitems(b"hooks")):
        ui.setconfig(b"hooks", name, b"", b"hg-operator")
    for section, name, value in (
        (b"ui", b"quiet", b"true"),
        # Records may hold markers whatever today's settings say.
        (b"experimental", b"evolution", b"all"),
    ):
        ui.setconfig(section, name, value, b"hg-operator")
    return ui


class Repositories:
    """Least recently used first."""

    def __init__(self, ui):
        self.ui = ui
        self._open = collections.OrderedDict()

    def open(self, directory):
        """The unfiltered repository as it is on disk now."""
        path = os.fsencode(directory)
        repo = self._open.get(path)
        if repo is None:
            repo = self.load(path)
        else:
            self._open.move_to_end(path)
            repo.invalidateall()
        if not repo.svfs.exists(state.FILE):
            self.forget(directory)
            raise Missing(directory)
        return repo

    def forget(self, directory):
        """For changes that an open repository would not notice, and after failures."""
        self._open.pop(os.fsencode(directory), None)

    def load(self, path):
        """Opens it anew, with a state or without."""
        if not os.path.isdir(os.path.join(path, b".hg", b"store")):
            raise Missing(os.fsdecode(path))
        repo = hg.repository(self.ui.copy(), path).local().unfiltered()
        for section, name, value in list(self.ui.walkconfig()):
            # The repository's own hgrc was read on top of these.
            if section in (b"hooks", b"experimental") and self.ui.configsource(section, name) == b"hg-operator":
                repo.ui.setconfig(section, name, value, b"hg-operator")
        self._open[path] = repo
        while len(self._open) > 1 and self._too_many():
            self._open.popitem(last=False)
        return repo

    def _too_many(self):
        if len(self._open) > MAX_OPEN:
            return True
        return sum(len(repo.changelog) for repo in self._open.values()) > MAX_OPEN_CHANGESETS


@contextlib.contextmanager
def locked(repo, timeout):
    """Holds both locks, and repairs what somebody who held them before left half done."""
    for name in (b"timeout", b"timeout.warn"):
        repo.ui.setconfig(b"ui", name, b"%d" % timeout, b"hg-operator")
    with repo.wlock(), repo.lock():
        if repo.svfs.exists(b"journal"):
            repo.recover()
            repo.invalidate(clearfilecache=True)
        yield


Files = collections.namedtuple("Files", "vfs svfs")


@contextlib.contextmanager
def locked_files(ui, directory, timeout):
    """As `locked`, for what needs no open repository, which costs many times as much."""
    files = Files(*(vfs.vfs(os.path.join(directory, name)) for name in (b".hg", b".hg/store")))
    if not files.svfs.exists(state.FILE):
        raise Missing(os.fsdecode(directory))
    with _lock(ui, files.vfs, b"wlock", timeout), _lock(ui, files.svfs, b"lock", timeout):
        if files.svfs.exists(b"journal"):
            # Whoever hears of a failure recovers the repository.
            raise Busy("what was left half done in %s has to be undone first" % os.fsdecode(directory))
        yield files


def _lock(ui, folder, name, timeout):
    """Whoever waits in vain is told so at the end, and not before."""
    return lock.trylock(ui, folder, name, timeout, timeout, desc=folder.base)
