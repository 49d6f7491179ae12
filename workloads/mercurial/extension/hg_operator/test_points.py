# SPDX-License-Identifier: GPL-2.0-or-later
"""For tests only: places where a push kills its own process or fails, named in the configuration.

`hg-operator.test-kill-at` and `hg-operator.test-abort-at` take `before-append`, `after-append` or `during-close`.
Nothing but tests sets them; the generated hgrc never does.
"""

import os
import signal

from mercurial import error

BEFORE_APPEND = b"before-append"
AFTER_APPEND = b"after-append"
DURING_CLOSE = b"during-close"


def reach(ui, place):
    if ui.config(b"hg-operator", b"test-kill-at") == place:
        os.kill(os.getpid(), signal.SIGKILL)
    if ui.config(b"hg-operator", b"test-abort-at") == place:
        raise error.Abort(b"stopped at %s for a test" % place)
