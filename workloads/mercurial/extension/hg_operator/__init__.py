# SPDX-License-Identifier: GPL-2.0-or-later
"""Mercurial's side of hg-operator: pushes go through the push gate into the log, the log is applied to repositories,
and clients see only what every mirror can serve.

`push` and its neighbours (payload, acceptable, gate, pending, spool, fetch) record pushes; `lane` and its neighbours
apply records; `view` and `web` show them; `zygote` is the process that all of them are forked from.
"""

from mercurial import registrar

from . import acceptable, admission, bundle_parts, payload, push, view

testedwith = b"6.3.2 7.2.4"
minimumhgversion = b"6.3"
buglink = b"https://github.com/hg-operator/hg-operator/issues"

configtable = {}
configitem = registrar.configitem(configtable)

# What a transaction without the gate is told: `ssh` or `mirror`.
configitem(b"hg-operator", b"role", default=b"ssh")
# Printed after a push: <url>/<path>/rev/<hash>. Nothing is printed when it is empty.
configitem(b"hg-operator", b"url", default=b"")
configitem(b"hg-operator", b"path", default=b"")
# A lane begins nothing with less free space than this: transactions need some, to be rolled back too.
configitem(b"hg-operator", b"reserved-space", default=b"1 MB")
# What one command over SSH, one import and one web worker may have of memory.
configitem(b"hg-operator", b"command-memory", default=b"2 GB")
configitem(b"hg-operator", b"import-memory", default=b"8 GB")
configitem(b"hg-operator", b"answer-memory", default=b"4 GB")
# What else one command may cost: any file that it writes, what a client may send with a push, and the seconds
# for which a client may neither send what it has announced nor read what it has asked for.
configitem(b"hg-operator", b"file-size", default=b"64 GB")
configitem(b"hg-operator", b"largest-push", default=b"16 GB")
configitem(b"hg-operator", b"progress-timeout", default=600)
# For tests only: before-append, after-append or during-close; see test_points.py.
configitem(b"hg-operator", b"test-kill-at", default=b"")
configitem(b"hg-operator", b"test-kill-file", default=b"")
configitem(b"hg-operator", b"test-stop-file", default=b"")
configitem(b"hg-operator", b"test-abort-at", default=b"")


def uisetup(ui):
    view.uisetup(ui)


def extsetup(ui):
    acceptable.extsetup(ui)
    bundle_parts.extsetup(ui)
    payload.extsetup(ui)
    push.extsetup(ui)
    view.extsetup(ui)


def reposetup(ui, repo):
    if not repo.local():
        return
    acceptable.reposetup(ui, repo)
    admission.reposetup(ui, repo)
    view.reposetup(ui, repo)
