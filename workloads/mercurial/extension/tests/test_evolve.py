# SPDX-License-Identifier: GPL-2.0-or-later
"""evolve and topic on the server and on the client: topic derives filters of its own from ours."""

import glob
import os
import unittest

import support
from mirror_case import MirrorCase, Worker, hg, pythons

_FOUND = glob.glob(os.path.join(os.environ.get("HGOP_VENV", "/nonexistent"), "lib/python3*/site-packages/hgext3rd"))
EXTENSIONS = ["%s=%s/%s" % (name, _FOUND[0], name) for name in ("evolve", "topic")] if _FOUND else []
BOTH = [word for setting in EXTENSIONS for word in ("--config", "extensions." + setting)]


@unittest.skipUnless(_FOUND, "evolve is not installed: make setup")
class EvolveAndTopic(MirrorCase):
    """A draft with a topic is shown, its rewritten form is not yet."""

    @classmethod
    def prepare(cls, repo):
        repo.hg("update", "-q", cls.stable)
        repo.hg(*BOTH, "topic", "-q", "feature")
        repo.write("f.txt", b"f\n")
        repo.hg(*BOTH, "commit", "-q", "-A", "-m", "with a topic", "-d", "0 0")
        cls.first = repo.node(".")
        cls.change_shown = 8

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.plain = cls.worker
        cls.worker = cls.front.worker = Worker("[extensions]", *EXTENSIONS)
        cls.repo.show(cls.change_shown)

    @classmethod
    def tearDownClass(cls):
        cls.plain.close()
        super().tearDownClass()

    def test_before_it_is_rewritten_discovery_and_pages_are_of_what_is_shown(self):
        for shown, heads in ((4, 2), (8, 3), (4, 2)):
            self.repo.show(shown)
            self.assertEqual(len(self.command("heads").split()), heads)
            self.assertEqual(len(self.command("tns_heads", "namespaces=2a").split()), heads)
            branches = self.command("branchmap")
            self.assertEqual(self.first in branches, shown == 8, branches)
            self.assertEqual(self.tip in branches, shown == 8, branches)
            for page in ("", "log", "graph", "json-branches", "json-tags", "json-log", "branches", "file/tip"):
                text = self.text(page)
                self.assertEqual(self.first[:12] in text and page in ('', 'log', 'graph', 'json-log'),
                                 shown == 8 and page in ('', 'log', 'graph', 'json-log'), page)  # fmt: skip
            self.assertEqual(self.json("json-log")["changeset_count"], shown)
            # By its full hash it is found, and discovery is as before.
            self.assertEqual(self.json("json-rev/" + self.first)["node"], self.first)
            self.assertEqual(self.command("branchmap"), branches)
        self.assertIn("cannot be read", self.command("tns_heads", "namespaces=*", status=400))
        self.repo.show(0)
        self.assertEqual(self.command("branchmap"), "")
        self.text("json-branches")
        self.repo.show(self.change_shown)

    def test_clients_with_both_pull_topics_and_what_became_of_them(self):
        repo = self.repo
        paths = {}
        for python in pythons():
            for kind in ("--pull", "--stream"):
                paths[python] = self.clone("evolve" + kind, kind, *BOTH, python=python)
            topics = hg("topics", *BOTH, "-R", paths[python], python=python).stdout
            self.assertIn("feature", topics)
            hg("pull", "-R", paths[python], *BOTH, "-b", "stable", python=python)
            hg("incoming", "-R", paths[python], *BOTH, python=python, check=False)
        repo.hg("update", "-q", self.first)
        repo.hg(*BOTH, "amend", "-q", "-m", "amended", "-d", "0 0")
        second = repo.node(".")
        repo.hg("update", "-q", "null")
        repo.show(9)
        for python, path in paths.items():
            hg("pull", "-R", path, *BOTH, python=python)
            known = hg("log", "-R", path, *BOTH, "-r", 'topic("feature")', "-T", "{node}", python=python).stdout
            self.assertEqual(known, second)


@unittest.skipUnless(_FOUND, "evolve is not installed: make setup")
class Pushes(support.Case):
    config = "[extensions]\n" + "\n".join(EXTENSIONS)
    settings = {"publishing": False, "obsolescence": True}

    def test_topics_are_pushed_rewritten_and_applied_by_every_other(self):
        client, names = self.client, 'log -r topic("feature") -T {node}'.split()
        client.commit("a")
        client.run("topic", "feature", *BOTH)
        client.commit("b", None, *BOTH)
        client.push(self.ssh, *BOTH)
        client.run("amend", "-m", "better", *BOTH)
        new = client.run(*names, *BOTH)
        output = client.push(self.ssh, *BOTH)
        self.assertIn("in replication log", output)
        record = self.gate.records[1]
        self.assertEqual((record["push"]["tip"], record["push"]["heads"]), (new, 1))
        _instance, mirror = self.mirror(config=self.config)
        for record in self.gate.records:
            mirror.apply(record)
        self.assertEqual(self.hashes(mirror), self.hashes(self.lane))
        pulled = support.Client(self.root + "/pulled")
        environment = {"ZYGOTE": self.ssh.socket}
        pulled.run("clone", "-q", *BOTH, pulled.url(self.ssh), ".", env=environment)
        self.assertEqual(pulled.run(*names, *BOTH), new)


if __name__ == "__main__":
    unittest.main()
