# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames of docs/protocols.md: a 32-bit big-endian length, that many bytes of JSON, then `body` raw bytes."""

import json
import struct

MAX_OBJECT_BYTES = 16 * 1024 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024

_LENGTH = struct.Struct('>I')


class FrameError(Exception):
    """The peer does not speak frames, or ended in the middle of one."""


def read(sock_file):
    """Answers (object, body or None), or (None, None) when the peer has ended between two frames."""
    prefix = sock_file.read(_LENGTH.size)
    if not prefix:
        return None, None
    if len(prefix) < _LENGTH.size:
        raise FrameError('the connection ended inside a frame')
    (size,) = _LENGTH.unpack(prefix)
    if size > MAX_OBJECT_BYTES:
        raise FrameError('a frame of %d bytes is longer than %d' % (size, MAX_OBJECT_BYTES))
    message = json.loads(_exactly(sock_file, size))
    if not isinstance(message, dict):
        raise FrameError('a frame is a JSON object')
    wanted = message.get('body')
    if wanted is None:
        return message, None
    if not isinstance(wanted, int) or not 0 <= wanted <= MAX_BODY_BYTES:
        raise FrameError('a frame\'s body has at most %d bytes' % MAX_BODY_BYTES)
    return message, _exactly(sock_file, wanted)


def write(sock_file, message, body=None):
    """Writes one frame; `body`, when given, sets the object's `body` field."""
    if body is not None:
        message = dict(message, body=len(body))
    text = json.dumps(message, separators=(',', ':')).encode('utf-8')
    sock_file.write(_LENGTH.pack(len(text)) + text)
    if body:
        sock_file.write(body)
    sock_file.flush()


def _exactly(sock_file, size):
    data = sock_file.read(size)
    if len(data) != size:
        raise FrameError('the connection ended inside a frame')
    return data
