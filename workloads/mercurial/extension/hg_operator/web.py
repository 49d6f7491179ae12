# SPDX-License-Identifier: GPL-2.0-or-later
"""A web worker: answers pages and the wire protocol over HTTP, one request at a time, as docs/protocols.md says."""

import json
import os
import resource
import socket
import sys
import time
import traceback

from mercurial import error

from . import (
    answer_memory,
    content_policy,
    frames,
    limits,
    named_hashes,
    processor_time,
    searches,
    stream_clone,
    web_application,
    wire_arguments,
    wsgi_bytes,
)

MAX_REQUEST_BODY_BYTES = 16 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
DEFAULT_MEMORY_BYTES = 1024 * 1024 * 1024
# Looking at the memory costs more than a small answer, so it is done now and then.
REQUESTS_BETWEEN_MEMORY_CHECKS = 64
_PAGE_BYTES = resource.getpagesize()


def run(connection, _config, baseui):
    """Answers requests until the other side ends, or until this process has met one of its bounds."""
    stream = socket.socket(fileno=os.dup(connection.fileno()))
    incoming = frames.Connection(stream)
    applications = web_application.Applications(baseui)
    bound = baseui.configbytes(b"hg-operator", b"web-memory", b"%d" % DEFAULT_MEMORY_BYTES)
    time_bound = processor_time.Bound(baseui)
    web_application.refuse_pushes()
    searches.install(baseui)
    content_policy.install()
    wsgi_bytes.install()
    answered = 0
    try:
        while True:
            received = incoming.receive(MAX_REQUEST_BODY_BYTES)
            if received is None:
                return
            large = _answer(baseui, applications, stream, time_bound, *received)
            answered += 1
            if time_bound.is_used_up:
                return  # it was stopped anywhere: what it has in memory is not to be trusted
            if (large or answered % REQUESTS_BETWEEN_MEMORY_CHECKS == 0) and _resident_bytes() > bound:
                _log("info", "web worker ends: it has grown over its memory bound", requests=answered, bound=bound)
                return
    except (BrokenPipeError, ConnectionResetError):
        return  # the front gave up on this answer, and with it on this worker
    finally:
        stream.close()


def _answer(ui, applications, stream, time_bound, request, body):
    """Answers one request; True when the answer was larger than one chunk."""
    answer = _Answer(stream, time_bound, request.get("method") == "HEAD")
    try:
        with time_bound.answer():
            _make_answer(applications, request, body, answer)
    except named_hashes.UnknownChangesets as unknown:
        answer.instead({"unknown": unknown.hashes})
    except processor_time.UsedUp as why:
        _log("warning", "web worker ends: %s" % why, **_named(request))
        answer.fail("400 Bad Request", "%s\n" % why)
    except wire_arguments.BadArguments as why:
        answer.fail("400 Bad Request", "%s\n" % why)
    except error.Abort as why:
        answer.fail("403 Forbidden", "%s\n" % why)
    except stream_clone.RetryLater as why:
        answer.fail("503 Service Unavailable", "try again: %s\n" % why, [("Retry-After", str(why.seconds))])
    except (BrokenPipeError, ConnectionResetError):
        raise
    except error.RepoError as why:
        _report(request, why)
        answer.fail("500 Internal Server Error", "the repository cannot be read\n")
    except MemoryError as why:
        _report(request, why)
        answer.fail("500 Internal Server Error", "%s\n" % limits.sentence(ui, why).decode())
    except Exception as why:  # whatever went wrong with one request, the next is answered
        _report(request, why)
        answer.fail("500 Internal Server Error", "the request failed: %s\n" % type(why).__name__)
    return answer.sent_chunks


def _make_answer(applications, request, body, answer):
    application = applications.get(request)
    application.refresh()
    application.is_definite = request.get("definite", False)
    # That nobody has it may be false for the next who asks, although nothing has changed here.
    key = None if application.is_definite else answer_memory.key(request, body)
    kept = application.answers.get(key)
    if kept is not None:
        answer.repeat(kept)
        return
    for chunk in application(wsgi_bytes.of(request, body or b""), answer.start):
        answer.write(chunk)
    whole = answer.finish()
    if key is not None:
        answer_memory.keep(application.answers, key, whole)


class _Answer:
    """One answer on its way out. Nothing is sent before the first full chunk or the end: until then it can change."""

    def __init__(self, stream, time_bound, without_body):
        self._stream = stream
        self._time_bound = time_bound
        self._without_body = without_body
        self._head = None
        self._chunks = []
        self._size = 0
        self.sent_chunks = False

    def start(self, status, headers, exc_info=None):
        code, _space, reason = status.partition(" ")
        streaming = not any(name.lower() == "content-length" for name, _value in headers)
        self._head = {"status": int(code), "reason": reason, "headers": headers, "streaming": streaming}
        return self.write

    def write(self, data):
        if self._without_body or not data:
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._size >= CHUNK_BYTES:
            self._send(last=False)

    def finish(self):
        """Sends the rest; answers all that was sent, when it went in one piece and is a success."""
        in_one_piece = not self.sent_chunks
        data = self._send(last=True)
        return data if in_one_piece and self._head["status"] == 200 else None

    def repeat(self, data):
        """Sends what `finish` answered for an equal request."""
        with self._time_bound.undisturbed(until_next=True):
            self._stream.sendall(data)

    def instead(self, message):
        """Sends only this frame; the answer must not have begun."""
        if self.sent_chunks:
            return self._abort("the answer has begun already")
        frames.Connection(self._stream).send(message)

    def fail(self, status, text, headers=()):
        if self.sent_chunks:
            return self._abort(text.strip())
        self._chunks = []
        data = text.encode()
        self.start(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(data))), *headers])
        self._size = 0
        self.write(data)
        self.finish()

    def _abort(self, text):
        """The front has to break the client's connection: half an answer must not look like a whole one."""
        frames.Connection(self._stream).send({"abort": text})

    def _send(self, last):
        with self._time_bound.undisturbed(until_next=last):
            return self._send_frames(last)

    def _send_frames(self, last):
        """Frames are gathered and leave in one piece."""
        gathered = _Gathered()
        out = frames.Connection(gathered)
        if not self.sent_chunks:
            out.send(self._head)
        data = b"".join(self._chunks)
        for at in range(0, len(data), CHUNK_BYTES):
            out.send({}, data[at : at + CHUNK_BYTES])
            if len(data) > CHUNK_BYTES:
                self._stream.sendall(gathered.take())
        if last:
            out.send({"end": True})
        self._chunks = []
        self._size = 0
        self.sent_chunks = self.sent_chunks or not last
        rest = gathered.take()
        self._stream.sendall(rest)
        return rest


class _Gathered:
    """Takes what a connection sends."""

    def __init__(self):
        self._parts = []

    def sendall(self, data):
        self._parts.append(data)

    def take(self):
        data = b"".join(self._parts)
        self._parts = []
        return data


def _resident_bytes():
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES


def _report(request, why):
    _log(
        "error",
        "web request failed: %s" % why,
        kind=type(why).__name__,
        traceback=traceback.format_exc(limit=-4),
        **_named(request),
    )


def _named(request):
    return {
        "repository": request.get("repository"),
        "path": request.get("path"),
        "query": (request.get("query") or "")[:200],
        "page": (request.get("pathInfo") or "")[:200],
    }


def _log(level, message, **fields):
    line = {"time": time.time(), "level": level, "message": message, **fields}
    sys.stderr.write(json.dumps(line, default=str) + "\n")
    sys.stderr.flush()
