# SPDX-License-Identifier: GPL-2.0-or-later
"""Every kind of clone from every kind of server, by clients of every version; pushes go on after each."""

import os
import threading
import unittest

import mirror_case
from support import Case, Client, pythons

BUNDLE1 = ("--config", "devel.legacy.exchange=bundle1")
STREAM_V3 = ("--config", "experimental.stream-v3=yes")
# What is asked for, and how many of the three changesets it brings.
KINDS = (
    ((), 3),
    (("--pull",), 3),
    (BUNDLE1, 3),
    (("--stream",), 3),
    (("--uncompressed",), 3),
    (("--stream", *BUNDLE1), 3),
    (("--stream", *STREAM_V3), 3),
    (("-r", "1"), 2),
    (("--stream", "-r", "1"), 2),
)
CONFIG = "[server]\nuncompressed = true\n[experimental]\nstream-v3 = yes\n"


class ZygoteWorker(mirror_case.Worker):
    """A web worker as a mirror has it."""

    def __init__(self, instance):
        self.connection = instance.connect()
        self.connection.send({"mode": "web"})
        self.connection.receive()
        self.lock = threading.Lock()

    def close(self):
        self.connection.close()


class Clones(Case):
    config = CONFIG
    # Stream clones of a publishing repository copy less.
    settings = {"publishing": False}

    def setUp(self):
        super().setUp()
        for name in "ab":
            self.client.commit(name)
        self.client.run("branch", "other")
        self.client.commit("c")
        self.client.push(self.ssh, "--new-branch")

    def clone_everything(self, url, env=None):
        for number, python in enumerate(pythons()):
            client = Client(os.path.join(self.root, "clones%d" % number), python)
            # Another version's client has less that is its own.
            for kind, (arguments, changesets) in enumerate(KINDS[number * 3 :]):
                with self.subTest(python=python, arguments=arguments):
                    client.run("clone", *arguments, url, "clone%d" % kind, env=env)
                    nodes = client.run("log", "-R", "clone%d" % kind, "-T", "{node}\n").split()
                    self.assertEqual(len(nodes), changesets)
                    # Were it gone, no push could be taken any more.
                    self.assertTrue(os.path.isdir(self.ssh.temporary))
            self.push_a_bookmark("b%d" % number)

    def push_a_bookmark(self, name):
        self.client.run("bookmark", "-r", "0", name)
        self.client.push(self.ssh, "-B", name, expect=None)
        self.assertEqual(self.gate.records[-1]["push"]["bookmarks"][0][0], name)

    def test_from_the_master_by_ssh(self):
        self.clone_everything(self.client.url(self.ssh), {"ZYGOTE": self.ssh.socket})

    def test_from_a_mirror_by_http(self):
        instance, lane = self.mirror(config="[server]\nuncompressed = true")
        for record in self.gate.records:
            lane.apply(record, hidden=True)
            lane.show(record)
        worker = ZygoteWorker(instance)
        self.addCleanup(worker.close)
        front = mirror_case.Front(worker, {"r": instance.directory("r")})
        self.addCleanup(front.server_close)
        self.addCleanup(front.shutdown)
        self.clone_everything(front.url + "r")


if __name__ == "__main__":
    unittest.main()
