# SPDX-License-Identifier: GPL-2.0-or-later
"""For tests only: places where a push kills or stops its own process, or fails, named in the configuration.

`hg-operator.test-kill-at` and `hg-operator.test-abort-at` take `before-append`, `after-append` or `during-close`.
`hg-operator.test-kill-file` names a file that, once it is there, holds the place: the process that gets there removes
the file and kills itself, so that only one does; `test-stop-file` likewise, for one that stops until somebody lets it
go on. Nothing but tests sets them; the generated hgrc never does.
"""

import os
import signal

from mercurial import error

BEFORE_APPEND = b"before-append"
AFTER_APPEND = b"after-append"
DURING_CLOSE = b"during-close"


def reach(ui, place):
    ordered = _ordered(ui.config(b"hg-operator", b"test-kill-file"), place)
    if ordered or ui.config(b"hg-operator", b"test-kill-at") == place:
        os.kill(os.getpid(), signal.SIGKILL)
    if _ordered(ui.config(b"hg-operator", b"test-stop-file"), place):
        os.kill(os.getpid(), signal.SIGSTOP)
    if ui.config(b"hg-operator", b"test-abort-at") == place:
        raise error.Abort(b"stopped at %s for a test" % place)


def _ordered(path, place):
    if not path:
        return False
    try:
        with open(path, "rb") as file:
            if file.read() != place:
                return False
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True
