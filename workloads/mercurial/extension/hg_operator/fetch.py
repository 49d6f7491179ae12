# SPDX-License-Identifier: GPL-2.0-or-later
"""A `fetch` child: fills an empty repository from a Mercurial server or a bundle, as a push through the gate.

What it brings is one transaction, hence one record, as large as it may be.
"""

import os
import signal
import sys
import traceback

from mercurial import bookmarks, bundle2, error, exchange, hg, phases, streamclone, url
from mercurial.utils import stringutil

from . import admission, gate, push, serve

# Of silence; how long the whole may take is decided by whoever asked.
SOCKET_SECONDS = 60
_SCHEMES = (b"http://", b"https://")


def run(connection, request, config, baseui):
    """Answers `{"fetched": changesets}` or `{"failed": sentence}`."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, serve.interrupt)
    try:
        answer = {"fetched": _fetch(request, config, baseui)}
    except error.Abort as why:
        answer = {"failed": _text(why.message)}
    except (error.Error, OSError, ValueError) as why:
        answer = {"failed": _text(stringutil.forcebytestr(why))}
    except Exception:
        traceback.print_exc()
        answer = {"failed": "internal error; the master's log says more"}
    connection.send(answer)


def _fetch(request, config, baseui):
    user = request["user"]
    source = os.fsencode(request["source"])
    if not source.lower().startswith(_SCHEMES):
        raise error.Abort(b"only http:// and https:// are fetched from")
    push_gate = gate.Gate(config.get("gate"), request["repository"], user, True)
    session = push.Session(baseui, push_gate, user, config.get("spool"), sys.stderr, of_client=False)
    admission.admit(session)
    repo = hg.repository(_ui(baseui), os.fsencode(request["directory"])).local()
    try:
        with push.as_abort(session):
            session.wait(repo)
            with repo.wlock(), repo.lock():
                if len(repo.unfiltered().changelog):
                    raise error.Abort(b"the repository is not empty any more")
                with repo.transaction(b"import") as tr:
                    _bring(repo, tr, source, bool(request.get("bundle")))
    finally:
        session.settle(repo.ui)
    return len(repo.unfiltered().changelog)


def _ui(baseui):
    ui = baseui.copy()
    for section, name, value in (
        # The changesets come as a changegroup, which the log can keep.
        (b"ui", b"clonebundles", b"false"),
        (b"http", b"timeout", b"%d" % SOCKET_SECONDS),
    ):
        ui.setconfig(section, name, value, b"hg-operator")
    return ui


def _bring(repo, tr, source, is_bundle):
    if is_bundle:
        _apply_bundle(repo, tr, source)
    else:
        _pull(repo, tr, source)
    if repo.publishing():
        # As if it had been pushed here.
        whole = repo.unfiltered()
        heads = [whole.changelog.node(rev) for rev in whole.changelog.headrevs()]
        phases.advanceboundary(whole, tr, phases.public, heads)


def _pull(repo, tr, source):
    remote = hg.peer(repo.ui, {}, source)
    try:
        exchange.pull(repo, remote, streamclonerequested=False)
        marks = bookmarks.unhexlifybookmarks(remote.listkeys(b"bookmarks"))
        held = {name: node for name, node in marks.items() if node in repo}
        repo._bookmarks.applychanges(repo, tr, sorted(held.items()))
    finally:
        remote.close()


def _apply_bundle(repo, tr, source):
    with url.open(repo.ui, source) as file:
        bundle = exchange.readbundle(repo.ui, file, b"import")
        if isinstance(bundle, streamclone.streamcloneapplier):
            raise error.Abort(b"this is a stream bundle; make one with 'hg bundle --all'")
        bundle2.applybundle(repo, bundle, tr, source=b"unbundle", url=b"bundle:" + source)


def _text(message):
    return message.decode("utf-8", "replace").strip() or "it failed without a word"
