"""Makes a history in the repository of the current folder: `history.py SEED CHANGESETS`, in one transaction.

The same seed makes the same changesets with every Mercurial: files that come, change and go, named and unnamed
branches, merges.
"""

import random
import sys

from mercurial import context, hg, ui as uimod
from mercurial.node import nullrev

USER = b"Generator <generator@example.com>"
FILES = 60
# One in so many changesets.
MERGE, FORK, BRANCH, REMOVE = 40, 25, 200, 30
# A fork begins at most so many changesets back.
FORK_DEPTH = 60
MAX_HEADS = 12


def main(seed, count):
    rng = random.Random(seed)
    ui = uimod.ui.load()
    repo = hg.repository(ui, b".")
    heads = [nullrev]
    with repo.wlock(), repo.lock(), repo.transaction(b"history"):
        for number in range(count):
            heads.append(one(repo, rng, heads, number))


def one(repo, rng, heads, number):
    """Adds a changeset; takes the heads that it replaces out of `heads`."""
    merges = len(heads) > 1 and (len(heads) >= MAX_HEADS or rng.randrange(MERGE) == 0)
    if number > FORK_DEPTH and not merges and rng.randrange(FORK) == 0:
        parent, other = number - 1 - rng.randrange(FORK_DEPTH), nullrev
        if parent in heads:
            heads.remove(parent)
    else:
        parent = heads.pop(-1 if rng.randrange(FORK) else rng.randrange(len(heads)))
        other = heads.pop(rng.randrange(len(heads))) if merges else nullrev
    before = repo[parent]
    branch = b"branch-%d" % number if rng.randrange(BRANCH) == 0 else before.branch()
    changed = changes(rng, before, number)
    parents = (before.node(), repo[other].node())

    def file(repo, memctx, path):
        data = changed[path]
        return None if data is None else context.memfilectx(repo, memctx, path, data)

    # A minute apart, in a time zone that is no machine's.
    date = (1469000000 + 60 * number, -3600)
    extra, text = {b"branch": branch}, b"change %d" % number
    made = context.memctx(repo, parents, text, sorted(changed), file, USER, date, extra)
    return repo[repo.commitctx(made)].rev()


def changes(rng, before, number):
    changed = {}
    for _ in range(rng.choice((1, 1, 1, 3))):
        path = b"folder-%d/file-%d" % (rng.randrange(8), rng.randrange(FILES))
        if rng.randrange(REMOVE) == 0 and path in before:
            changed[path] = None
        else:
            changed[path] = b"line %d of %d\n" % (number, rng.randrange(1 << 60)) * rng.randrange(1, 20)
    return changed


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
