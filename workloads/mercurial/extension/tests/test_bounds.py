# SPDX-License-Identifier: GPL-2.0-or-later
"""What one client may cost: nothing without the gate's word, and then not more than the bounds say."""

import io
import os
import socket
import unittest
import unittest.mock

from handmade import UI, Wire, bundle, changes, part
from support import Case

from hg_operator import limits, payload

MEGABYTE = 1024 * 1024


class Refused(Case):
    def test_nothing_is_kept_of_a_push_that_is_not_taken(self):
        self.gate.answers = {"open": {"refuse": ["first line", "no write access"]}}
        for start, answered in ((b"HG20", b"error:abort"), (b"HG10UN", None)):
            wire = Wire(self.ssh, may_write=False)
            wire.begin_unbundle()
            for number in range(20):
                piece = (start if not number else b"") + b"x" * MEGABYTE
                wire.send(b"%d\n%s" % (len(piece), piece))
            self.assertEqual(self.kept_bytes(), 0)
            wire.send(b"0\n")
            if answered:
                self.assertEqual(dict(wire.parts())[answered], {b"message": b"no write access"})
            code, said = wire.close()
            self.assertEqual(code, 0)
            self.assertIn("first line\n", said)
            self.assertEqual("abort: no write access\n" in said, answered is None)
        self.assertEqual({request["op"] for request in self.gate.asked}, {"open"})

    def kept_bytes(self):
        """How much children have in their folders."""
        found = [os.path.join(path, name) for path, _folders, names in os.walk(self.ssh.temporary) for name in names]
        return sum(os.stat(file).st_size for file in found)


class Bounds(Case):
    def ends(self, config, sentence, *pieces):
        self.restart(config)
        wire = Wire(self.ssh)
        wire.begin_unbundle()
        try:
            for piece in pieces:
                wire.send(b"%d\n%s" % (len(piece), piece))
        except BrokenPipeError:
            pass
        self.assertIn(sentence, wire.said())
        wire.close()
        self.assertEqual(self.gate.records, [])

    def test_the_largest_push(self):
        self.ends("largest-push = 1 MB", "larger than this server takes (1.00 MB)", *([b"x" * MEGABYTE] * 2))

    def test_the_largest_push_as_the_gate_says_it(self):
        self.gate.answers = {"open": {"ok": {"largestPushBytes": MEGABYTE}}}
        self.ends("largest-push = 1 KB", "larger than this server takes (1.00 MB)", *([b"x" * MEGABYTE] * 2))

    def test_a_silent_client(self):
        self.ends("progress-timeout = 1", "nothing has come for 1 seconds within a push", b"HG20")

    def test_no_lengths(self):
        self.restart("")
        for text in (b"x\n", b"-5\n", b"9" * 50, b"5 \n"):
            wire = Wire(self.ssh)
            wire.begin_unbundle()
            wire.send(text)
            self.assertIn("this is no push", wire.said())
            wire.close()

    def test_parts_that_are_larger_than_any_is(self):
        self.restart("")
        zeros = b"\0" * MEGABYTE
        kinds = (b"check:heads", b"check:phases", b"bookmarks", b"obsmarkers", b"replycaps", b"of-nobody")
        for kind in kinds:
            wire = Wire(self.ssh)
            sent = bundle(part(kind, iter([zeros] * 600), mandatory=False), compression=b"GZ")
            self.assertLess(len(sent), MEGABYTE)
            answer = wire.unbundle(sent)
            # In the whole session so far, its fork of the zygote included.
            megabytes = self.largest_megabytes(wire)
            wire.close()
            said = b"a part '%s' may not be larger than 64.0 MB on this server" % kind
            if kind != b"of-nobody":  # is skipped over
                self.assertEqual(dict(answer)[b"error:abort"], {b"message": said})
            self.assertLess(megabytes, 600, kind)

    def largest_megabytes(self, wire):
        with open("/proc/%d/status" % wire.pid) as file:
            (line,) = [line for line in file if line.startswith("VmHWM")]
        return int(line.split()[1]) // 1024

    def test_memory(self):
        """A small bundle of which one chunk is large."""
        zeros = b"\0" * MEGABYTE
        sent = bundle(part(b"changegroup", b"\x20\0\0\0" + zeros * 511, version=b"02"), compression=b"GZ")
        self.assertLess(len(sent), 2 * MEGABYTE)
        self.restart("command-memory = 500 MB")
        wire = Wire(self.ssh)
        (answer,) = wire.unbundle(sent)
        self.assertEqual(answer[0], b"error:abort")
        self.assertIn(b"more memory than one command may have on this server (500 MB)", answer[1][b"message"])
        self.assertEqual(wire.close()[0], 0)

    def test_file_size(self):
        self.restart("file-size = 1 MB")
        self.client.commit("a", os.urandom(MEGABYTE).hex())
        wire = Wire(self.ssh)
        wire.begin_unbundle()
        sent = bundle(changes(self.client.root, 0))
        wire.send(b"%d\n%s0\n" % (len(sent), sent))
        self.assertIn("a file larger than one may be on this server (1.00 MB)", wire.said())
        wire.close()

    def test_the_log_keeps_its_room(self):
        for size, free, enough in ((10**9, 10**7, False), (10**9, 10**8, True), (10**13, 2 * 10**9, True)):
            self.assertEqual(payload.leaves_room(size, free), enough, (size, free))

    def test_a_refused_push_is_read_to_its_end_on_a_full_volume(self):
        ui = UI.copy()
        ui.setconfig(b"hg-operator", b"progress-timeout", b"60", b"test")
        sent = b"%d\n%s0\n" % (2 * MEGABYTE, b"x" * 2 * MEGABYTE)
        with unittest.mock.patch.object(payload, "leaves_room", return_value=False):
            dropped = payload._pieces(ui, io.BufferedReader(io.BytesIO(sent)), 10 * MEGABYTE, kept=False)
            self.assertEqual(sum(map(len, dropped)), 2 * MEGABYTE)
            with self.assertRaisesRegex(payload.SessionOver, "nearly full"):
                list(payload._pieces(ui, io.BufferedReader(io.BytesIO(sent)), 10 * MEGABYTE, kept=True))

    def test_an_answer_that_nobody_reads(self):
        ours, theirs = socket.socketpair()
        ui = UI.copy()
        ui.setconfig(b"hg-operator", b"progress-timeout", b"1", b"test")
        limits.end_unread_answers(ui, (theirs.fileno(),))
        with ours, theirs, self.assertRaises(BlockingIOError):
            while True:
                os.write(theirs.fileno(), b"x" * MEGABYTE)


if __name__ == "__main__":
    unittest.main()
