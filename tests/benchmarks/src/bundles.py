# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes bundles of one changeset each, one after another, for scenarios::WirePusher.

    python bundles.py FOLDER COUNT

FOLDER gets the repository `history`, and the files `0` to COUNT - 1.
"""

import os
import sys

try:
    from mercurial import initialization

    initialization.init()
except ImportError:
    pass  # only Mercurial 7.2 and newer want this

from mercurial import bundle2, changegroup, context, discovery, hg, ui as uimod
from mercurial.node import nullid


def main():
    folder, count = os.fsencode(sys.argv[1]), int(sys.argv[2])
    ui = uimod.ui.load()
    ui.setconfig(b"ui", b"username", b"Writer <writer@example.com>", b"bundles")
    repo = hg.repository(ui, os.path.join(folder, b"history"), create=True)
    parent = nullid
    for number in range(count):

        def file(repo, ctx, path, number=number):
            return context.memfilectx(repo, ctx, path, b"line %d\n" % number)

        text, date = b"change %d" % number, b"%d 0" % (10**9 + number)
        with repo.wlock(), repo.lock():
            parent = context.memctx(repo, (parent, nullid), text, [b"file"], file, date=date).commit()
        outgoing = discovery.outgoing(repo, missingroots=[parent], ancestorsof=[parent])
        changes = changegroup.makechangegroup(repo, outgoing, b"01", b"bundle")
        bundle2.writebundle(ui, changes, os.path.join(folder, b"%d" % number), b"HG10UN")


main()
