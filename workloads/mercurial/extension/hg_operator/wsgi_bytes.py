# SPDX-License-Identifier: GPL-2.0-or-later
"""A request as hgweb takes it, bytes all through, and the names in its answer's header.

WSGI's text stands for bytes as Latin-1. Mercurial 6.3 takes it for text of the file system, and both versions take
queries and headers for ASCII, so that names with other letters are not found or end as a failure.
"""

import io
import sys
import urllib.parse

from mercurial import extensions, util
from mercurial.hgweb import request as hgweb_request

_DISPOSITION = b"Content-Disposition"
_FILE_NAME = b"filename="


def install():
    """Once, in a process that answers visitors."""
    util.urlreq.parseqsl = _parse_pairs
    util.urlreq.parseqs = _parse_lists
    extensions.wrapfunction(hgweb_request.wsgiresponse, "sendresponse", _send_response)


def _send_response(original, response):
    """The name under which a browser keeps a file may have any letter, as RFC 6266 says it."""
    kind, _filename, name = response.headers.get(_DISPOSITION, b"").partition(_FILE_NAME)
    if not name.isascii():
        quoted = urllib.parse.quote_from_bytes(name.strip(b'"'), safe="").encode("ascii")
        response.headers[_DISPOSITION] = b"%sfilename*=UTF-8''%s" % (kind, quoted)
    return original(response)


def _parse_pairs(query, **options):
    pairs = urllib.parse.parse_qsl(query.decode("latin-1"), encoding="latin-1", **options)
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def _parse_lists(query, **options):
    lists = {}
    for name, value in _parse_pairs(query, **options):
        lists.setdefault(name, []).append(value)
    return lists


def of(request, body):
    """The application is mounted at the repository's path."""
    host, _colon, port = (request.get("host") or "localhost").rpartition(":")
    if not port.isdigit():
        host, port = request.get("host") or "localhost", "443" if request.get("scheme") == "https" else "80"
    rest = urllib.parse.unquote_to_bytes(request.get("pathInfo") or "")
    environment = {
        "REQUEST_METHOD": _bytes(request["method"]),
        "SCRIPT_NAME": b"/" + request["path"].encode(),
        "PATH_INFO": rest if rest.startswith(b"/") or not rest else b"/" + rest,
        "QUERY_STRING": (request.get("query") or "").encode(),
        "SERVER_NAME": _bytes(host),
        "SERVER_PORT": _bytes(port),
        "SERVER_PROTOCOL": b"HTTP/1.1",
        "REMOTE_ADDR": _bytes(request.get("remote") or ""),
        "REMOTE_HOST": _bytes(request.get("remote") or ""),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": _bytes(request.get("scheme") or "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in request.get("headers") or ():
        key = name.upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            environment[key] = _bytes(value)
        elif key != "CONTENT_LENGTH":
            environment["HTTP_" + key] = _bytes(value)
    # What is here, not what a client promised: the application reads exactly this much.
    environment["CONTENT_LENGTH"] = b"%d" % len(body)
    return environment


def _bytes(text):
    """Headers come as Latin-1, one letter a byte."""
    return text.encode("latin-1", "replace")
