# SPDX-License-Identifier: GPL-2.0-or-later
"""Stands for ssh: `ssh HOST "hg -R /DIRECTORY serve --stdio"`, answered by the zygote at $ZYGOTE."""

import os
import shlex
import socket
import sys

import support

words = shlex.split(sys.argv[-1])
sock = socket.socket(socket.AF_UNIX)
sock.connect(os.environ["ZYGOTE"])
user = os.environ.get("ZYGOTE_USER", "somebody@example.com")
support.send_serve(sock, [0, 1, 2], words[2], user, "ZYGOTE_MAY_WRITE" not in os.environ)
for descriptor in range(3):
    os.close(descriptor)
connection = support.frames.Connection(sock)
connection.receive()
received = connection.receive()
os._exit(received[0]["exit"] if received else 254)
