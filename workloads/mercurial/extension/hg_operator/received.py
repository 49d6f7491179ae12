# SPDX-License-Identifier: GPL-2.0-or-later
"""The changegroup that a client has sent, taken over into the log as it came.

Every instance has what the master had before the push, so that the same changegroup adds the same changesets in the
same order everywhere. To make one from the new changesets again costs more than two CPU seconds for ten thousand.
"""

import contextlib

from mercurial import changegroup as cg, exchange

_READ_BYTES = 256 * 1024
# Every Mercurial that an instance may run can apply these.
_VERSIONS = (b"01", b"02", b"03")
# What else a part may say, such as side data, is not part of a record.
_PARAMETERS = {b"version", b"nbchangesets", b"targetphase", b"treemanifest"}


def file_of(bundle):
    """The file that Mercurial keeps a bundle2 in while it is processed; None when it is kept in none."""
    file = getattr(bundle, "_fp", None)
    return file if hasattr(file, "fileno") and file.seekable() else None


@contextlib.contextmanager
def changegroup(ui, file, nodes):
    """(version, chunks) of the changegroup in `file` if it brings exactly the new changesets `nodes`, in this order.

    None otherwise: of a client that speaks bundle1, of several changegroups, of one that repeats what is known, or
    when a hook has added some itself.
    """
    if file is None:
        yield None
        return
    position = file.tell()
    try:
        if _brings(ui, file, nodes):
            part = next(_parts(ui, file))
            yield part.params.get(b"version", b"01"), iter(lambda: part.read(_READ_BYTES), b"")
        else:
            yield None
    finally:
        # Whoever is in the middle of processing it goes on where it was.
        file.seek(position)


def _parts(ui, file):
    file.seek(0)
    for part in exchange.readbundle(ui, file, None).iterparts():
        if part.type.lower() == b"changegroup":
            yield part


def _brings(ui, file, nodes):
    """True if there is one changegroup, of a form that every instance understands, and it begins with these."""
    count = 0
    for part in _parts(ui, file):
        count += 1
        understood = part.params.get(b"version", b"01") in _VERSIONS and _PARAMETERS.issuperset(part.params)
        if count > 1 or not understood or _changesets(part) != nodes:
            return False
    return count == 1


def _changesets(part):
    """A changegroup begins with a chunk for each, which begins with its hash, and an empty one."""
    return [chunk[:20] for chunk in iter(lambda: cg.getchunk(part), b"")]
