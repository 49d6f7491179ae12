# SPDX-License-Identifier: GPL-2.0-or-later
"""What a mirror shows: the changesets whose records are shown, which are a prefix of the revision numbers.

Two filters. `hg-operator-shown` is what discovery and pages see. `hg-operator-named` also has the changesets that
the current request names by full hash, with their ancestors. Extensions derive filters from them, whose names begin as
theirs do. Bookmarks, phases, markers and the pushlog need no filter: the lane writes them when it shows a record,
never before. On SSH instances shown is applied and nothing here does anything.
"""

import json

from mercurial import branchmap as branch_caches, error, extensions, phases, repoview, scmutil, wireprotov1server
from mercurial.hgweb import hgweb_mod, webutil
from mercurial.node import bin, hex, nullid, wdirhex, wdirid
from mercurial.utils import repoviewutil

from . import named_hashes, stream_clone

try:
    from mercurial.hgweb import hgweb_mod_inner
except ImportError:  # before Mercurial 7.2 there is only one module
    hgweb_mod_inner = hgweb_mod

SHOWN = b"hg-operator-shown"
NAMED = b"hg-operator-named"
# The subset that every filter must name: caches of branches begin with it, and it has nothing.
NOTHING = b"hg-operator-nothing"
STATE_FILE = b"hg-operator-state"


class ShownRevisions(frozenset):
    """The filtered revisions of the shown view, which knows how many revisions there seem to be."""

    length = 0


def is_mirror(ui):
    return ui.config(b"hg-operator", b"role", b"ssh") == b"mirror"


def read_state(unfiltered):
    """The state file as last refreshed. A repository without one shows nothing: its lane has not begun."""
    state = unfiltered.__dict__.get("_hg_operator_state")
    if state is None:
        refresh(unfiltered)
        state = unfiltered.__dict__["_hg_operator_state"]
    return state


def refresh(repo):
    """Reads the state file again and forgets views made from an older one."""
    unfiltered = repo.unfiltered()
    text = unfiltered.svfs.tryread(STATE_FILE)
    attributes = unfiltered.__dict__
    if attributes.get("_hg_operator_state_text") != text:
        attributes["_hg_operator_state_text"] = text
        attributes["_hg_operator_state"] = json.loads(text) if text else {}
        forget_views(unfiltered)


def forget_views(unfiltered):
    unfiltered.__dict__.pop("_hg_operator_view", None)
    _forget_filters(unfiltered, (SHOWN, NAMED, NOTHING))


def _forget_filters(unfiltered, kinds):
    for name in [name for name in unfiltered.filteredrevcache if name and name.startswith(kinds)]:
        del unfiltered.filteredrevcache[name]


def shown(repo):
    """The view for every read that does not name a full hash. One object is kept: a new one has empty caches."""
    unfiltered = repo.unfiltered()
    view = unfiltered.__dict__.get("_hg_operator_view")
    if view is None:
        view = unfiltered.filtered(SHOWN if is_mirror(repo.ui) else b"served")
        unfiltered.__dict__["_hg_operator_view"] = view
    return view


def named(repo, nodes):
    """The shown view, and the ancestors of those `nodes` that are applied here and may be served."""
    unfiltered = repo.unfiltered()
    visible = shown(unfiltered)
    has_node = visible.changelog.hasnode
    revisions = servable(unfiltered, [node for node in nodes if not has_node(node)])
    if not revisions:
        return visible
    unfiltered.__dict__["_hg_operator_named"] = tuple(revisions)
    _forget_filters(unfiltered, (NAMED,))
    return unfiltered.filtered(NAMED)


def servable(unfiltered, nodes):
    """Revisions of those nodes that are stored here, not secret and not about to be stripped."""
    get_rev = unfiltered.changelog.index.get_rev
    revisions = [get_rev(node) for node in nodes]
    never = never_served(unfiltered) if any(rev is not None for rev in revisions) else ()
    stored = range(len(unfiltered.changelog))  # the hash of a working directory has a number, too
    return [rev for rev in revisions if rev in stored and rev not in never]


def shown_length(unfiltered):
    """How many revisions are shown (some of them may be obsolete or secret)."""
    wanted = read_state(unfiltered).get("shownRevisions") or 0
    return max(0, min(int(wanted), len(unfiltered.changelog)))


def never_served(unfiltered):
    """Secret changesets, and those that a strip will remove, with their descendants."""
    secret = repoview.filterrevs(unfiltered, b"served.hidden")
    return secret | being_stripped(unfiltered) if read_state(unfiltered).get("stripping") else secret


def being_stripped(unfiltered):
    changelog = unfiltered.changelog
    get_rev = changelog.index.get_rev
    stripping = read_state(unfiltered).get("stripping") or ()
    if isinstance(stripping, dict):
        stripping = stripping["changesets"]
    roots = [get_rev(bin(text)) for text in stripping]
    roots = [rev for rev in roots if rev is not None]
    return frozenset(roots).union(changelog.descendants(roots)) if roots else frozenset()


def compute_shown(unfiltered, *args, **kwargs):
    length = shown_length(unfiltered)
    filtered = set(range(length, len(unfiltered.changelog)))
    filtered |= never_served(unfiltered)
    filtered |= _obsolete(unfiltered, length)
    result = ShownRevisions(filtered)
    result.length = length
    return result


def _obsolete(unfiltered, length):
    """As Mercurial's `visible` filter, but what is not shown yet keeps no obsolete ancestor visible."""
    hidden = {rev for rev in repoview.hideablerevs(unfiltered) if rev < length}
    if not hidden:
        return hidden
    hidden -= repoview.pinnedrevs(unfiltered)
    mutable = unfiltered._phasecache.getrevset(unfiltered, phases.mutablephases)
    visible = [rev for rev in mutable if rev < length and rev not in hidden]
    repoview._revealancestors(unfiltered.changelog.parentrevs, hidden, visible)
    return hidden


def compute_named(unfiltered, *args, **kwargs):
    revisions = unfiltered.__dict__.get("_hg_operator_named", ())
    filtered = repoview.filterrevs(unfiltered, SHOWN)
    if not revisions:
        return filtered
    return frozenset(filtered.difference(unfiltered.changelog.ancestors(revisions, inclusive=True)))


def warm(repo):
    """Brings the branch and tag caches of the shown view up to date, so that no reader pays for it."""
    refresh(repo)
    view = shown(repo)
    view.branchmap()
    view.tags()


def _wrap_changelog(original, unfiltered_changelog, filtered):
    """A shown changelog ends where the shown prefix ends: counts, pages and navigation use its length."""
    changelog = original(unfiltered_changelog, filtered)
    if isinstance(filtered, ShownRevisions):

        class ShownChangelog(changelog.__class__):
            def __len__(self):
                return self.filteredrevs.length

        changelog.__class__ = ShownChangelog
    return changelog


def _dispatch_view(original, repo, proto, command, *args, **kwargs):
    if not is_mirror(repo.ui):
        return original(repo, proto, command, *args, **kwargs)
    return shown(repo)


def _web_view(original, repo):
    return shown(repo) if is_mirror(repo.ui) else original(repo)


def _filtered_error(original, repo, symbol):
    """What is not shown is unknown: a text of its own would tell that it is here."""
    if is_of(repo, SHOWN, NAMED):
        return error.RepoLookupError(b"unknown revision '%s'" % symbol)
    return original(repo, symbol)


def _revision(original, repo, symbol, *args, **kwargs):
    """A server has no working directory that a hash could mean: pages would read files beside the repository."""
    found = original(repo, symbol, *args, **kwargs)
    if found.rev() is None and is_of(repo, SHOWN, NAMED):
        raise error.RepoLookupError(b"unknown revision '%s'" % symbol)
    return found


def _file(original, repo, req):
    """Takes what is no changeset for the hash of a file's revision: that of a working directory is neither."""
    if wdirhex in (req.qsparams.get(b"node"), req.qsparams.get(b"filenode")) and is_of(repo, SHOWN, NAMED):
        raise error.RepoLookupError(b"unknown revision '%s'" % wdirhex)
    return original(repo, req)


def uisetup(ui):
    """Before the extensions that derive filters from all that there are."""
    repoview.filtertable[SHOWN] = compute_shown
    repoview.filtertable[NAMED] = compute_named
    # Not one of Mercurial's: its base and immutable views may have changesets that are hidden here, and a view that is
    # not within its subset ends in error 500 when the branch cache is made.
    repoviewutil.subsettable[SHOWN] = repoviewutil.subsettable[NAMED] = NOTHING


def extsetup(ui):
    for name in set(repoviewutil.subsettable.values()):
        if name.startswith(NOTHING):
            repoview.filtertable[name] = _everything
    extensions.wrapfunction(repoview, "wrapchangelog", _wrap_changelog)
    extensions.wrapfunction(wireprotov1server, "getdispatchrepo", _dispatch_view)
    extensions.wrapfunction(hgweb_mod_inner, "getwebview", _web_view)
    extensions.wrapfunction(scmutil, "_filterederror", _filtered_error)
    extensions.wrapfunction(scmutil, "revsymbol", _revision)
    extensions.wrapfunction(webutil, "filectx", _file)
    named_hashes.extsetup(ui)
    stream_clone.extsetup(ui)


def reposetup(ui, repo):
    if not repo.local() or not is_mirror(repo.ui):
        return

    class MirrorRepository(repo.__class__):
        """Branches and tags are part of discovery: a request that names a hash sees those of the shown view."""

        def branchmap(self):
            if is_of(self, NAMED):
                return self.filtered(_shown_instead(self)).branchmap()
            if is_of(self, SHOWN, NOTHING) and shows_nothing(self):
                return _no_branches(self)
            return super().branchmap()

        def heads(self, start=None):
            # An empty repository has the null head, and so has one whose first push is not shown yet.
            return super().heads(start) or [nullid]

        def _findtags(self):
            if is_of(self, NAMED):
                return self.filtered(_shown_instead(self))._findtags()
            return super()._findtags()

        def __len__(self):
            return len(self.changelog) if is_of(self, SHOWN) else super().__len__()

        def invalidatecaches(self):
            forget_views(self.unfiltered())
            return super().invalidatecaches()

        def listkeys(self, namespace):
            values = super().listkeys(namespace)
            if namespace != b"phases" or not is_of(self, SHOWN, NAMED):
                return values
            return {key: value for key, value in values.items() if len(key) != 40 or may_be_a_root(self, bin(key))}

    repo.__class__ = MirrorRepository


def is_of(repo, *kinds):
    """Whether its view is one of these filters, or derived from one."""
    return repo.filtername is not None and repo.filtername.startswith(kinds)


def _shown_instead(repo):
    return SHOWN + repo.filtername[len(NAMED) :]


def _everything(unfiltered, *args, **kwargs):
    return frozenset(unfiltered.changelog.revs())


def may_be_a_root(repo, node):
    """Whether clients hear that drafts begin at `node`: as from hgweb also when that one is obsolete, or they would
    take their own copy of it for public. Roots that nobody was shown are for those who name them."""
    unfiltered = repo.unfiltered()
    rev = unfiltered.changelog.index.get_rev(node)
    if rev is None or rev in being_stripped(unfiltered):
        return False
    return rev < shown_length(unfiltered) or rev in repo.changelog


def shows_nothing(repo):
    return next(iter(repo.changelog), None) is None


def _no_branches(repo):
    """Mercurial's own cache of a view without changesets does not believe itself when the repository has some."""
    make = getattr(branch_caches, "new_branch_cache", None) or branch_caches.branchcache
    return make(repo)


def unknown_to(unfiltered, nodes):
    """Full hashes, as text, that this repository has not stored; the null one is everywhere, a working directory's
    nowhere."""
    has_node = unfiltered.changelog.index.has_node
    return [hex(node).decode("ascii") for node in nodes if node != wdirid and not has_node(node)]
