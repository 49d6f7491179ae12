# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one web worker on the socket whose descriptor is given, as the zygote's child would."""

import os
import socket
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]

from mercurial import extensions, ui as uimod  # noqa: E402

try:
    from mercurial import initialization

    initialization.init()
except ImportError:
    pass


def main():
    baseui = uimod.ui.load()
    baseui.setconfig(b"ui", b"nontty", b"true", b"test")
    others = baseui.configitems(b"extensions")
    for name, path in [(b"view_only", HERE.encode() + b"/view_only.py"), *others]:  # as zygote.py has it
        baseui.setconfig(b"extensions", name, path, b"test")
    extensions.loadall(baseui)
    extensions.populateui(baseui)
    from hg_operator import web

    web.run(socket.socket(fileno=int(sys.argv[1])), {}, baseui)


main()
