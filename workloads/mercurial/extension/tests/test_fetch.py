# SPDX-License-Identifier: GPL-2.0-or-later
"""Repositories that begin as the content of another server, or of a bundle."""

import contextlib
import functools
import http.server
import os
import subprocess
import threading
import unittest

from support import Case, Lane, wait_until


class Fetches(Case):
    def setUp(self):
        super().setUp()
        self.tip = [self.client.commit(name) for name in "abc"][-1]
        self.client.run("bookmark", "-r", "1", "stable")

    def fetch(self, source, bundle=False):
        connection = self.ssh.connect()
        connection.send(
            {"mode": "fetch", "directory": self.ssh.directory("r"), "repository": 7, "user": "hg-operator",
             "source": source, "bundle": bundle}
        )  # fmt: skip
        self.assertIn("pid", connection.receive()[0])
        answer = connection.receive()[0]
        connection.close()
        return answer

    @contextlib.contextmanager
    def served(self):
        """The client's repository by `hg serve`: its URL."""
        ready = os.path.join(self.root, "port")
        command = [self.client.python, self.client.hg, "serve", "--port", "0", "--address", "127.0.0.1"]
        environment = {**os.environ, "HGRCPATH": "", "HGPLAIN": "1"}
        with open(ready, "wb") as output:
            server = subprocess.Popen(
                [*command, "--print-url"], cwd=self.client.root, env=environment, stdout=output,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            wait_until(lambda: _text(ready).endswith("\n"), "hg serve")
            yield _text(ready).split()[-1]
        finally:
            server.kill()
            server.wait()

    @contextlib.contextmanager
    def folder(self):
        """The client's folder as files over HTTP."""
        handler = functools.partial(_Quiet, directory=self.client.root)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield "http://127.0.0.1:%d/" % server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def is_filled(self):
        (record,) = self.gate.records
        push = record["push"]
        self.assertEqual((record["user"], push["changesets"], push["tip"]), ("hg-operator", 3, self.tip))
        self.assertEqual(push["published"], [self.tip])
        self.assertEqual(self.gate.closed, [(100, False)])
        self.assertEqual([one["op"] for one in self.gate.asked], ["wait", "open", "append", "closed"])
        return push

    def test_from_a_server_with_its_bookmarks(self):
        with self.served() as source:
            self.assertEqual(self.fetch(source), {"fetched": 3})
        push = self.is_filled()
        stable = self.client.run("log", "-r", "1", "-T", "{node}")
        self.assertEqual(push["bookmarks"], [["stable", None, stable]])
        mirror, lane = self.mirror()
        (record,) = self.gate.records
        lane.apply(record)
        lane.show(record)
        self.assertEqual(self.hashes(lane)["heads"], self.hashes(self.lane)["heads"])
        self.assertEqual(self.hashes(lane)["bookmarks"], self.hashes(self.lane)["bookmarks"])

    def test_from_a_bundle_of_either_form(self):
        for kind in ("zstd-v2", "gzip-v1"):
            with self.subTest(kind):
                self.client.run("bundle", "--all", "-t", kind, kind)
                with self.folder() as base:
                    self.assertEqual(self.fetch(base + kind, bundle=True), {"fetched": 3})
                self.is_filled()
                self.gate.records.clear()
                self.gate.closed.clear()
                self.gate.asked.clear()
                self.ssh.stop()
                self.gate.next_offset, self.gate.push_ids = 100, 0
                self.ssh = self.instance("again-" + kind, gate=self.gate)
                self.lane = Lane(self.ssh)
                self.lane.init()

    def test_what_cannot_be(self):
        with self.folder() as base:
            self.assertIn("404", self.fetch(base + "nothing", bundle=True)["failed"])
            with open(os.path.join(self.client.root, "page"), "w") as file:
                file.write("<html>not here</html>")
            self.assertIn("not a Mercurial bundle", self.fetch(base + "page", bundle=True)["failed"])
            self.assertIn("HTTP", self.fetch(base + "nothing")["failed"])
        self.assertIn("refused", self.fetch("http://127.0.0.1:9/")["failed"])
        for source in ("file:///etc", self.client.root, "ssh://x/y", "static-http://127.0.0.1/x"):
            self.assertIn("only http", self.fetch(source)["failed"])
        self.assertEqual(self.gate.records, [])
        self.client.push(self.ssh)
        with self.served() as source:
            self.assertIn("not empty", self.fetch(source)["failed"])
        self.assertEqual(len(self.gate.records), 1)

    def test_what_the_gate_refuses_leaves_nothing(self):
        self.gate.answers["append"] = {"refuse": ["no"]}
        with self.served() as source:
            self.assertEqual(self.fetch(source), {"failed": "no"})
            self.assertEqual(self.lane.ask("state", "r")["changesets"], 0)
            del self.gate.answers["append"]
            self.assertEqual(self.fetch(source), {"fetched": 3})


def _text(path):
    with open(path) as file:
        return file.read()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        pass


if __name__ == "__main__":
    unittest.main()
