# SPDX-License-Identifier: GPL-2.0-or-later
"""Pushes that no hg sends: what is recorded is what every instance can apply, or nothing is."""

import http.server
import os
import threading
import unittest

from handmade import Wire, bookmark, bundle, changes, forge_branch, part, phase_head, without_changesets
from mercurial import obsolete
from support import Case

ADDED = b"reply:changegroup"


class Handmade(Case):
    settings = {"obsolescence": True}

    def setUp(self):
        super().setUp()
        self.nodes = [self.client.commit(name) for name in "abcd"]
        self.directory = self.ssh.directory("r")

    def send(self, *parts, **options):
        """Pushes one bundle; answers the parts of the reply by type, and what the person reads."""
        wire = Wire(self.ssh)
        answer = dict(wire.unbundle(bundle(*parts, **options)))
        code, said = wire.close()
        self.assertEqual(code, 0, said)
        return answer, said

    def assertRefused(self, sentence, *parts):
        records = len(self.gate.records)
        answer, said = self.send(*parts)
        self.assertIn(sentence, answer.get(b"error:abort", {}).get(b"message", b"").decode("utf-8", "replace"), said)
        self.assertEqual(len(self.gate.records), records)
        self.assertEqual(os.listdir(os.path.join(self.ssh.root, "spool")), [])
        self.assertEqual(self.lane.ask("state", "r")["applied"], self.gate.next_offset - 1 if records else 10)

    def assertSameElsewhere(self):
        """Another instance that applies the records has the same."""
        if not hasattr(self, "other"):
            self.other, self.other_lane = self.mirror()
            self.applied = 0
        for record in self.gate.records[self.applied :]:
            self.other_lane.apply(record, hidden=True)
            self.other_lane.show(record)
        self.applied = len(self.gate.records)
        self.assertEqual(self.hashes(self.other_lane), self.hashes(self.lane))
        self.assertEqual(self.other_lane.ask("integrity", "r"), {"damage": None})

    def path(self):
        return self.client.root


class Changesets(Handmade):
    def test_one_that_is_known_and_one_that_is_new(self):
        self.send(changes(self.path(), 0))
        answer, _said = self.send(changes(self.path(), 0, 1))
        self.assertIn(ADDED, answer)
        self.assertEqual(self.gate.records[1]["push"]["changesets"], 1)
        self.assertSameElsewhere()

    def test_as_many_as_are_new_but_others(self):
        """One part brings what is known and one new one, a second part another new one."""
        self.send(changes(self.path(), 0))
        self.send(changes(self.path(), 0, 1), changes(self.path(), 2))
        self.assertEqual(self.gate.records[1]["push"]["changesets"], 2)
        self.assertSameElsewhere()

    def test_several_changegroups(self):
        self.send(changes(self.path(), 0), changes(self.path(), 1, 2), changes(self.path(), 3))
        self.assertEqual(self.gate.records[0]["push"]["changesets"], 4)
        self.assertSameElsewhere()

    def test_a_changegroup_from_elsewhere_is_not_fetched(self):
        asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_error(404)

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        url = b"http://127.0.0.1:%d/bundle" % server.server_address[1]
        for mandatory in (True, False):
            self.assertRefused(
                "a push with a part 'remote-changegroup' is not taken",
                part(b"remote-changegroup", b"", mandatory, url=url, size=b"10"),
                changes(self.path(), 0),
            )
        self.assertEqual(asked, [])
        wire = Wire(self.ssh)
        self.assertNotIn(b"remote-changegroup", wire.command("hello"))
        wire.close()

    def test_what_would_pass_the_log_by(self):
        for kind in (b"stream2", b"hgtagsfnodes", b"cache:rev-branch-cache"):
            self.assertRefused("a push with a part '%s' is not taken" % kind.decode(), part(kind, b"x"))
        kind, data, mandatory, params = changes(self.path(), 0)
        self.assertRefused("tree manifests are not taken", (kind, data, mandatory, {**params, "treemanifest": b"1"}))
        self.assertRefused("a changegroup of version '09' is not taken", part(kind, data, version=b"09"))

    def test_content_for_a_changeset_that_is_here(self):
        self.send(changes(self.path(), 0, 1))
        # The third changeset's manifest and file, said to belong to the second one.
        forged = b"\0\0\0\0" + without_changesets(changes(self.path(), 2)[1])
        forged = forged.replace(bytes.fromhex(self.nodes[2]), bytes.fromhex(self.nodes[1]))
        self.assertRefused("the push adds content to changeset 1, which is here already",
                           part(b"changegroup", forged, version=b"02"))  # fmt: skip

    def test_content_that_nobody_has(self):
        """A part of content alone, between two with changesets: made again, the record would not hold it."""
        self.send(changes(self.path(), 0))
        spare = b"\0\0\0\0" + without_changesets(changes(self.path(), 2)[1])
        spare = spare.replace(bytes.fromhex(self.nodes[2]), bytes.fromhex(self.nodes[1]))
        self.assertRefused("the push adds content that none of its changesets has",
                           changes(self.path(), 1), part(b"changegroup", spare, version=b"02"))  # fmt: skip

    def test_branch_names(self):
        for name in (b"tip", b"12", b" edge", b"edge ", b"a:b", b"line\nend", b"zero\0", b"\xff\xfe", b" "):
            with self.subTest(name=name):
                revision = forge_branch(self.path(), name)
                self.assertRefused("the branch name '", changes(self.path(), revision))
        revision = forge_branch(self.path(), "fine é".encode())
        self.send(changes(self.path(), revision))
        self.assertSameElsewhere()


class Bookmarks(Handmade):
    def test_names(self):
        self.send(changes(self.path(), 0))
        node = self.nodes[0]
        unsafe = (b"", b" ", b"a\nb", b"a\rb", b" a", b"a ", b"\xff\xfe", b"a\0b")
        for name in (*unsafe, b"tip", b"null", b".", b"12", b"a:b"):
            with self.subTest(name=name):
                self.assertRefused("the bookmark name '", bookmark(name, node))
                self.assertRefused("the bookmark name '", changes(self.path(), 1), bookmark(name, node))
                if name != b"\xff\xfe":  # taken for Latin-1 there
                    fields = {"namespace": b"bookmarks", "key": name, "old": b"", "new": node.encode()}
                    self.assertRefused("the bookmark name '", part(b"pushkey", b"", **fields))
        self.assertEqual(len(self.gate.records), 1)

    def test_good_names(self):
        self.send(changes(self.path(), 0))
        for name in ("é✓", "with blank", "@", "x" * 200, "a\tb", "12_000", "\u2028"):
            with self.subTest(name=name):
                self.send(bookmark(name.encode(), self.nodes[0]))
                self.assertEqual(self.gate.records[-1]["push"]["bookmarks"], [[name, None, self.nodes[0]]])
                self.assertSameElsewhere()


class Phases(Handmade):
    settings = {"publishing": False, "obsolescence": True}

    def test_only_draft_and_public(self):
        self.send(changes(self.path(), 0, 1))
        self.assertRefused("", phase_head(0, "12" * 20))
        self.assertRefused("", phase_head(99, self.nodes[0]))
        self.send(phase_head(2, self.nodes[0]))
        kind, data, mandatory, params = changes(self.path(), 2)
        for phase in (b"2", b"32", b"7", b"x"):
            self.send((kind, data, mandatory, {**params, "targetphase": phase}))
        self.send(phase_head(0, self.nodes[0]))
        self.assertEqual(self.gate.records[-1]["push"]["published"], [self.nodes[0]])
        self.assertSameElsewhere()

    def test_markers(self):
        self.send(changes(self.path(), 0, 1))
        for data in (b"", b"\x01", b"\x07nonsense", b"\x01" + b"\xff" * 60):
            self.send(part(b"obsmarkers", data))
        self.assertEqual(len(self.gate.records), 1)
        # Seconds of a time zone do not survive the file: sent again, such a marker would be another one.
        for zone, sentence in ((60, None), (61, "its time zone is not one of whole minutes")):
            marker = (bytes.fromhex(self.nodes[3]), (), 0, ((b"user", b"x\ny"),), (1.5, zone), None)
            for version in (0, 1, 0):
                made = part(b"obsmarkers", b"".join(obsolete.encodemarkers([marker], True, version)))
                if sentence and version == 0:
                    self.assertRefused(sentence, made)
                else:
                    self.send(made)
                self.assertSameElsewhere()


class Answers(Handmade):
    def test_without_word_of_what_is_understood(self):
        """Mercurial itself has no answer to it."""
        answer, said = self.send(changes(self.path(), 0), reply=False)
        self.assertEqual(answer, {})
        self.assertNotIn("internal error", said)
        self.assertEqual(self.gate.closed, [(100, False)])
        self.assertSameElsewhere()

    def test_nonsense_by_pushkey(self):
        self.send(changes(self.path(), 0))
        for namespace, key, old, new in (
            ("phases", self.nodes[0], "x", "y"),
            ("phases", "zz", "1", "0"),
            ("phases", "12" * 20, "1", "0"),
            ("bookmarks", "b", "", "zz"),
            ("obsolete", "dump0", "", "nonsense"),
            ("obsolete", "dump0", "", "\x01"),
            ("nowhere", "a", "b", "c"),
        ):
            with self.subTest(namespace=namespace, key=key, new=new):
                wire = Wire(self.ssh)
                answer = wire.command("pushkey", namespace=namespace, key=key, old=old, new=new)
                self.assertTrue(answer.startswith(b"0"), answer)
                # The session goes on.
                self.assertIn(self.nodes[0].encode(), wire.command("heads"))
                code, said = wire.close()
                self.assertEqual(code, 0, said)
                self.assertNotIn("Traceback", said)
                fields = {"namespace": namespace, "key": key, "old": old, "new": new}
                values = {name: value.encode() for name, value in fields.items()}
                _answer, said = self.send(part(b"pushkey", b"", **values))
                self.assertNotIn("Traceback", said)
        self.assertEqual(len(self.gate.records), 1)

    def test_a_bundle_that_ends_early(self):
        whole = bundle(changes(self.path(), 0, 1))
        for end in (5, 30, len(whole) // 2, len(whole) - 5):
            wire = Wire(self.ssh)
            answer = dict(wire.unbundle(whole[:end]))
            self.assertIn(b"error:abort", answer)
            self.assertEqual(wire.close()[0], 0)
        self.assertEqual(self.gate.records, [])


if __name__ == "__main__":
    unittest.main()
