# SPDX-License-Identifier: GPL-2.0-or-later
"""Extensions that a server of ours cannot have: what they store is not in the log, so that other instances lack it.

Asked before they are loaded. All others may be switched on: hooks (acl, hooklib, notify, bugzilla), what shows pages
(highlight), what adds commands for clients, evolve and topic, and extensions of the site's own that store nothing.
"""

import os

_REFUSED = {
    "fastannotate": "its server caches are not in the log",
    "git": "its repositories are git's",
    "hggit": "what it knows of git is not in the log; convert in a client and push the result",
    "infinitepush": "pushes that it keeps aside are not in the log; use a repository that is not publishing",
    "largefiles": "large files are not in the log; push them as ordinary files",
    "lfs": "large files are not in the log; push them as ordinary files",
    "narrow": "its changegroups are not in the log's form; clients that need few files can use sparse",
    "pushlog": "its rows are not in the log; the server has a pushlog of its own",
    "remotefilelog": "its file caches are not in the log; clients that need few files can use sparse",
    "simplestorerepo": "its way of storing is not the log's",
    "sqlitestore": "its way of storing is not the log's",
    "treemanifest": "tree manifests are not in the log's form",
    "vcsreplicator": "the server replicates by its own log",
}


def refusal(ui):
    """One sentence about the first of them in the configuration, or None."""
    for name, path in ui.configitems(b"extensions"):
        if path.startswith(b"!"):
            continue
        # `hgext.lfs`, `hgext/lfs`, or any name for a file or a folder of that name.
        words = {name.split(b".")[-1].split(b"/")[-1], os.path.splitext(os.path.basename(path.rstrip(b"/")))[0]}
        for word in sorted(words):
            why = _REFUSED.get(os.fsdecode(word))
            if why is not None:
                where = ui.configsource(b"extensions", name).decode("utf-8", "replace")
                return "the extension '%s' (%s) cannot be switched on here: %s" % (os.fsdecode(word), where, why)
    return None
