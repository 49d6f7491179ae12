# SPDX-License-Identifier: GPL-2.0-or-later
"""Mercurial's web application for one repository, kept between requests and brought up to date when files changed.

Stock hgweb makes a new repository object whenever a file's time or size changed, and its directory server one for
every request; both cost more than most answers.
"""

import collections
import contextlib
import os
import time
import zlib

from mercurial import hg
from mercurial.hgweb import common, hgweb_mod

from . import named_hashes, showing, stream_clone, view

DEFAULT_CACHED = 200
# A transaction that commits while we load what it wrote: load again, at most this often.
MAX_RELOADS = 5

# Below .hg; any of them changes with every record that the lane applies or shows.
_WATCHED = (b"store/hg-operator-state", b"store/00changelog.i", b"store/phaseroots", b"store/obsstore", b"bookmarks")
_SETTINGS = (b"hgrc",)


class Application(hgweb_mod.hgweb):
    def __init__(self, directory, path, baseui):
        self._settings_key = _stamps(directory, _SETTINGS)
        self._directory = directory
        self._key = None
        # Of the next request: whoever asks knows that nobody has a changeset that is not stored here.
        self.is_definite = False
        # Whole answers to small wire commands in the current state, by request.
        self.answers = {}
        repo = hg.repository(baseui.copy(), directory)
        super().__init__(repo, name=repo.ui.config(b"web", b"name") or path)
        self._unfiltered = repo.unfiltered()

    def settings_changed(self):
        return self._settings_key != _stamps(self._directory, _SETTINGS)

    @contextlib.contextmanager
    def _obtainrepo(self):
        self._unfiltered.__dict__.pop("_hg_operator_named", None)
        self._unfiltered.__dict__[named_hashes.DEFINITE] = self.is_definite
        yield view.shown(self._unfiltered)

    def _runwsgi(self, req, res, repo):
        if view.is_mirror(repo.ui):
            repo = named_hashes.web_view(repo, req)
        return super()._runwsgi(req, res, repo)

    def refresh(self):
        """Loads what changed; call it before each request."""
        deadline = None
        while not self._load():
            # Either what is shown is about to change, or there are fewer changesets than the state says: a strip is at
            # work, which removes some for a moment. What was loaded is not whole, whatever comes of the waiting.
            self._key = None
            wait = self._unfiltered.ui.configint(b"hg-operator", b"stream-wait", stream_clone.DEFAULT_WAIT_SECONDS)
            deadline = deadline or time.monotonic() + wait
            if time.monotonic() >= deadline:
                raise stream_clone.RetryLater("the repository is changing")
            time.sleep(stream_clone.LOCK_RETRY_SECONDS)

    def _load(self):
        """Everything an answer is made of is loaded here, so that it is of one state. False when some is missing."""
        unfiltered = self._unfiltered
        for _try in range(MAX_RELOADS):
            key = _stamps(self._directory, _WATCHED)
            if key == self._key:
                return True
            # Asked between looking at the files and loading them: what changes later is seen by the next look.
            if showing.is_under_way(self._directory):
                return False
            unfiltered.invalidateall()
            view.refresh(unfiltered)
            _ = unfiltered.changelog, unfiltered._phasecache, unfiltered.obsstore, unfiltered._bookmarks
            self._key = key
            self.answers = {}
            # hgweb makes its ETag of this number.
            self.mtime = zlib.crc32(repr(key).encode("ascii"))
            if len(unfiltered.changelog) < (view.read_state(unfiltered).get("appliedRevisions") or 0):
                return False
        return False


class Applications:
    """The newest applications, by repository."""

    def __init__(self, baseui):
        self._baseui = baseui
        self._limit = baseui.configint(b"hg-operator", b"web-cached", DEFAULT_CACHED)
        self._kept = collections.OrderedDict()

    def get(self, request):
        directory = request["directory"].encode()
        # The same directory never serves two repositories: it is named by creation id. The path may change.
        key = (directory, request.get("repository"), request["path"])
        application = self._kept.get(key)
        if application is not None and not application.settings_changed():
            self._kept.move_to_end(key)
            return application
        application = Application(directory, request["path"].encode(), self._baseui)
        self._kept[key] = application
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        return application


def refuse_pushes():
    """Mirrors take no pushes, whatever a repository's settings say. Clients print `authorization failed`."""
    if _refuse_push not in common.permhooks:
        common.permhooks.insert(0, _refuse_push)


def _refuse_push(rctx, req, op):
    if op == b"push":
        raise common.ErrorResponse(common.HTTP_UNAUTHORIZED, b"push not authorized")


def _stamps(directory, names):
    return tuple(_stamp(directory + b"/.hg/" + name) for name in names)


def _stamp(path):
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
