# SPDX-License-Identifier: GPL-2.0-or-later
"""A copy of one repository for an instance that begins or has to begin again: a tar of its `.hg`."""

import os
import re
import tarfile

# Locks, caches, the generated hgrc, and what belongs to transactions that are over.
_LEFT_OUT = re.compile(
    r"\.hg/(hgrc|hgrc-not-shared|wlock|cache|wcache|strip-backup|last-message\.txt|undo[^/]*|[^/]*~"
    r"|store/(lock|lock\.break|journal[^/]*|undo[^/]*|[^/]*~|[^/]*\.pending))\Z"
)


def write(repo, file):
    """Writes the tar to `file`; the caller holds the locks, so that nothing changes meanwhile."""
    try:
        with tarfile.open(file, "w", format=tarfile.PAX_FORMAT, dereference=False) as archive:
            archive.add(os.fsdecode(repo.path), arcname=".hg", filter=_entry)
    except BaseException:
        try:
            os.unlink(file)
        except FileNotFoundError:
            pass
        raise


def _entry(entry):
    if _LEFT_OUT.match(entry.name) or not (entry.isreg() or entry.isdir()):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    # Hard links of Mercurial's backups would make one file refer to another that is left out.
    return entry
