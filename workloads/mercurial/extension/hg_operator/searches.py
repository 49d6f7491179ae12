# SPDX-License-Identifier: GPL-2.0-or-later
"""What visitors may search for in the log pages: revsets of few functions, without regular expressions.

hgweb takes an expression whose functions it does not call safe for plain words; so it does here with all that are not
listed. It refuses regular expressions only where it sees them in the text, but they can be put together (`'r'##'e:'`).
"""

from mercurial import error, extensions, revset, revsetlang
from mercurial.hgweb import common, webcommands
from mercurial.i18n import _
from mercurial.utils import stringutil

MAX_BYTES = 1000
# Of the parsed expression, `reverse(...)` around it included.
MAX_DEPTH = 20
# None takes a pattern of file names: some kinds of them read files of the server (`listfile:`), others every file of
# every changeset (`set:`).
DEFAULT_FUNCTIONS = b"""
    all ancestor ancestors author bookmark branch branchpoint children closed commonancestors date desc descendants
    draft extra first head heads id keyword last limit max merge min none obsolete only p1 p2 parents present public
    rev reverse roots sort tag tagged user
""".split()


def install(ui):
    """Once, in a process that answers visitors and nobody else."""
    allowed = ui.configlist(b"hg-operator", b"web-revset-functions", DEFAULT_FUNCTIONS)
    revset.safesymbols = frozenset(allowed).intersection(revset.safesymbols)
    extensions.wrapfunction(webcommands, "_search", _search)
    extensions.wrapfunction(stringutil, "stringmatcher", _matcher)


def _search(original, web):
    fault = fault_of(web.req.qsparams[b"rev"])
    if fault:
        raise common.ErrorResponse(common.HTTP_BAD_REQUEST, fault)
    return original(web)


def fault_of(query):
    """Why it is refused, or None. What is no expression is searched for as it is."""
    if len(query) > MAX_BYTES:
        return b"a search has at most %d bytes" % MAX_BYTES
    try:
        depth = revsetlang.depth(revsetlang.parse(b"reverse(%s)" % query))
    except error.ParseError:
        return None
    except RecursionError:
        depth = MAX_DEPTH + 1
    return b"a search is at most %d expressions deep" % MAX_DEPTH if depth > MAX_DEPTH else None


def _matcher(original, pattern, *args, **kwargs):
    if pattern.startswith(b"re:"):
        raise error.ParseError(_(b"regular expressions are not searched for here"))
    return original(pattern, *args, **kwargs)
