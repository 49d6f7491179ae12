# SPDX-License-Identifier: GPL-2.0-or-later
"""Stream clones of exactly the shown state.

A stream is the store's files. What is applied but not shown stands at their ends, because records are applied in log
order: every revlog that a hidden changeset touches is cut at its first revision of one (as `hg strip` would), and
`phaseroots` loses the roots that are hidden. The repository lock is held only while sizes are read, never while bytes
are sent; sizes are kept, so that the next stream of the same state takes no lock and a later one reads only the sizes
of files that new changesets touch.
"""

import contextlib
import os
import time

from mercurial import error, extensions, store, streamclone, util
from mercurial.node import bin

from . import revlog_cut, view

LOCK_RETRY_SECONDS = 0.005
DEFAULT_WAIT_SECONDS = 5
CHUNK_BYTES = 256 * 1024

# Formats whose files are understood here: what repositories are pinned to, and what changes nothing in those files.
_KNOWN_REQUIREMENTS = frozenset([
    b'revlogv1', b'store', b'fncache', b'dotencode', b'generaldelta', b'sparserevlog', b'revlog-compression-zstd',
    b'share-safe', b'dirstate-v2', b'persistent-nodemap',
])  # fmt: skip

_TOP_FILES = (b"00manifest.i", b"00manifest.d", b"00changelog.d", b"00changelog.i")


class RetryLater(Exception):
    """The request cannot be answered now: HTTP 503 with Retry-After."""

    seconds = 2


class Listing:
    """Sizes of the store's files when a state was current, and its small files' contents."""

    def __init__(self, state_text, changesets, tip):
        self.state_text = state_text
        self.changesets = changesets
        self.tip = tip
        self.sizes = {}  # (name, bytes) of everything applied
        self.cuts = {}  # (name, bytes) where less is shown
        self.small = []  # (name, contents)

    def files(self):
        """(name, size, contents or None) of what is sent."""
        for name, size in self.sizes.items():
            size = self.cuts.get(name, size)
            if size:
                yield name, size, None
        for name, contents in self.small:
            if contents:
                yield name, len(contents), contents


def extsetup(ui):
    extensions.wrapfunction(streamclone, "allowservergeneration", _allow)
    extensions.wrapfunction(streamclone, "generatev1", _generate_v1)
    extensions.wrapfunction(streamclone, "generatev2", _generate_v2)
    if hasattr(streamclone, "generatev3"):
        extensions.wrapfunction(streamclone, "generatev3", _generate_v3)


def _allow(original, repo):
    """A stream cannot leave out what a strip will remove; clients then fall back to a pull."""
    if view.is_mirror(repo.ui):
        unfiltered = repo.unfiltered()
        if view.read_state(unfiltered).get("stripping") or not _KNOWN_REQUIREMENTS.issuperset(repo.requirements):
            return False
    return original(repo)


def _generate_v1(original, repo):
    if not view.is_mirror(repo.ui):
        return original(repo)
    unfiltered = repo.unfiltered()
    # Version 1 has no place for phaseroots and markers: clients ask for them afterwards.
    listing = _shown_listing(unfiltered)
    files = [entry for entry in listing.files() if entry[2] is None]

    def emit():
        for name, size, _contents in files:
            yield b"%s\0%d\n" % (store.encodedir(name), size)
            yield from _contents_of(unfiltered, listing, name, size)

    return len(files), sum(size for _name, size, _contents in files), emit()


def _generate_v2(original, repo, *args, **kwargs):
    if not view.is_mirror(repo.ui):
        return original(repo, *args, **kwargs)
    with_markers = kwargs.get("includeobsmarkers", args[-1] if args else False)
    unfiltered = repo.unfiltered()
    listing = _shown_listing(unfiltered)
    files = [entry for entry in listing.files() if with_markers or entry[0] != b"obsstore"]

    def emit():
        for name, size, contents in files:
            yield b"s" + util.uvarintencode(len(name)) + util.uvarintencode(size) + name
            if contents is None:
                yield from _contents_of(unfiltered, listing, name, size)
            else:
                yield contents

    return len(files), sum(size for _name, size, _contents in files), emit()


def _generate_v3(original, repo, *args, **kwargs):
    if view.is_mirror(repo.ui):
        raise RetryLater("stream clones of the experimental version 3 are not served")
    return original(repo, *args, **kwargs)


def _shown_listing(unfiltered):
    """The listing of the current state: the kept one, or one made under the lock."""
    kept = unfiltered.__dict__.get("_hg_operator_listing")
    if kept is not None and kept.state_text and kept.state_text == unfiltered.svfs.tryread(view.STATE_FILE):
        return kept
    deadline = time.monotonic() + unfiltered.ui.configint(b"hg-operator", b"stream-wait", DEFAULT_WAIT_SECONDS)
    while True:
        with _locked(unfiltered, deadline):
            listing = _list(unfiltered, kept)
        if listing is not None:
            unfiltered.__dict__["_hg_operator_listing"] = listing
            return listing
        # Shown and hidden revisions are mixed in some file: wait until everything is shown.
        if time.monotonic() >= deadline:
            raise RetryLater("the shown state cannot be cut out of the store")
        time.sleep(LOCK_RETRY_SECONDS)


@contextlib.contextmanager
def _locked(unfiltered, deadline):
    """The repository lock, polled often: Mercurial's own waiting sleeps a second between two tries."""
    while True:
        try:
            lock = unfiltered.lock(wait=False)
            break
        except error.LockError:
            if time.monotonic() >= deadline:
                raise RetryLater("the repository is locked") from None
            time.sleep(LOCK_RETRY_SECONDS)
    try:
        view.refresh(unfiltered)
        yield
    finally:
        lock.release()


def _list(unfiltered, kept):
    """A listing of the state under the lock, or None when the shown state cannot be cut out."""
    changelog = unfiltered.changelog
    state_text = unfiltered.__dict__["_hg_operator_state_text"]
    listing = Listing(state_text, len(changelog), changelog.node(len(changelog) - 1))
    if kept is not None and _continues(changelog, kept):
        listing.sizes = dict(kept.sizes)
        touched = _touched_files(changelog, kept.changesets)
    else:
        touched = list(unfiltered.store.fncache)
    join = unfiltered.svfs.join
    for name in touched + list(_TOP_FILES):
        size = _size(join(name))
        if size or name in listing.sizes:
            listing.sizes[name] = size
    # The changelog goes last: a reader of a half-received store then finds an older one.
    for name in _TOP_FILES:
        if name in listing.sizes:
            listing.sizes[name] = listing.sizes.pop(name)
    shown = view.shown_length(unfiltered)
    if shown < len(changelog):
        for name in _touched_files(changelog, shown) + [b"00manifest.i", b"00changelog.i"]:
            if name.endswith(b".i") and not _cut(listing, join, name, shown):
                return None
    listing.small = _small_files(unfiltered, shown)
    return listing


def _continues(changelog, kept):
    last = kept.changesets - 1
    return last < len(changelog) and changelog.node(last) == kept.tip


def _touched_files(changelog, first):
    names = set()
    for rev in range(first, len(changelog)):
        names.update(changelog.readfiles(changelog.node(rev)))
    return [b"data/" + name + ending for name in names for ending in (b".i", b".d")]


def _size(path):
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _cut(listing, join, name, shown):
    """Notes how much of one revlog is shown; False when that is not a prefix of it."""
    if not listing.sizes.get(name):
        return True  # a removal, or a merge that took the file as it was
    with open(join(name), "rb") as index:
        lengths = revlog_cut.lengths_before(index, shown)
    if lengths is None:
        return False
    listing.cuts[name] = lengths[0]
    data = name[:-2] + b".d"
    if data in listing.sizes:
        listing.cuts[data] = lengths[1]
    return True


def _small_files(unfiltered, shown):
    """Files that are rewritten in place or replaced, hence read under the lock."""
    small = []
    if not unfiltered.publishing():
        small.append((b"phaseroots", _shown_roots(unfiltered, shown)))
    small.append((b"obsstore", unfiltered.svfs.tryread(b"obsstore")))
    return small


def _shown_roots(unfiltered, shown):
    get_rev = unfiltered.changelog.index.get_rev
    lines = []
    for line in unfiltered.svfs.tryread(b"phaseroots").splitlines(True):
        rev = get_rev(bin(line.split()[1])) if line.strip() else None
        if rev is not None and rev < shown:
            lines.append(line)
    return b"".join(lines)


def _contents_of(unfiltered, listing, name, size):
    path = unfiltered.svfs.join(name)
    with open(path, "rb") as source:
        chunk = source.read(min(size, CHUNK_BYTES))
        data = name[:-2] + b".d"
        if name.endswith(b".i") and not listing.sizes.get(data) and not revlog_cut.is_inline(chunk):
            data_path = unfiltered.svfs.join(data)
            if os.path.exists(data_path):
                source.seek(0)
                yield from revlog_cut.inline_again(source, data_path, size)
                return
        left = size
        while chunk:
            left -= len(chunk)
            yield chunk
            chunk = source.read(min(left, CHUNK_BYTES))
        if left:
            raise error.Abort(b"%s has become shorter than it was listed" % name)
