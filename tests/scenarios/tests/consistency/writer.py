"""One writer with stock Mercurial: `writer.py NAME PATH FOLDER SEED SSH`, orders on standard input.

Each writer has a branch, bookmarks and changesets of its own in the repository that it shares, makes changesets, moves
bookmarks, publishes and amends, and pushes after each. It says `{"pushed": [begin, end]}` or `{"failed": [begin, end,
sentence]}` for each try, and goes on trying the same until it is acknowledged. `url URL` says where to push to from
now on; the end of standard input ends it with `{"state": ...}`, all of which is acknowledged by then.
"""

import io
import json
import os
import random
import select
import sys
import time

try:
    from mercurial import initialization

    initialization.init()
except ImportError:
    pass  # only Mercurial 7.2 and newer want this

from mercurial import context, error, exchange, extensions, hg, obsolete, phases, ui as uimod
from mercurial.node import hex, nullid

# A push whose server is frozen is given up by ssh: `ServerAliveInterval` in its options.
PAUSE_SECONDS = 0.1


class Writer:
    def __init__(self, name, path, folder, seed, ssh):
        self.name, self.path = name.encode(), path
        self.random = random.Random(seed)
        ui = uimod.ui.load()
        for section, key, value in [
            (b"ui", b"ssh", ssh),
            (b"ui", b"username", b"Writer <%s@example.com>" % self.name),
            (b"ui", b"quiet", b"yes"),
            (b"ui", b"interactive", b"no"),
            (b"experimental", b"evolution", b"all"),
        ]:
            ui.setconfig(section, key, value, b"writer")
        extensions.loadall(ui)
        ui.fout = ui.ferr = ui._fmsgout = ui._fmsgerr = self.said = io.BytesIO()
        self.repo = hg.repository(ui, folder, create=True)
        self.head = nullid
        self.number = 0
        self.url = None

    def change(self):
        """Something to push; answers the bookmarks that are part of it."""
        kind = self.random.choice([self.commit, self.commit, self.commit, self.bookmark, self.publish, self.amend])
        return kind() if self.number else self.commit()

    def make(self, parent):
        self.number += 1
        content = b"%d of %s\n" % (self.number, self.name)

        def file(repo, ctx, path):
            return context.memfilectx(repo, ctx, path, content)

        made = context.memctx(
            self.repo,
            [parent, nullid],
            b"change %d" % self.number,
            [self.name],
            file,
            date=b"%d 0" % self.number,
            extra={b"branch": self.name},
        )
        with self.repo.wlock(), self.repo.lock():
            self.head = made.commit()

    def commit(self):
        self.make(self.head)
        return self.random.choice([[], self.bookmark()])

    def bookmark(self):
        # Grows along the writer's history: a reader that sees an older one has been contradicted.
        name = b"%s/newest" % self.name
        with self.repo.wlock(), self.repo.lock(), self.repo.transaction(b"bookmark") as tr:
            self.repo._bookmarks.applychanges(self.repo, tr, [(name, self.head)])
        return [name]

    def publish(self):
        with self.repo.lock(), self.repo.transaction(b"phase") as tr:
            phases.advanceboundary(self.repo, tr, phases.public, [self.head])
        self.repo.invalidatevolatilesets()
        return []

    def amend(self):
        old = self.repo[self.head]
        if not old.mutable():
            return self.commit()
        self.make(old.p1().node())
        with self.repo.wlock(), self.repo.lock(), self.repo.transaction(b"amend"):
            obsolete.createmarkers(self.repo, [((old,), (self.repo[self.head],))])
        self.repo.invalidatevolatilesets()
        return self.bookmark()

    def push(self, bookmarks):
        """One try; None, or what a person would read."""
        self.said.seek(0)
        self.said.truncate()
        peer = None
        try:
            peer = hg.peer(self.repo, {}, self.url)
            result = exchange.push(self.repo, peer, force=True, newbranch=True, bookmarks=bookmarks)
            if result.cgresult == 0 or result.bkresult == 2:
                return self.sentence(b"push refused")
            return None
        except (error.Abort, error.RepoError, error.ResponseError, error.StdioError, OSError) as why:
            return self.sentence(getattr(why, "message", None) or repr(why.args).encode())
        finally:
            if peer is not None:
                peer.close()

    def sentence(self, last):
        lines = [*self.said.getvalue().splitlines(), last]
        return " / ".join(line.decode("utf-8", "replace").strip() for line in lines if line.strip())

    def state(self):
        visible = [self.repo[rev] for rev in self.repo]
        return {
            "path": self.path,
            "branch": self.name.decode(),
            "changesets": {ctx.hex().decode(): ctx.phasestr().decode() for ctx in visible},
            "bookmarks": {key.decode(): hex(node).decode() for key, node in self.repo._bookmarks.items()},
        }


def say(word):
    sys.stdout.write(json.dumps(word) + "\n")
    sys.stdout.flush()


class Orders:
    """What stands on standard input."""

    def __init__(self, writer):
        self.writer = writer
        self.ended = False

    def read(self, seconds):
        while not self.ended and select.select([0], [], [], seconds)[0]:
            for line in os.read(0, 65536).splitlines() or [None]:
                if line is None:
                    self.ended = True
                else:
                    self.writer.url = line.partition(b" ")[2]
            seconds = 0


def main():
    name, path, folder, seed, ssh = sys.argv[1:]
    writer = Writer(name, path, os.fsencode(folder), int(seed), os.fsencode(ssh))
    orders = Orders(writer)
    orders.read(None)
    while not orders.ended:
        bookmarks = writer.change()
        while True:
            begun = time.time()
            sentence = writer.push(bookmarks)
            if sentence is None:
                break
            say({"failed": [begun, time.time(), sentence]})
            orders.read(PAUSE_SECONDS)
        say({"pushed": [begun, time.time()], "head": hex(writer.head).decode(), "number": writer.number})
        orders.read(0)
    say({"state": writer.state()})


main()
