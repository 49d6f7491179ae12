# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames: a 32-bit big-endian length, a JSON object, then as many raw bytes as its `body` says.

docs/protocols.md, "Frames". Used on the zygote's, the lanes', the web workers' and the push gate's Unix sockets.
"""

import array
import json
import socket
import struct

MAX_OBJECT_BYTES = 16 * 1024 * 1024
MAX_BODY_BYTES = 1024 * 1024
# stdin, stdout and stderr of one SSH session.
MAX_DESCRIPTORS = 3

_LENGTH = struct.Struct(">I")


class FrameError(Exception):
    """The other side does not speak this protocol, or went away in the middle of a frame."""


class Connection:
    """Frames on a stream socket. Nothing is read beyond a frame's end."""

    def __init__(self, stream):
        self._stream = stream

    def fileno(self):
        return self._stream.fileno()

    def close(self):
        self._stream.close()

    def bound(self, seconds):
        """From here on a wait that is longer fails with an OSError."""
        self._stream.settimeout(seconds)

    def send(self, message, body=b""):
        """Sends one frame; `body` is announced in the object when there is any."""
        if body:
            message = dict(message, body=len(body))
        text = json.dumps(message, separators=(",", ":")).encode("ascii")
        if len(text) > MAX_OBJECT_BYTES:
            raise FrameError("a frame's object has at most %d bytes, this one has %d" % (MAX_OBJECT_BYTES, len(text)))
        self._stream.sendall(_LENGTH.pack(len(text)) + text + body)

    def receive(self, max_body=MAX_BODY_BYTES):
        """The next (object, body), or None when the other side closed the connection between two frames."""
        header = self._exactly(_LENGTH.size, may_end=True)
        if header is None:
            return None
        return self._object(header, max_body)

    def receive_with_descriptors(self):
        """The next (object, body, descriptors) or None; the descriptors come with the frame's first byte."""
        space = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
        data, ancillary, _flags, _address = self._stream.recvmsg(_LENGTH.size, space, socket.MSG_CMSG_CLOEXEC)
        descriptors = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
        if not data:
            return None
        header = data + self._exactly(_LENGTH.size - len(data))
        message, body = self._object(header, MAX_BODY_BYTES)
        return message, body, list(descriptors)

    def _object(self, header, max_body):
        (length,) = _LENGTH.unpack(header)
        if length > MAX_OBJECT_BYTES:
            raise FrameError("a frame's object has at most %d bytes, this one has %d" % (MAX_OBJECT_BYTES, length))
        try:
            message = json.loads(self._exactly(length))
        except ValueError as why:
            raise FrameError("a frame holds a JSON object: %s" % why) from why
        if not isinstance(message, dict):
            raise FrameError("a frame holds a JSON object, not a %s" % type(message).__name__)
        size = message.get("body", 0)
        if not isinstance(size, int) or not 0 <= size <= max_body:
            raise FrameError("a frame's body has 0 to %d bytes, not %r" % (max_body, size))
        return message, self._exactly(size)

    def _exactly(self, size, may_end=False):
        parts = []
        missing = size
        while missing:
            part = self._stream.recv(min(missing, MAX_BODY_BYTES))
            if not part:
                if may_end and missing == size:
                    return None
                raise FrameError("the connection ended within a frame")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)


def connect(path):
    """A connection to the Unix socket at `path`."""
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.connect(path)
    except (OSError, TypeError):
        stream.close()
        raise
    return Connection(stream)
