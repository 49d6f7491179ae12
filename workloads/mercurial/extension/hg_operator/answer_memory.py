# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers to small wire commands and JSON pages, kept while nothing in the repository changes.

Clients that poll ask the same few things again and again; their answers depend on the repository's files and the
request alone. Other pages say how long ago something was.
"""

MAX_ANSWERS = 256
MAX_ANSWER_BYTES = 16 * 1024
MAX_KEY_BYTES = 4 * 1024

# Not clonebundles: its manifest is a file of its own that comes and goes without a record.
_NAMES = ("batch", "branchmap", "capabilities", "getbundle", "heads", "known", "listkeys", "lookup")
_COMMANDS = frozenset("cmd=" + name for name in _NAMES)


def key(request, body):
    """What the answer depends on, or None when it is not kept."""
    page = (request.get("pathInfo") or "").lstrip("/")
    if not page:
        parts = _command(request, body or b"")
    elif page.startswith("json-") and not body:
        parts = _page(request, page)
    else:
        return None
    return tuple(parts) if parts and sum(map(len, parts)) <= MAX_KEY_BYTES else None


def _command(request, body):
    """Arguments come in the query, headers or the body."""
    query = request.get("query") or ""
    if request["method"] not in ("GET", "POST") or query.partition("&")[0] not in _COMMANDS:
        return ()
    headers = [part for name, value in _headers(request) if name.startswith("x-hg") for part in (name, value)]
    return [request["method"], query, body, *headers]


def _page(request, page):
    """A client that has a page already is told that it is the same, which costs little."""
    if request["method"] != "GET" or any(name == "if-none-match" for name, _value in _headers(request)):
        return ()
    return ["GET", page, request.get("query") or "", request.get("scheme") or "", request.get("host") or ""]


def _headers(request):
    return [(name.lower(), value) for name, value in request.get("headers") or ()]


def keep(answers, answer_key, data):
    if data is None or len(data) > MAX_ANSWER_BYTES:
        return
    if len(answers) >= MAX_ANSWERS:
        answers.clear()
    answers[answer_key] = data
