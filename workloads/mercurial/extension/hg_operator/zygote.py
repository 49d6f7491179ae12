# SPDX-License-Identifier: GPL-2.0-or-later
"""The process from which all others of one instance are forked: Mercurial and extensions are loaded once.

`PYTHON zygote.py CONFIG.json`; docs/protocols.md, "Zygote". A cold `hg serve` takes 175 ms or more until it answers, a
fork of this takes 10 (facts/mercurial-internals.md, section 3).
"""

import ctypes
import gc
import importlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import traceback

BACKLOG_CONNECTIONS = 256
# What a standby applies is read by nobody: on a machine that it shares, masters and mirrors go first.
BACKGROUND_NICENESS = 10
_PR_SET_PDEATHSIG = 1
# `EX_CONFIG` of sysexits.h: the next start fares no better until somebody has changed the hgrc.
REFUSED = 78

# Imported by the first child that needs them otherwise, which every child would then repeat.
_PRELOADED = """
    bookmarks branchmap bundle2 bundlerepo changegroup commands discovery dirstate exchange filelog hook localrepo
    manifest merge mergestate obsolete obsutil phases repair repoview revset scmutil setdiscovery streamclone tags
    transaction wireprotoserver wireprotov1server hgweb.hgweb_mod
""".split()


def die_with(parent):
    """Ends this process when `parent` does, also if that happened before this call."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        os._exit(1)


def load(config):
    """Loads Mercurial with the extensions of the given hgrc and of nothing else; answers the ui of all children."""
    os.environ.update({"HGRCPATH": config["hgrc"], "HGPLAIN": "1", "HGENCODING": "utf-8"})
    for name in ("HGMERGE", "HGUSER", "HG_PENDING", "HGPLAINEXCEPT"):
        os.environ.pop(name, None)
    from mercurial import extensions, ui as uimod

    from hg_operator import foreign

    try:
        from mercurial import initialization

        # Since 7.2; without it pushes are told that "replycaps" is unknown.
        initialization.init()
    except ImportError:
        pass
    baseui = uimod.ui.load()
    for section, name, value in (
        (b"ui", b"nontty", b"true"),
        (b"ui", b"interactive", b"false"),
        # By its name, so that there is one copy of these modules whatever path the hgrc says.
        (b"extensions", b"hg_operator", b""),
    ):
        baseui.setconfig(section, name, value, b"hg-operator")
    refusal = foreign.refusal(baseui)
    if refusal is not None:
        refuse(refusal)
    # The first to be loaded: others derive filters from what they find. What is set again stands last.
    for name, path in baseui.configitems(b"extensions"):
        if name != b"hg_operator":
            baseui.setconfig(b"extensions", name, path, baseui.configsource(b"extensions", name))
    extensions.loadall(baseui)
    extensions.populateui(baseui)
    for name in _PRELOADED:
        importlib.import_module("mercurial." + name)
    for name in ("fetch", "lane", "prove", "serve", "temporary", "web"):
        importlib.import_module("hg_operator." + name)
    from hg_operator import locking

    locking.install()
    return baseui


def refuse(sentence):
    print(sentence, file=sys.stderr)
    sys.exit(REFUSED)


def mistake(failure):
    """What is wrong in an hgrc, in Mercurial's own words, with file and line; None: nobody's mistake there."""
    from mercurial import error

    if not isinstance(failure, error.Error):
        return None
    return "; ".join(failure.format().decode("utf-8", "replace").split("\n")).strip("; ")


def touch_repository(baseui):
    """Opens an empty repository once, which loads and computes what Mercurial leaves to the first use."""
    from mercurial import hg, wireprotov1server

    from hg_operator import init

    directory = tempfile.mkdtemp(prefix="hg-operator-").encode()
    try:
        init.create(baseui, directory + b"/r")
        repo = hg.repository(baseui.copy(), directory + b"/r").local()
        repo.filtered(b"served").branchmap()
        repo.tags()
        wireprotov1server.capabilities(repo, _Protocol())
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class _Protocol:
    name = b"ssh-v1"

    def addcapabilities(self, _repo, capabilities):
        return capabilities


def child(sock, config, baseui, zygote):
    """One connection's process; never returns."""
    from hg_operator import temporary

    code = 1
    try:
        die_with(zygote)
        # An ignored SIGCHLD would make the exit codes of hooks unreadable, and every hook would seem to agree.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # A group of its own, so that a hook's processes can be ended with it.
        os.setpgid(0, 0)
        own = temporary.enter()
        try:
            _run(sock, config, baseui)
        finally:
            temporary.leave(own)
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _run(sock, config, baseui):
    from hg_operator import fetch, frames, lane, limits, prove, serve, web

    connection = frames.Connection(sock)
    received = connection.receive_with_descriptors()
    if received is None:
        return
    request, _body, descriptors = received
    connection.send({"pid": os.getpid()})
    mode = request.get("mode")
    if mode == "serve":
        limits.apply(baseui, limits.COMMAND)
        serve.run(connection, request, descriptors, config, baseui)
    elif mode == "fetch":
        limits.apply(baseui, limits.IMPORT)
        fetch.run(connection, request, config, baseui)
    elif mode == "lane":
        # Only these: on a standby that becomes master, what serves people was forked later and is not slowed down.
        if config.get("background"):
            os.nice(BACKGROUND_NICENESS)
        lane.run(connection, config, baseui)
    elif mode == "web":
        limits.apply(baseui, limits.ANSWER)
        web.run(connection, config, baseui)
    elif mode == "prove":
        prove.run(connection, request, config)
    elif mode != "ping":
        raise frames.FrameError("a connection's mode is serve, fetch, lane, web, prove or ping, not %r" % (mode,))


def listen(path):
    if os.path.lexists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    listener.bind(path)
    os.umask(before)
    listener.listen(BACKLOG_CONNECTIONS)
    return listener


def wire_commands():
    """What each wire command may do, in Mercurial's own words: `pull` or `push`. Extensions have added theirs."""
    from mercurial import wireprotov1server

    commands = wireprotov1server.commands.items()
    return {name.decode("latin-1"): entry.permission.decode("ascii") for name, entry in commands}


def say_ready():
    from mercurial import util

    ready = {"mercurial": util.version().decode("ascii"), "commands": wire_commands()}
    print("ready " + json.dumps(ready), flush=True)
    # Nothing that children write may reach whoever reads the line above.
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)


def main():
    # The folder of this script holds modules with names such as `state`; only the package shall be importable.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with open(sys.argv[1], encoding="utf-8") as file:
        config = json.load(file)
    die_with(config["parent"])
    try:
        baseui = load(config)
    except Exception as failure:
        sentence = mistake(failure)
        if sentence is None:
            raise
        refuse(sentence)
    touch_repository(baseui)
    listener = listen(config["socket"])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    zygote = os.getpid()
    say_ready()
    gc.collect()
    gc.freeze()
    while True:
        sock, _address = listener.accept()
        if os.fork() == 0:
            listener.close()
            child(sock, config, baseui, zygote)
        sock.close()


if __name__ == "__main__":
    main()
