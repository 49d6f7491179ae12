# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests that name a full changeset hash: answered as soon as the changeset is applied, shown or not.

What a client learned from one mirror by hash it can fetch from every other. A hash that is not stored here at all is
reported to the caller, before anything was sent, so that the front can wait for it or ask a peer. Discovery (`known`,
`heads`, `branchmap`, `listkeys`) names nothing: it is about what is shown, as with hgweb.
"""

import binascii
import re

from mercurial import error, extensions, wireprototypes, wireprotov1server
from mercurial.hgweb import webutil
from mercurial.node import bin, hex, wdirid

from . import view, wire_arguments

_FULL_HASH = re.compile(rb"[0-9a-f]{40}\Z")
_WORKING_DIRECTORY = b"f" * 40
# Old commands that fail on SSH instances, too, when one of their nodes is unknown.
_FROM_NODES = frozenset([b"changegroup", b"changegroupsubset"])
_WRITES = frozenset([b"unbundle", b"pushkey"])
# Set on a repository for one request: whoever asks knows that nobody has what is not stored here.
DEFINITE = "_hg_operator_definite"


class UnknownChangesets(Exception):
    """The request names changesets that are not stored here."""

    def __init__(self, hashes):
        super().__init__("changesets %s are not stored here" % ", ".join(hashes))
        self.hashes = hashes


def extsetup(ui):
    _wrap(b"getbundle", _getbundle)
    _wrap(b"lookup", _lookup)
    _wrap(b"changegroup", _changegroup)
    _wrap(b"changegroupsubset", _changegroupsubset)
    _wrap(b"between", _between)
    _wrap(b"branches", _branches)
    extensions.wrapfunction(wireprotov1server, "dispatch", _dispatch)


def web_view(repo, request):
    """The view for a web page: shown, and what the path or the query names by full hash."""
    nodes = _nodes_of_page(request)
    if not nodes:
        return repo
    require(repo, nodes)
    return view.named(repo, nodes)


def require(repo, nodes):
    unfiltered = repo.unfiltered()
    missing = view.unknown_to(unfiltered, nodes)
    if missing and not unfiltered.__dict__.get(DEFINITE):
        raise UnknownChangesets(missing)


def _nodes_of_page(request):
    """Full hashes where hgweb looks for a revision: the second part of the path, `node=` and `rev=`."""
    query = request.qsparams
    if b"cmd" in query and query[b"cmd"] in wireprotov1server.commands:
        return []  # a wire command looks at its own arguments
    path = request.dispatchpath
    if path is None:
        path = request.querystring.partition(b"&")[0].partition(b";")[0]
    parts = path.split(b"/", 2)
    words = query.getall(b"node") + query.getall(b"rev")
    if len(parts) > 1 and parts[0] != b"static":
        words.append(_without_archive_extension(parts[1]) if parts[0].endswith(b"archive") else parts[1])
    return [bin(word) for word in words if _is_full_hash(word)]


def _without_archive_extension(name):
    for _type, spec in webutil.archivespecs.items():
        if name.endswith(spec[2]):
            return name[: -len(spec[2])]
    return name


def _is_full_hash(word):
    return _FULL_HASH.match(word) is not None and word != _WORKING_DIRECTORY


def _wrap(name, command):
    entry = wireprotov1server.commands.get(name)
    if entry is None:
        return
    original = entry.func

    def on_mirrors(repo, proto, *args):
        if not view.is_mirror(repo.ui):
            nodes = [node for text in args for node in wireprototypes.decodelist(text)] if name in _FROM_NODES else ()
            return _unknown_in(repo, nodes) or original(repo, proto, *args)
        return command(original, repo, proto, *args)

    entry.func = on_mirrors


def _dispatch(original, repo, proto, command, *args, **kwargs):
    """Over SSH, nonsense is answered in the protocol's way, and the session goes on."""
    if command in _WRITES:
        return original(repo, proto, command, *args, **kwargs)
    try:
        with wire_arguments.checked(proto, command):
            return _known_only(original, repo, proto, command, *args, **kwargs)
    except wire_arguments.BadArguments as why:
        if proto.name != wireprototypes.SSHV1:
            raise
        return wireprototypes.ooberror(b"%s\n" % str(why).encode("ascii", "replace"))


def _known_only(original, repo, proto, command, *args, **kwargs):
    """Stock commands fail when a node is unknown or filtered; say in the protocol's way that it is unknown."""
    try:
        return original(repo, proto, command, *args, **kwargs)
    except (error.LookupError, error.RepoLookupError, error.FilteredIndexError, error.WdirUnsupported):
        return wireprototypes.ooberror(b"unknown revision\n")
    except binascii.Error as why:  # a command of an extension, whose arguments nobody has checked
        raise wire_arguments.unreadable(command) from why


def _getbundle(original, repo, proto, others):
    heads = wireprototypes.decodelist(others.get(b"heads") or b"")
    common = wireprototypes.decodelist(others.get(b"common") or b"")
    require(repo, heads)
    with_named = view.named(repo, heads + common)
    if with_named.filtername == view.NAMED and not heads and not _is_true(others.get(b"stream")):
        # Without heads the answer ends at what is shown, also when the client has more in common.
        others = {**others, b"heads": wireprototypes.encodelist(repo.heads())}
    unknown = _unknown_in(with_named, heads)
    if unknown is not None:
        return unknown
    try:
        return original(with_named, proto, others)
    except ValueError as why:
        raise wire_arguments.BadArguments("getbundle: %s" % why) from why


def _is_true(value):
    return value not in (None, b"", b"0")


def _lookup(original, repo, proto, key):
    if not _is_full_hash(key):
        return original(repo, proto, key)
    nodes = [bin(key)]
    require(repo, nodes)
    return original(view.named(repo, nodes), proto, key)


def _changegroupsubset(original, repo, proto, bases, heads):
    wanted, known = wireprototypes.decodelist(heads), wireprototypes.decodelist(bases)
    require(repo, wanted)
    with_named = view.named(repo, wanted + known)
    return _unknown_in(with_named, wanted + known) or original(with_named, proto, bases, heads)


def _changegroup(original, repo, proto, roots):
    return _unknown_in(repo, wireprototypes.decodelist(roots)) or original(repo, proto, roots)


def _unknown_in(repo, nodes):
    """The answer for nodes of which one is nowhere, secret, or being stripped."""
    for node in nodes:
        if node == wdirid or not repo.changelog.hasnode(node):
            return wireprototypes.ooberror(b"unknown revision '%s'\n" % hex(node))
    return None


def _between(original, repo, proto, pairs):
    nodes = [node for pair in pairs.split(b" ") for node in wireprototypes.decodelist(pair, b"-")]
    return original(view.named(repo, nodes), proto, pairs)


def _branches(original, repo, proto, nodes):
    return original(view.named(repo, wireprototypes.decodelist(nodes)), proto, nodes)
