# SPDX-License-Identifier: GPL-2.0-or-later
"""A folder for each child's temporary files.

Mercurial 6.3.2 removes the folder of a stream clone together with all its parents that are empty then
(`util.tryrmdir`, also in 7.2.4): in a folder that all children share, one clone would take it away from everybody. No
folder here is ever empty, and none is shared.
"""

import os
import shutil
import tempfile

_PREFIX = "hg-child-"
# What keeps a folder from being empty.
_KEEP = "keep"


def enter():
    """Gives this process a folder of its own, for what it starts too, and removes those of dead processes.

    Answers the folder; None on a full volume, where reading has to go on.
    """
    shared = os.environ.get("TMPDIR") or tempfile.gettempdir()
    try:
        os.makedirs(shared, exist_ok=True)
        _remove_abandoned(shared)
        own = tempfile.mkdtemp(prefix="%s%d-" % (_PREFIX, os.getpid()), dir=shared)
        with open(os.path.join(own, _KEEP), "x"):
            pass
    except OSError:
        return None
    os.environ["TMPDIR"] = own
    tempfile.tempdir = own
    return own


def leave(own):
    if own is not None:
        shutil.rmtree(own, ignore_errors=True)


def _remove_abandoned(shared):
    """What a killed push has sent may be large."""
    for name in os.listdir(shared):
        process = name[len(_PREFIX) :].split("-")[0]
        if name.startswith(_PREFIX) and process.isdigit() and not os.path.exists("/proc/" + process):
            shutil.rmtree(os.path.join(shared, name), ignore_errors=True)
