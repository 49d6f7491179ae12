# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a version 1 revlog (`hg help internals.revlogs`) is cut so that later changesets are not in it."""

import array
import struct
import sys

# offset and flags, compressed and uncompressed length, delta base, link revision, parents, node
_ENTRY = struct.Struct(">Qiiiiii20s12x")
_INLINE = 1 << 16
_HEADER = struct.Struct(">I")


def lengths_before(index, changesets):
    """(bytes of the .i file, bytes of the .d file) of revisions that changesets below `changesets` introduced.

    None when those are not a prefix of the revlog.
    """
    data = index.read()
    if is_inline(data):
        return _inline_lengths(data, changesets)
    count = len(data) // _ENTRY.size
    links = _links(data, count)
    kept = sum(1 for link in links if link < changesets)
    if any(link >= changesets for link in links[:kept]):
        return None
    return kept * _ENTRY.size, _data_end(data, kept)


def is_inline(data):
    return len(data) >= _HEADER.size and bool(_HEADER.unpack_from(data)[0] & _INLINE)


def _links(data, count):
    words = array.array("i", data[: count * _ENTRY.size])
    if sys.byteorder == "little":
        words.byteswap()
    return words[5 :: _ENTRY.size // 4]


def _data_end(data, kept):
    if not kept:
        return 0
    offset_flags, length = _ENTRY.unpack_from(data, (kept - 1) * _ENTRY.size)[:2]
    # The first entry's offset is 0; its upper half is the header.
    return (offset_flags >> 16 if kept > 1 else 0) + length


def _inline_lengths(data, changesets):
    position = 0
    end = None
    while position + _ENTRY.size <= len(data):
        _offset, length, _full, _base, link = _ENTRY.unpack_from(data, position)[:5]
        if link >= changesets:
            end = position if end is None else end
        elif end is not None:
            return None
        position += _ENTRY.size + length
    return (position if end is None else end), 0


def inline_again(index, data_path, size):
    """The first `size` bytes of an inline revlog that has been split into index and data since `size` was read.

    The same bytes in another arrangement: each entry followed by its data, and the header says so.
    """
    with open(data_path, "rb") as data:
        left = size
        while left > 0:
            entry = index.read(_ENTRY.size)
            if len(entry) < _ENTRY.size:
                raise EOFError("%r has fewer revisions than were listed" % data_path)
            length = _ENTRY.unpack(entry)[1]
            if left == size:
                entry = _HEADER.pack(_HEADER.unpack_from(entry)[0] | _INLINE) + entry[_HEADER.size :]
            left -= len(entry) + length
            yield entry + data.read(length)
