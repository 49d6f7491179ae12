# SPDX-License-Identifier: GPL-2.0-or-later
"""Making repositories, in the format that all instances share whatever their Mercurial's defaults are."""

import os
import shutil

from mercurial import localrepo

# protocol::RepositoryFormat::V1.
REQUIREMENTS = frozenset(b"revlogv1 store fncache dotencode generaldelta sparserevlog revlog-compression-zstd".split())


def create(baseui, directory):
    """Makes an empty repository; one that is there already was left by a crash and is made anew.

    Only the caller knows whether what is there is a crash's leftover: a finished repository has a state file.
    """
    if os.path.lexists(os.path.join(directory, b".hg")):
        shutil.rmtree(directory)
    os.makedirs(directory, exist_ok=True)
    localrepo.createrepository(baseui, directory, requirements=set(REQUIREMENTS))
