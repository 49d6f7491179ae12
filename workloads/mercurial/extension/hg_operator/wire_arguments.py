# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with the arguments of a wire command, in one sentence.

Mercurial's own commands trust their arguments: nonsense ends as a failure of the server, with a traceback.
"""

import contextlib
import re

from mercurial import wireprototypes, wireprotov1server

_NODE = re.compile(rb"[0-9a-fA-F]{40}\Z")
_PAIR = re.compile(rb"[0-9a-fA-F]{40}-[0-9a-fA-F]{40}\Z")
# Arguments that are lists, by command.
_LISTS = {
    b"between": {b"pairs": (_PAIR, "pairs of two hashes of 40 hexadecimal digits")},
    b"branches": {b"nodes": None},
    b"changegroup": {b"roots": None},
    b"changegroupsubset": {b"bases": None, b"heads": None},
    b"known": {b"nodes": None},
}
_HASHES = (_NODE, "hashes of 40 hexadecimal digits")
# Their answers are streams.
_NEVER_IN_A_BATCH = frozenset(
    [b"changegroup", b"changegroupsubset", b"get_cached_bundle_inline", b"getbundle", b"stream_out", b"unbundle"]
)


class BadArguments(Exception):
    """The request cannot be understood: HTTP 400."""


@contextlib.contextmanager
def checked(proto, command):
    """Within it `proto` refuses arguments that `command` cannot take, when the command asks for them."""
    getargs = proto.getargs

    def getargs_checked(spec):
        names = spec.split()
        try:
            values = getargs(spec)
        except KeyError as why:
            raise BadArguments(_missing(command, why.args[0])) from None
        except ValueError:
            raise unreadable(command) from None
        by_name = dict(zip(names, values))
        fault = fault_of(command, {**by_name, **by_name.get(b"*", {})})
        if fault:
            raise BadArguments(fault)
        return values

    proto.getargs = getargs_checked
    try:
        yield
    finally:
        proto.getargs = getargs  # over SSH there is one for all commands of a session


def unreadable(command):
    return BadArguments("the arguments of %s cannot be read" % _text(command))


def fault_of(command, arguments):
    """Why `command` cannot take these, or None; `arguments` is a dict."""
    if command == b"batch":
        return _fault_of_batch(arguments[b"cmds"])
    lists = _LISTS.get(command, {})
    if command == b"getbundle":
        lists = {name: None for name, kind in wireprototypes.GETBUNDLE_ARGUMENTS.items() if kind == b"nodes"}
    for name, kind in lists.items():
        pattern, wanted = kind or _HASHES
        words = arguments.get(name) or b""
        if words and not all(pattern.match(word) for word in words.split(b" ")):
            return "%s of %s must be %s, with a space between them" % (_text(name), _text(command), wanted)
    return None


def _fault_of_batch(text):
    for part in text.split(b";"):
        command, space, rest = part.partition(b" ")
        entry = wireprotov1server.commands.get(command)
        if not space or entry is None or command in _NEVER_IN_A_BATCH:
            return "cmds of batch has %s, which is no command with arguments that a batch can have" % _text(command)
        arguments = {}
        for pair in filter(None, rest.split(b",")):
            name, equals, value = pair.partition(b"=")
            if not equals or b"=" in value:
                return "cmds of batch has %s where name=value belongs" % _text(pair)
            arguments[wireprototypes.unescapebatcharg(name)] = wireprototypes.unescapebatcharg(value)
        for name in (entry.args or b"").split():
            if name != b"*" and name not in arguments:
                return _missing(command, name)
        fault = fault_of(command, arguments)
        if fault:
            return fault
    return None


def _missing(command, name):
    return "%s needs the argument %s" % (_text(command), _text(name))


def _text(name):
    """As it may be shown: short, and on one line."""
    return ascii(name[:40])[2:-1] or "nothing"
