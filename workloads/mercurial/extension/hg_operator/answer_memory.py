# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers to small wire commands, kept while nothing in the repository changes.

Clients that poll ask the same few things again and again; their answers depend on the repository's files and the
request alone.
"""

MAX_ANSWERS = 256
MAX_ANSWER_BYTES = 16 * 1024
MAX_KEY_BYTES = 4 * 1024

# Not clonebundles: its manifest is a file of its own that comes and goes without a record.
_NAMES = ('batch', 'branchmap', 'capabilities', 'getbundle', 'heads', 'known', 'listkeys', 'lookup')
_COMMANDS = frozenset('cmd=' + name for name in _NAMES)


def key(request, body):
    """What the answer depends on, or None when it is not kept. Arguments come in the query, headers or the body."""
    query = request.get('query') or ''
    if request['method'] not in ('GET', 'POST') or request.get('pathInfo') not in ('', '/', None):
        return None
    if query.partition('&')[0] not in _COMMANDS:
        return None
    parts = [request['method'], query, body or b'']
    size = len(query) + len(parts[2])
    for name, value in request.get('headers') or ():
        if name[:4].lower() == 'x-hg':
            parts += (name.lower(), value)
            size += len(value)
    return tuple(parts) if size <= MAX_KEY_BYTES else None


def keep(answers, answer_key, data):
    if data is None or len(data) > MAX_ANSWER_BYTES:
        return
    if len(answers) >= MAX_ANSWERS:
        answers.clear()
    answers[answer_key] = data
