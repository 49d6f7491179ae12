# SPDX-License-Identifier: GPL-2.0-or-later
"""The pushlog: `.hg/store/hg-operator-pushlog`, one line of JSON per push that brought changesets.

The file is only appended to, and a rolled back transaction truncates it. Rows are valid up to the state's `shown`
offset: a row is written before the state file that makes it count.
"""

import json

FILE = b"hg-operator-pushlog"


def row(push_id, user, date, offset, nodes):
    fields = {"id": push_id, "user": user, "date": int(date), "offset": offset, "nodes": nodes}
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def append(repo, tr, line):
    with repo.svfs(FILE, b"ab") as file:
        file.seek(0, 2)
        tr.add(FILE, file.tell())
        file.write(line)


def rows(repo, shown):
    """The rows up to the offset `shown`, each as (object, line)."""
    for line in repo.svfs.tryread(FILE).splitlines(True):
        if not line.endswith(b"\n"):
            return
        fields = json.loads(line)
        if fields["offset"] > shown:
            return
        yield fields, line


def rewrite_without(repo, tr, has_node):
    """Drops the changesets that are gone; rows keep their ids, also when nothing is left of them."""
    lines = []
    for line in repo.svfs.tryread(FILE).splitlines():
        fields = json.loads(line)
        fields["nodes"] = [node for node in fields["nodes"] if has_node(bytes.fromhex(node))]
        lines.append(row(fields["id"], fields["user"], fields["date"], fields["offset"], fields["nodes"]))
    text = b"".join(lines)
    tr.addfilegenerator(b"hg-operator-pushlog", (FILE,), lambda file: file.write(text), post_finalize=True)
