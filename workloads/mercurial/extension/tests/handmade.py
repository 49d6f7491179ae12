# SPDX-License-Identifier: GPL-2.0-or-later
"""Bundles as no hg makes them, and a client that sends them."""

import struct

from mercurial import bundle2, changegroup, changelog, hg, ui as uimod
from mercurial.node import bin
from support import serve

try:
    from mercurial import initialization

    initialization.init()
except ImportError:
    pass

UI = uimod.ui()
NULL = b"\0" * 20


def part(kind, data=b"", mandatory=True, **params):
    """A part as `bundle` takes it; params are mandatory ones."""
    return kind, data, mandatory, params


def bundle(*parts, reply=True, compression=None):
    bundler = bundle2.bundle20(UI)
    bundler.setcompression(compression)
    if reply:
        bundler.newpart(b"replycaps", data=bundle2.encodecaps(bundle2.capabilities))
    for kind, data, mandatory, params in parts:
        made = bundler.newpart(kind, data=data, mandatory=mandatory)
        for name, value in params.items():
            made.addparam(name.encode(), value)
    return b"".join(bundler.getchunks())


def open_repository(path):
    return hg.repository(UI.copy(), path.encode()).local().unfiltered()


def changes(path, *revisions, version=b"02"):
    """A changegroup part with just these revisions of the repository at `path`, as if the others were known."""
    repo = open_repository(path)
    log = repo.changelog
    wanted = [log.node(rev) for rev in revisions]
    known = [log.node(rev) for rev in range(len(log)) if rev not in revisions]
    made = changegroup.getbundler(version, repo).generate(set(known), wanted, False, b"test")
    return part(b"changegroup", b"".join(made), version=version)


def without_changesets(data):
    """A changegroup's bytes from its manifests on."""
    start = 0
    while True:
        (length,) = struct.unpack(">l", data[start : start + 4])
        if length == 0:
            return data[start + 4 :]
        start += length


def forge_branch(path, name):
    """Adds a changeset without parents or files on a branch that hg itself does not make; answers its revision."""
    extra = changelog.encodeextra({b"branch": name})
    text = b"\n".join([b"0" * 40, b"somebody", b"0 0 " + extra, b"", b"forged"])
    repo = open_repository(path)
    with repo.lock(), repo.transaction(b"forge") as tr:
        repo.changelog.addrevision(text, tr, len(repo.changelog), NULL, NULL)
    return len(open_repository(path).changelog) - 1


def bookmark(name, node):
    """A part that sets a bookmark (a hex hash), or removes it (None)."""
    return part(b"bookmarks", struct.pack(">20sH", bin(node) if node else b"\xff" * 20, len(name)) + name)


def phase_head(phase, node):
    return part(b"phase-heads", struct.pack(">i20s", phase, bin(node)))


class Wire:
    """The SSH wire protocol, spoken by hand to a serve child."""

    def __init__(self, instance, **options):
        self.connection, self.stdin, self.stdout, self._stderr = serve(instance, "r", **options)
        self.pid = self.connection.receive()[0]["pid"]

    def send(self, text):
        self.stdin.write(text)

    def command(self, name, **arguments):
        """A command that is answered with a string."""
        lines = ["%s\n" % name] + ["%s %d\n%s" % (key, len(value), value) for key, value in arguments.items()]
        self.send("".join(lines).encode())
        return self.stdout.read(int(self.stdout.readline()))

    def unbundle(self, *pieces):
        """Answers what came back as (type, params) of each part; a pushed bundle is cut into pieces at will."""
        self.begin_unbundle()
        for piece in pieces:
            self.send(b"%d\n%s" % (len(piece), piece))
        self.send(b"0\n")
        return self.parts()

    def answer_of(self, sent):
        """What a push of whatever kind is answered with: the values of all parts' params, or nothing."""
        self.begin_unbundle()
        self.send(b"%d\n%s0\n" % (len(sent), sent))
        if self.stdout.peek()[:1] == b"H":
            return [value for _type, params in self.parts() for value in params.values()]
        if int(self.stdout.readline()) == 0:
            self.stdout.read(int(self.stdout.readline()))
        return []

    def parts(self):
        """What a bundle2 that comes now consists of."""
        reply = bundle2.getunbundler(UI, self.stdout)
        return [(answer.type, dict(answer.params)) for answer in reply.iterparts()]

    def said(self):
        """All that is said to the person until the child ends by itself."""
        return self._stderr.read().decode()

    def begin_unbundle(self):
        assert self.command("unbundle", heads=b"force".hex()) == b""

    def close(self):
        """Ends the session; answers its exit code and all that was said to the person."""
        self.stdin.close()
        said = self._stderr.read().decode()
        received = self.connection.receive()
        for file in (self.connection, self.stdout, self._stderr):
            file.close()
        return (received[0]["exit"] if received else None), said
