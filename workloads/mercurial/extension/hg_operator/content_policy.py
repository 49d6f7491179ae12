# SPDX-License-Identifier: GPL-2.0-or-later
"""The Content-Security-Policy of a web answer, decided by how it was made and not by its address.

What one of hgweb's own templates made as HTML may run hgweb's scripts: those of its static files, and those inside the
page that carry the page's nonce. Everything else is a file of a repository, or may hold one: it runs nothing in our
name, whatever its type (`sandbox`). A policy that the site has set (`web.csp`) replaces ours for pages only.
"""

import base64
import hashlib
import secrets

from mercurial import extensions
from mercurial.hgweb import request

from . import view

HEADER = b"Content-Security-Policy"
FILES = b"default-src 'none'; frame-ancestors 'none'; sandbox"
_PAGES = (
    b"default-src 'none'; connect-src 'self'; img-src 'self'; script-src 'self' 'nonce-%s'; "
    b"style-src 'self' 'unsafe-hashes' %s; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# All that hgweb's templates have in `style` attributes, but for the widths of bars.
STYLES = (
    b"border-collapse:collapse;",
    b"display:none;",
    b"float: right;",
    b"font-family:monospace",
    b"text-align: center;",
    b"text-align: right;",
)
_STYLE_HASHES = b' '.join(
    b"'sha256-%s'" % base64.b64encode(hashlib.sha256(style).digest()) for style in STYLES
)  # fmt: skip
_NONCE_BYTES = 16


def install():
    """Once, in a process that answers visitors."""
    context = view.hgweb_mod_inner.requestcontext
    extensions.wrapfunction(context, "templater", _templater)
    extensions.wrapfunction(context, "sendtemplate", _send_template)
    extensions.wrapfunction(request.wsgiresponse, "sendresponse", _send_response)


def _templater(original, context, req):
    made = original(context, req)
    if not context.csp:
        # Not the context's own: hgweb would answer no conditional request then. A page that is cached keeps its nonce
        # and its policy, because `not modified` brings no other.
        context.page_nonce = made.defaults[b"nonce"] = secrets.token_urlsafe(_NONCE_BYTES).encode("ascii")
    return made


def _send_template(original, context, name, **kwargs):
    headers = context.res.headers
    if headers.get(b"Content-Type", b"").startswith(b"text/html"):
        context.res.is_own_page = True
        if not context.csp:
            headers[HEADER] = _PAGES % (context.page_nonce, _STYLE_HASHES)
    return original(context, name, **kwargs)


def _send_response(original, response):
    if not getattr(response, "is_own_page", False) and not response.status.startswith(b"304"):
        response.headers.add_header(HEADER, FILES)
    return original(response)
