# SPDX-License-Identifier: GPL-2.0-or-later
"""Bundles that are cut or have wrong bytes: the person reads a sentence, and the session goes on."""

import random
import re
import unittest

from handmade import Wire, bookmark, bundle, changes, part, phase_head
from mercurial import obsolete
from support import Case

SEED = 20261201
# Of each kind of part.
DAMAGES = 12
# Only people who read Python know what these mean.
INSIDE = re.compile(r"[A-Z]\w*(Error|Exception)\b|unpack requires|Traceback|internal error|object is not|out of range")


class Broken(Case):
    settings = {"obsolescence": True}

    def setUp(self):
        super().setUp()
        self.nodes = [self.client.commit(name) for name in "ab"]

    def parts(self):
        node = self.nodes[0]
        successor = bytes.fromhex(self.nodes[1])
        marker = (bytes.fromhex("1" * 40), (successor,), 0, (), (0.0, 0), None)
        markers = b"".join(obsolete.encodemarkers([marker], addheader=True, version=obsolete._fm1version))
        check = bookmark(b"mark", node)[1]
        return [
            changes(self.client.root, 0, 1),
            changes(self.client.root, 0, 1, version=b"01"),
            bookmark(b"mark", node),
            phase_head(0, node),
            part(b"check:bookmarks", check),
            part(b"check:heads", bytes.fromhex(node) * 2),
            part(b"check:phases", phase_head(0, node)[1]),
            part(b"check:updated-heads", bytes.fromhex(node) * 2),
            part(b"obsmarkers", markers),
            part(b"pushkey", namespace=b"bookmarks", key=b"mark", old=b"", new=node.encode()),
            part(b"pushvars", USER_REASON=b"because"),
            part(b"replycaps", b"error=abort\npushback"),
        ]

    def test_a_sentence_for_whatever_is_wrong(self):
        chance = random.Random(SEED)
        wire, answers = Wire(self.ssh), []
        for sound in self.parts():
            whole = bundle(sound, reply=False)
            # Behind `HG20` and the length of the bundle's own parameters.
            damaged = [whole[: chance.randrange(8, len(whole))] for _ in range(DAMAGES // 3)]
            for _ in range(DAMAGES - len(damaged)):
                at = chance.randrange(8, len(whole))
                damaged.append(whole[:at] + bytes([chance.randrange(256)]) + whole[at + 1 :])
            for sent in damaged:
                answers += wire.answer_of(sent)
        code, said = wire.close()
        self.assertEqual(code, 0, said)
        said += b"\n".join(answers).decode("utf-8", "replace")
        self.assertIsNone(INSIDE.search(said), said)
        refused = said.count("cannot be read") + said.count("stream ended unexpectedly")
        self.assertGreater(refused, 2 * DAMAGES, said)

    def test_the_part_that_cannot_be_read_is_named(self):
        wire = Wire(self.ssh)
        answers = wire.unbundle(bundle(phase_head(77, self.nodes[0])))
        wire.close()
        said = b"the push cannot be taken: its part 'phase-heads' cannot be read (the server's log says more)"
        self.assertEqual(dict(answers)[b"error:abort"], {b"message": said})


if __name__ == "__main__":
    unittest.main()
