"""Makes a history in the repository of the current folder: `history.py SEED CHANGESETS`, in one transaction.

The same seed makes the same changesets with every Mercurial: files that grow and go, branches of both kinds, merges.
"""

import random
import sys

from mercurial import context, hg, ui as uimod
from mercurial.node import nullrev

OPEN_HEADS = 8
FILES = 60
# One in so many changesets.
MERGE, BEGIN, BRANCH, REMOVE = 40, 25, 200, 30


def main(seed, count):
    rng = random.Random(seed)
    ui = uimod.ui.load()
    ui.setconfig(b"ui", b"username", b"Generator <generator@example.com>")
    repo = hg.repository(ui, b".")
    heads = [nullrev]
    with repo.wlock(), repo.lock(), repo.transaction(b"history"):
        for number in range(count):
            rev = one(repo, rng, heads, number)
            heads.append(rev)
            while len(heads) > OPEN_HEADS:
                heads.pop(0)


def one(repo, rng, heads, number):
    place = len(heads) - 1 if rng.randrange(BEGIN) else rng.randrange(len(heads))
    parent, other = heads.pop(place), nullrev
    if heads and parent != nullrev and rng.randrange(MERGE) == 0:
        other = merge_with(repo, rng, heads, parent)
    elif heads and rng.randrange(BEGIN) == 0:
        heads.append(parent)
    before = repo[parent]
    branch = b"branch-%d" % number if rng.randrange(BRANCH) == 0 else before.branch()
    changed = changes(rng, before, number)
    second = repo[other]
    parents = (before.node(), second.node())
    files = sorted(changed)

    def file(repo, memctx, path):
        data = changed[path]
        return None if data is None else context.memfilectx(repo, memctx, path, data)

    extra = {b"branch": branch}
    text = b"change %d" % number
    # A minute apart, in a time zone that is no machine's.
    date = (1469000000 + 60 * number, -3600)
    made = context.memctx(repo, parents, text, files, file, b"Generator <generator@example.com>", date, extra)
    return repo[repo.commitctx(made)].rev()


def merge_with(repo, rng, heads, parent):
    """Another head that is no relative of `parent`, taken out of `heads`."""
    place = rng.randrange(len(heads))
    other = heads[place]
    cl = repo.changelog
    if other == nullrev or cl.isancestorrev(other, parent) or cl.isancestorrev(parent, other):
        return nullrev
    return heads.pop(place)


def changes(rng, before, number):
    changed = {}
    for _ in range(rng.randrange(1, 4)):
        path = b"folder-%d/file-%d" % (rng.randrange(8), rng.randrange(FILES))
        old = before[path].data() if path in before else b""
        if old and rng.randrange(REMOVE) == 0:
            changed[path] = None
        else:
            # Long files lose their beginning, so that none grows without end.
            changed[path] = old[-1500:] + b"line %d of %d\n" % (number, rng.randrange(1 << 60))
    return changed


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
