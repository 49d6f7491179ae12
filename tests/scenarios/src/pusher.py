# SPDX-License-Identifier: GPL-2.0-or-later
"""A developer who pushes without end, through one SSH session: Mercurial's client code, without a process per push.

    python pusher.py URL FOLDER SEED KINDS SSH

KINDS is `everything` (for a repository that keeps drafts and markers), `published` (for one that does neither) or
`one` (one changeset per push). Each `next` on standard input makes one push: it is prepared, `{"state": ...}` says
what the repository will be after it, and when `go` has come, it is pushed and `{"pushed": seconds since 1970}`
follows. The end of standard input ends it.
"""

import json
import os
import random
import sys
import time

try:
    from mercurial import initialization

    initialization.init()
except ImportError:
    pass  # only Mercurial 7.2 and newer want this

from mercurial import context, exchange, extensions, hg, obsolete, phases, ui as uimod
from mercurial.node import hex, nullid

MAX_HEADS = 10
FILES = 8
BOOKMARKS = [b"green", b"blue", b"red", b"black"]
BRANCHES = [b"default", b"stable", b"next", b"old"]


class Pusher:
    def __init__(self, url, folder, seed, kinds, ssh):
        self.random = random.Random(seed)
        ui = uimod.ui.load()
        for section, name, value in [
            (b"ui", b"ssh", ssh),
            (b"ui", b"username", b"Pusher <pusher@example.com>"),
            (b"ui", b"quiet", b"true"),
            (b"ui", b"timeout", b"60"),
            (b"ui", b"interactive", b"false"),
            (b"experimental", b"evolution", b"all"),
            (b"phases", b"new-commit", b"draft"),
            (b"devel", b"all-warnings", b"false"),
        ]:
            ui.setconfig(section, name, value, b"pusher")
        extensions.loadall(ui)
        self.ui = ui
        self.repo = hg.repository(ui, folder, create=not os.path.isdir(folder + b"/.hg"))
        self.remote = hg.peer(self.repo, {}, url)
        self.keeps_drafts = kinds == "everything"
        self.steps = {
            "everything": [
                self.commit,
                self.commit,
                self.commit,
                self.head,
                self.branch,
                self.close,
                self.merge,
                self.amend,
                self.amend,
                self.bookmark,
                self.bookmark,
                self.publish,
                self.both,
            ],
            "published": [self.commit, self.commit, self.head, self.branch, self.close, self.merge, self.bookmark],
            "one": [self.commit],
        }[kinds]
        self.new = []
        self.number = 0

    def prepare(self):
        """Changes the local repository so that there is something to push; answers the bookmarks to push."""
        self.new = []
        while True:
            step = self.merge if len(self.heads()) > MAX_HEADS else self.random.choice(self.steps)
            bookmarks = step() if len(self.repo) else self.commit()
            if bookmarks is not None:
                return bookmarks

    def heads(self):
        return self.repo.heads()

    def make(self, parents, extra):
        self.number += 1
        name = b"file-%d" % self.random.randrange(FILES)
        content = b"%d of %d\n" % (self.number, self.random.getrandbits(60))

        def file(repo, ctx, path):
            return context.memfilectx(repo, ctx, path, content)

        parents = (parents + [nullid, nullid])[:2]
        text = b"change %d" % self.number
        branch = extra.pop("branch", b"default")
        extra = {b"branch": branch, **{key.encode(): value for key, value in extra.items()}}
        date = b"%d 0" % (10**9 + self.number)
        made = context.memctx(self.repo, parents, text, [name], file, date=date, extra=extra)
        with self.repo.wlock(), self.repo.lock():
            node = made.commit()
        self.new.append({"node": hex(node).decode(), "file": name.decode(), "content": content.decode()})
        return node

    def commit(self):
        heads = self.heads()
        parent = self.random.choice(heads)
        for _number in range(self.random.choice([1, 1, 3]) if self.keeps_drafts else 1):
            branch = self.repo[parent].branch()
            parent = self.make([parent], {"branch": branch})
        return []

    def head(self):
        changelog = self.repo.changelog
        revision = self.random.choice(list(changelog)[-30:])
        parent = self.repo[revision]
        self.make([parent.node()], {"branch": parent.branch()})
        return []

    def branch(self):
        parent = self.random.choice(self.heads())
        self.make([parent], {"branch": self.random.choice(BRANCHES)})
        return []

    def close(self):
        heads = [node for node in self.heads() if not self.repo[node].closesbranch()]
        if len(heads) < 2:
            return None
        node = self.random.choice(heads)
        self.make([node], {"branch": self.repo[node].branch(), "close": b"1"})
        return []

    def merge(self):
        heads = self.heads()
        if len(heads) < 2:
            return None
        self.make(self.random.sample(heads, 2), {"branch": b"default"})
        return []

    def amend(self):
        drafts = [self.repo[node] for node in self.heads() if self.repo[node].mutable()]
        drafts = [ctx for ctx in drafts if ctx.p2().node() == nullid and not ctx.closesbranch()]
        if not drafts:
            return None
        old = self.random.choice(drafts)
        new = self.make([old.p1().node()], {"branch": old.branch()})
        moved = [name for name, node in self.repo._bookmarks.items() if node == old.node()]
        with self.repo.wlock(), self.repo.lock(), self.repo.transaction(b"amend") as tr:
            obsolete.createmarkers(self.repo, [((old,), (self.repo[new],))])
            self.repo._bookmarks.applychanges(self.repo, tr, [(name, new) for name in moved])
        self.repo.invalidatevolatilesets()
        return moved

    def bookmark(self):
        name = self.random.choice(BOOKMARKS)
        there = self.repo._bookmarks.get(name)
        if there is not None and self.random.random() < 0.2:
            target = None
        else:
            target = self.random.choice([node for node in self.heads() if node != there] or [None])
        if target is None and there is None:
            return None
        with self.repo.wlock(), self.repo.lock(), self.repo.transaction(b"bookmark") as tr:
            self.repo._bookmarks.applychanges(self.repo, tr, [(name, target)])
        return [name]

    def publish(self):
        drafts = [node for node in self.heads() if self.repo[node].mutable()]
        if not drafts:
            return None
        with self.repo.lock(), self.repo.transaction(b"phase") as tr:
            phases.advanceboundary(self.repo, tr, phases.public, [self.random.choice(drafts)])
        self.repo.invalidatevolatilesets()
        return []

    def both(self):
        self.commit()
        return self.bookmark() or []

    def state(self):
        repo = self.repo.filtered(b"served")
        # Obsolete ones, too, as hgweb tells them.
        drafts = [key.decode() for key in self.repo.listkeys(b"phases") if len(key) == 40] if self.keeps_drafts else []
        known = repo.branchmap()
        branches = {
            name.decode(): sorted(hex(node).decode() for node in known.branchheads(name, closed=True))
            for name in known
        }
        return {
            "heads": sorted(hex(node).decode() for node in repo.heads()),
            "branches": branches,
            "bookmarks": {name.decode(): hex(node).decode() for name, node in self.repo._bookmarks.items()},
            "drafts": sorted(drafts),
            "new": self.new,
        }

    def push(self, bookmarks):
        exchange.push(self.repo, self.remote, force=True, newbranch=True, bookmarks=bookmarks)


def say(word):
    sys.stdout.write(json.dumps(word) + "\n")
    sys.stdout.flush()


def main():
    url, folder, seed, kinds, ssh = sys.argv[1:]
    pusher = Pusher(os.fsencode(url), os.fsencode(folder), int(seed), kinds, os.fsencode(ssh))
    say({"ready": None})
    while sys.stdin.readline().strip() == "next":
        bookmarks = pusher.prepare()
        say({"state": pusher.state()})
        if sys.stdin.readline().strip() != "go":
            break
        pusher.push(bookmarks)
        say({"pushed": time.time()})
    pusher.remote.close()


main()
