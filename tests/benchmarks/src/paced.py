# SPDX-License-Identifier: GPL-2.0-or-later
"""Pushes prepared bundles at a steady pace, each in one `unbundle` through an SSH session that stays open.

    python paced.py FOLDER ROUNDS PER_SECOND SSH URL...

FOLDER gets a history of ROUNDS changesets; each repository is pushed one after another of them. For every push a line
`{"url", "node", "sent", "acknowledged"}` is printed, in seconds since 1970.
"""

import io
import json
import os
import sys
import time

try:
    from mercurial import initialization

    initialization.init()
except ImportError:
    pass  # only Mercurial 7.2 and newer want this

from mercurial import bundle2, changegroup, context, discovery, extensions, hg, ui as uimod
from mercurial.node import hex, nullid


def bundles(ui, folder, count):
    """(node, bundle2 of that changeset alone), as a client pushes it."""
    repo = hg.repository(ui, folder, create=True)
    made, parent = [], nullid
    for number in range(count):

        def file(repo, ctx, path, number=number):
            return context.memfilectx(repo, ctx, path, b"line %d\n" % number)

        text, date = b"change %d" % number, b"%d 0" % (10**9 + number)
        ctx = context.memctx(repo, (parent, nullid), text, [b"file-%d" % (number % 7)], file, date=date)
        with repo.wlock(), repo.lock():
            node = ctx.commit()
        outgoing = discovery.outgoing(repo, missingroots=[node], ancestorsof=[node])
        bundler = bundle2.bundle20(ui)
        capabilities = bundle2.encodecaps(bundle2.getrepocaps(repo, role=b"client"))
        bundler.newpart(b"replycaps", data=capabilities)
        changes = changegroup.makestream(repo, outgoing, b"02", b"push")
        part = bundler.newpart(
            b"changegroup",
            data=b"".join(iter(lambda changes=changes: changes.read(65536), b""))
            if hasattr(changes, "read")
            else b"".join(changes),
        )
        part.addparam(b"version", b"02")
        made.append((node, b"".join(bundler.getchunks())))
        parent = node
    return repo, made


def push(repo, remote, data):
    reply = remote.unbundle(io.BytesIO(data), [b"force"], remote.url())
    operation = bundle2.processbundle(repo, reply)
    results = [record[b"return"] for record in operation.records[b"changegroup"]]
    if not results or not all(results):
        raise SystemExit("a push was refused: %r" % results)


def main():
    folder, rounds, per_second, ssh = sys.argv[1:5]
    ui = uimod.ui.load()
    ui.setconfig(b"ui", b"ssh", os.fsencode(ssh), b"paced")
    ui.setconfig(b"ui", b"username", b"Pusher <pusher@example.com>", b"paced")
    ui.setconfig(b"ui", b"quiet", b"true", b"paced")
    extensions.loadall(ui)
    repo, made = bundles(ui, os.fsencode(folder), int(rounds))
    remotes = [(url, hg.peer(repo, {}, os.fsencode(url))) for url in sys.argv[5:]]
    next_push = time.monotonic()
    for node, data in made:
        for url, remote in remotes:
            time.sleep(max(0.0, next_push - time.monotonic()))
            next_push += 1 / float(per_second)
            sent = time.time()
            push(repo, remote, data)
            word = {"url": url, "node": hex(node).decode(), "sent": sent, "acknowledged": time.time()}
            sys.stdout.write(json.dumps(word) + "\n")
            sys.stdout.flush()
    for _url, remote in remotes:
        remote.close()


main()
