# SPDX-License-Identifier: GPL-2.0-or-later
"""How much memory, how large a file and how long a silence one command may cost, whoever asks for it."""

import errno
import os
import resource
import socket
import struct

from mercurial import util

COMMAND = b"command-memory"
IMPORT = b"import-memory"
ANSWER = b"answer-memory"

# The setting that holds for this process.
_memory = COMMAND


def apply(ui, memory):
    """From here on this process keeps to the bounds of the configuration; what it starts does as well."""
    global _memory
    _memory = memory
    for kind, name in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, b"file-size")):
        most = ui.configbytes(b"hg-operator", name)
        _soft, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def memory(ui):
    """The most that this process may have, in bytes."""
    return ui.configbytes(b"hg-operator", _memory)


def end_unread_answers(ui, descriptors):
    """A write fails when nobody has read for so long: it may be made under the repository's lock."""
    timeout = struct.pack("ll", ui.configint(b"hg-operator", b"progress-timeout"), 0)
    for descriptor in descriptors:
        try:
            with socket.socket(fileno=os.dup(descriptor)) as stream:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        except OSError as why:
            if why.errno != errno.ENOTSOCK:
                raise


def sentence(ui, why):
    """Which bound was met, if `why` is of one."""
    if isinstance(why, MemoryError):
        return b"this needs more memory than one command may have on this server (%s)" % util.bytecount(memory(ui))
    if isinstance(why, OSError) and why.errno == errno.EFBIG:
        most = util.bytecount(ui.configbytes(b"hg-operator", b"file-size"))
        return b"this makes a file larger than one may be on this server (%s)" % most
    return None
