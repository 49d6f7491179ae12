# SPDX-License-Identifier: GPL-2.0-or-later
"""Tells readers that a transaction is about to change what is shown.

Its files change one after the other (markers are even appended long before it ends), so a reader who loads them
meanwhile would show a state that never was, or go back behind what another process has shown. The transaction's
journal tells when it ends; but a transaction that only stores hidden changesets may take minutes and concerns no
reader, so there is a file that tells the two apart. Left over without a journal (after an abort or a crash) it means
nothing.
"""

import os

FILE = b"hg-operator-showing"
_JOURNAL = b"journal"


def begin(repo, tr):
    """Call it within the transaction, before it changes anything that readers see."""
    if repo.ui.config(b"hg-operator", b"role", b"ssh") != b"mirror":
        return
    repo.svfs.write(FILE, b"")
    tr.addpostclose(b"hg-operator-showing", lambda _tr: forget(repo))


def forget(repo):
    repo.svfs.tryunlink(FILE)


def is_under_way(directory):
    """`directory` is the repository's. The journal is asked last: without it, what was shown is whole."""
    store = os.path.join(directory, b".hg", b"store")
    return os.path.exists(os.path.join(store, FILE)) and os.path.exists(os.path.join(store, _JOURNAL))
