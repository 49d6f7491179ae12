"""What differs from plain Mercurial on purpose, as docs/differences.md lists it."""

import re

LINES = "## Lines that we add"
ANSWERS = "## Answers that differ"
NULL = "0" * 40
FILTERED_HASH = re.compile(r"filtered revision '[0-9a-f]{40}'")


def heads_of_nothing(question, ours, plain):
    """`heads` of a repository in which all is hidden."""
    return question.startswith("heads") and ours == [NULL] and plain == [""]


def hidden_is_unknown(question, ours, plain):
    """A mirror does not say that it has what it hides."""
    if isinstance(ours, dict):
        return "{ssh}" not in question and ours["code"] == plain["code"] and ours["err"] == as_unknown(plain["err"])
    return ours == as_unknown(plain)


def hidden_by_full_hash(question, ours, plain):
    """A mirror gives a hidden changeset to whoever names all of its hash; what that leaves is compared as ever."""
    if isinstance(ours, dict):
        return "{ssh}" not in question and any(FILTERED_HASH.search(line) for line in plain["err"])
    return any(FILTERED_HASH.search(line) and ours == ["1 " + question.split()[1]] for line in plain)


def no_remote_changegroup(question, ours, plain):
    """Nobody is offered to have the server fetch a bundle from an address of theirs."""
    if not isinstance(ours, dict) or "debugcapabilities" not in question:
        return False
    offered = ["  remote-changegroup", "    http", "    https"]
    out = [line.replace("remote-changegroup%3Dhttp%2Chttps%0A", "") for line in plain["out"] if line not in offered]
    return ours == {**plain, "out": out}


def as_unknown(lines):
    return [re.sub(r"filtered (revision '.*?') \(not in '.*?' subset\)", r"unknown \1", line) for line in lines]


RULES = {
    "heads-of-nothing": heads_of_nothing,
    "hidden-is-unknown": hidden_is_unknown,
    "hidden-by-full-hash": hidden_by_full_hash,
    "no-remote-changegroup": no_remote_changegroup,
}


class Differences:
    def __init__(self, page):
        with open(page, encoding="utf-8") as file:
            text = file.read()
        self.added = [re.compile(r"remote: ?(%s)?" % row) for row in first_cells(section(text, LINES))]
        told = set(first_cells(section(text, ANSWERS)))
        if told != set(RULES):
            raise SystemExit("%s and differences.py do not tell of the same: %s" % (page, told ^ set(RULES)))

    def without_ours(self, remote):
        """The server's lines without those that only we say."""
        return [line for line in remote if not any(pattern.fullmatch(line) for pattern in self.added)]

    def meant(self, question, ours, plain):
        return any(rule(question, ours, plain) for rule in RULES.values())


def section(text, heading):
    return text.split(heading + "\n", 1)[1].split("\n## ", 1)[0]


def first_cells(text):
    """What stands as code in the first cell of each row."""
    return re.findall(r"^\| `([^`]*)` \|", text, re.MULTILINE)
