# SPDX-License-Identifier: GPL-2.0-or-later
"""A developer who pushes one changeset after another, without an end and without a pause.

    python writer.py URL FOLDER SSH SECONDS

Each push has a connection of its own, and is given up when it has no answer after SECONDS. One that failed is tried
again at once, until it is acknowledged. Each attempt is told in a line of JSON: `at`, in seconds of a clock that only
goes forward, `node`, and `said`: null when the push was acknowledged, else why it was not. What is not acknowledged
may have been recorded all the same. The end of standard input ends it.

Mercurial is loaded once, and each attempt is a copy of this process.
"""

import json
import os
import select
import signal
import sys
import time

try:
    from mercurial import initialization

    initialization.init()
except ImportError:
    pass  # only Mercurial 7.2 and newer want this

from mercurial import context, exchange, extensions, hg, ui as uimod
from mercurial.node import hex

LOOK_SECONDS = 0.005


class Writer:
    def __init__(self, url, folder, ssh, seconds):
        self.url, self.folder, self.seconds = url, folder, seconds
        self.said = os.path.join(os.path.dirname(folder), b"said")
        self.ui = uimod.ui.load()
        for section, name, value in [
            (b"ui", b"ssh", ssh),
            (b"ui", b"username", b"Writer <writer@example.com>"),
            (b"ui", b"interactive", b"false"),
            (b"phases", b"new-commit", b"public"),
        ]:
            self.ui.setconfig(section, name, value, b"writer")
        extensions.loadall(self.ui)
        self.number = 0

    def repository(self):
        return hg.repository(self.ui, self.folder)

    def commit(self):
        self.number += 1
        repo, text = self.repository(), b"%d of %d\n" % (self.number, os.getpid())

        def file(repo, ctx, path):
            return context.memfilectx(repo, ctx, path, text)

        with repo.wlock(), repo.lock():
            parents = (repo[b"tip"].node(), None)
            return context.memctx(repo, parents, text, [b"written"], file).commit()

    def push(self, node):
        """None when it was acknowledged, else why it was not."""
        child = os.fork()
        if child == 0:
            self.be_the_attempt(node)
        end = time.monotonic() + self.seconds
        status = wait_for(child, end)
        if status is None:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "no answer after %g s" % self.seconds
        if status == 0:
            return None
        with open(self.said, "rb") as said:
            return "; ".join(said.read().decode(errors="replace").split("\n")) or "status %d" % status

    def be_the_attempt(self, node):
        """Never returns: 0 means acknowledged, also that an earlier attempt was recorded after all."""
        status = 1
        try:
            os.setsid()
            said = os.open(self.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(said, 1)
            os.dup2(said, 2)
            repo = self.repository()
            remote = hg.peer(repo, {}, self.url)
            done = exchange.push(repo, remote, revs=[node], force=True)
            status = 1 if done.cgresult == 0 else 0
        except BaseException as error:
            os.write(2, repr(error).encode())
        finally:
            os._exit(status)


def wait_for(child, end):
    """The exit status, or None when there is none until then."""
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        time.sleep(LOOK_SECONDS)
    return None


def is_over():
    return bool(select.select([sys.stdin], [], [], 0)[0])


def main():
    url, folder, ssh, seconds = sys.argv[1:]
    writer = Writer(os.fsencode(url), os.fsencode(folder), os.fsencode(ssh), float(seconds))
    while not is_over():
        node, acknowledged = writer.commit(), False
        while not acknowledged:
            said = writer.push(node)
            line = {"at": time.monotonic(), "node": hex(node).decode(), "said": said}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
            acknowledged = said is None
            if is_over():
                return


main()
