# SPDX-License-Identifier: GPL-2.0-or-later
"""Lanes: records applied in one step and in two, on every Mercurial that is here, and what may go wrong."""

import os
import shutil
import subprocess
import tarfile
import tempfile
import unittest

from support import SETTINGS, Case, Client, Instance, Lane, LaneError, pythons

EVOLUTION = ("--config", "experimental.evolution=all")


class Background(unittest.TestCase):
    def test_lane_workers_of_a_standby_leave_the_processor_to_others(self):
        for background, niceness in ((False, 0), (True, 10)):
            with tempfile.TemporaryDirectory() as root:
                instance = Instance(root, background=background)
                try:
                    lane = Lane(instance)
                    # The niceness is set before the first answer.
                    with self.assertRaises(LaneError):
                        lane.ask("hash", "nothing")
                    self.assertEqual(os.getpriority(os.PRIO_PROCESS, lane.pid), niceness)
                    # What serves people is never slowed down: a standby may become master.
                    self.assertEqual(os.getpriority(os.PRIO_PROCESS, instance.process.pid), 0)
                finally:
                    instance.stop()


class History(Case):
    """A repository with everything that a push may bring."""

    settings = {"publishing": False, "obsolescence": True}

    def make_history(self):
        return self.history(History._make)

    def _make(self):
        client, push = self.client, lambda *more: self.client.push(self.ssh, *more, expect=None)
        client.commit("a")
        client.commit("b")
        push(*EVOLUTION)
        client.run("bookmark", "mark")
        client.commit("c")
        push("-B", "mark", *EVOLUTION)
        client.run("commit", "--amend", "-m", "better", "-d", "0 0", *EVOLUTION)
        push(*EVOLUTION)
        client.run("phase", "--public", "-r", "0")
        push(*EVOLUTION)
        client.run("update", "-q", "0")
        client.run("branch", "-q", "other")
        client.commit("d")
        push("--new-branch", *EVOLUTION)
        client.run("commit", "-q", "--close-branch", "-m", "close", "-d", "0 0")
        push(*EVOLUTION)
        client.run("bookmark", "-d", "mark")
        push("-B", "mark", *EVOLUTION)
        client.commit("large", "".join("%d %d\n" % (n, n * n) for n in range(20000)))
        push(*EVOLUTION)
        self.assertEqual(len(self.gate.records), 8)

    def assertRefused(self, kind, call, *arguments, **fields):
        with self.assertRaises(LaneError) as raised:
            call(*arguments, **fields)
        self.assertEqual(raised.exception.kind, kind, raised.exception)
        return str(raised.exception)


class Apply(History):
    def test_one_step_and_two_steps_end_the_same_on_every_mercurial(self):
        records = self.make_history()
        wanted = self.hashes(self.lane)
        state = self.ssh.file("r", "store/hg-operator-state")
        pushlog = self.ssh.file("r", "store/hg-operator-pushlog")
        for number, python in enumerate(pythons()):
            with self.subTest(python=python):
                instance, lane = self.mirror("direct%d" % number, python=python)
                for record in records:
                    lane.apply(record)
                self.assertEqual(self.hashes(lane), wanted)
                instance, lane = self.mirror("hidden%d" % number, python=python)
                for record in records:
                    answer = lane.apply(record, hidden=True)
                    self.assertEqual((answer["shown"], answer["changesets"], answer["tip"]), (10, 0, None))
                self.assertEqual(answer["applied"], records[-1]["offset"])
                for record in records:
                    answer = lane.show(record)
                    self.assertEqual((answer["shown"], answer["heads"]), (record["offset"], record["push"]["heads"]))
                self.assertEqual(self.hashes(lane), wanted)
                self.assertEqual(instance.file("r", "store/hg-operator-state"), state)
                self.assertEqual(instance.file("r", "store/hg-operator-pushlog"), pushlog)
                Client(self.root, python).run("-R", instance.directory("r"), "verify", "-q")

    def test_the_hash_is_of_what_is_shown_at_each_offset(self):
        self.make_history()
        _instance, direct = self.mirror("direct")
        _instance, ahead = self.mirror("ahead")
        for record in self.gate.records:
            ahead.apply(record, hidden=True)
        for record in self.gate.records:
            direct.apply(record)
            self.assertRefused("locked", ahead.ask, "hash", "r", at=record["offset"])
            ahead.show(record)
            self.assertEqual(ahead.ask("hash", "r", at=record["offset"]), self.hashes(direct))

    def test_repeating_changes_nothing(self):
        records = self.make_history()
        instance, lane = self.mirror()
        for record in records[:3]:
            lane.apply(record, hidden=True)
        lane.show(records[0])
        before = instance.file("r", "store/hg-operator-state")
        for record in records[:3]:
            lane.apply(record, hidden=True)
        lane.show(records[0])
        lane.apply(records[0], hidden=False)
        lane.init()
        self.assertEqual(instance.file("r", "store/hg-operator-state"), before)
        lane.apply(records[1], hidden=False)
        self.assertEqual(lane.ask("state", "r")["shown"], records[1]["offset"])

    def test_the_order_of_the_log_is_kept(self):
        records = self.make_history()
        _instance, lane = self.mirror()
        lane.apply(records[0], hidden=True)
        lane.apply(records[1], hidden=True)
        self.assertRefused("invalid", lane.show, records[1])
        self.assertRefused("invalid", lane.show, records[2])
        self.assertRefused("invalid", lane.apply, records[2])
        answer = lane.ask("state", "r")
        self.assertEqual((answer["applied"], answer["shown"]), (records[1]["offset"], 10))
        lane.show(records[0])
        lane.show(records[1])

    def test_changesets_are_drafts_until_they_are_published(self):
        records = self.make_history()
        instance, lane = self.mirror()
        lane.ask("configure", "r", offset=10, settings=SETTINGS, path="r", hidden=False)
        for record in records:
            lane.apply(record, hidden=True)
        hg = Client(self.root)
        self.assertEqual(hg.run("-R", instance.directory("r"), "log", "--hidden", "-r", "not draft()", "-T", "x"), "")
        self.assertEqual(hg.run("-R", instance.directory("r"), "log", "--hidden", "-r", "draft()", "-T", "x"), "x" * 7)

    def test_a_record_that_does_not_fit(self):
        records = self.make_history()
        _instance, lane = self.mirror()
        message = self.assertRefused("corrupt", lane.apply, records[4])
        self.assertIn("unknown parent", message)
        self.assertEqual(lane.ask("state", "r")["applied"], 10)
        broken = dict(records[0], payloads={"bundle": records[0]["payloads"]["bundle"][:-200]})
        self.assertRefused("corrupt", lane.apply, broken)
        wrong = dict(records[0], push=dict(records[0]["push"], tip="1" * 40))
        self.assertRefused("corrupt", lane.apply, wrong)
        # What would be applied without a word, and be something else than on the master.
        for field, value in (("nodes", "0" * 64), ("changesets", 1), ("changesets", 3)):
            wrong = dict(records[0], push=dict(records[0]["push"], **{field: value}))
            self.assertIn("were added", self.assertRefused("corrupt", lane.apply, wrong))
            self.assertEqual(lane.ask("state", "r")["appliedRevisions"], 0)
        shortened = dict(records[0], payloads={})
        self.assertIn("0 changesets were added", self.assertRefused("corrupt", lane.apply, shortened))
        for record in records:
            lane.apply(record)
        self.assertEqual(self.hashes(lane), self.hashes(self.lane))

    def test_skip_and_configure_move_the_state(self):
        records = self.make_history()
        instance, lane = self.mirror()
        lane.apply(records[0], hidden=True)
        answer = lane.ask("configure", "r", offset=101, settings=SETTINGS, path="b", hidden=True)
        self.assertEqual((answer["applied"], answer["shown"]), (101, 10))
        self.assertNotIn("tip", answer, "it opens nothing that could say so")
        self.assertRefused("invalid", lane.ask, "skip", "r", offset=101, hidden=False)
        lane.show(records[0])
        lane.ask("skip", "r", offset=102, hidden=True)
        answer = lane.ask("skip", "r", offset=102, hidden=False)
        self.assertEqual((answer["applied"], answer["shown"], answer["shownRevisions"]), (102, 102, 2))
        self.assertIn(b"name = b\n", instance.file("r", "hgrc"))
        lane.init()
        self.assertIn(b"name = b\n", instance.file("r", "hgrc"))


class Settings(History):
    def test_the_hgrc(self):
        settings = {"description": " nice\n[hooks]\nx = y ", "publishing": False, "obsolescence": True}
        self.lane.ask("configure", "r", offset=11, settings=settings, path="a/b", hidden=False)
        show = Client(self.root).run("-R", self.ssh.directory("r"), "config", "--config", "ui.quiet=1")
        for line in ("web.name=a/b", "web.description=nice [hooks] x = y", "phases.publish=False",
                     "experimental.evolution=all", "hg-operator.path=a/b"):  # fmt: skip
            self.assertIn(line, show.splitlines())
        self.assertNotIn("hooks.x", show)

    def test_requests_that_are_none(self):
        self.assertRefused("missing", self.lane.ask, "state", "nowhere")
        self.assertRefused("missing", self.lane.ask, "recover", "nowhere")
        self.assertRefused("invalid", self.lane.ask, "nothing", "r")
        self.assertRefused("invalid", self.lane.ask, "apply", "r", offset=5)
        self.assertRefused("invalid", self.lane.ask, "skip", "r", offset="5")

    def test_one_format_on_all(self):
        requires = set()
        for number, python in enumerate(pythons()):
            instance, _lane = self.mirror("m%d" % number, python=python)
            requires.add(instance.file("r", "requires"))
        self.assertEqual(len(requires), 1)
        words = b"dotencode fncache generaldelta revlog-compression-zstd revlogv1 sparserevlog store"
        self.assertEqual(requires.pop().split(), words.split())


class Strip(History):
    def test_rows_stay_and_hashes_are_equal(self):
        records = self.make_history()
        mirrors = []
        for number, python in enumerate(pythons()):
            instance, lane = self.mirror("m%d" % number, python=python)
            for record in records:
                lane.apply(record)
            mirrors.append((instance, lane))
        gone = records[2]["push"]["tip"]
        for instance, lane in [(self.ssh, self.lane), *mirrors]:
            answer = lane.ask("strip", "r", offset=200, changesets=[gone])
            self.assertEqual((answer["applied"], answer["shown"]), (200, 200))
            self.assertEqual(answer["appliedRevisions"], answer["shownRevisions"])
            self.assertEqual(lane.ask("strip", "r", offset=200, changesets=[gone]), answer)
            self.assertEqual(os.listdir(os.path.join(instance.directory("r"), ".hg", "strip-backup")), [])
            rows = instance.file("r", "store/hg-operator-pushlog").splitlines()
            self.assertEqual([b'"id":%d,' % n in row for n, row in enumerate(rows, 1)], [True] * len(rows))
            self.assertNotIn(gone.encode(), b"".join(rows))
            self.assertEqual(self.hashes(lane), self.hashes(self.lane))
            Client(self.root).run("-R", instance.directory("r"), "verify", "-q")

    def test_what_is_hidden_keeps_its_place(self):
        records = self.make_history()
        instance, lane = self.mirror()
        for record in records:
            lane.apply(record, hidden=True)
        for record in records[:3]:
            lane.show(record)
        answer = lane.ask("strip", "r", offset=200, changesets=[records[1]["push"]["tip"]])
        self.assertEqual((answer["applied"], answer["shown"], answer["shownRevisions"]), (200, 102, 3))
        for record in records[3:]:
            lane.show(record)
        answer = lane.ask("strip", "r", offset=200, changesets=[records[1]["push"]["tip"]])
        self.assertEqual(answer["shown"], 200)
        self.lane.ask("strip", "r", offset=200, changesets=[records[1]["push"]["tip"]])
        self.assertEqual(self.hashes(lane), self.hashes(self.lane))

    def test_a_strip_that_was_announced_is_finished(self):
        records = self.make_history()
        gone = records[2]["push"]["tip"]
        instance, lane = self.mirror()
        for record in records:
            lane.apply(record)
        copy = instance.directory("copy")
        shutil.copytree(instance.directory("r"), copy)
        wanted = lane.ask("strip", "r", offset=200, changesets=[gone])
        # As after a crash between announcing and stripping, and between stripping and the last transaction.
        planned = (
            b'{"applied":107,"appliedRevisions":7,"shown":107,"shownRevisions":7,"stripping":["%s"],'
            b'"planned":{"offset":200,"appliedRevisions":6,"shownRevisions":6,"pending":[]}}\n' % gone.encode()
        )
        for name in ("copy", "r"):
            with open(os.path.join(instance.directory(name), ".hg/store/hg-operator-state"), "wb") as file:
                file.write(planned)
            self.assertEqual(lane.ask("recover", name), wanted)
        self.assertEqual(self.hashes(lane, "copy"), self.hashes(lane))


class Crash(History):
    def test_locks(self):
        self.make_history()
        directory = os.path.join(self.ssh.directory("r"), ".hg")
        for name in ("store/lock", "wlock"):
            os.symlink("another-host:1", os.path.join(directory, name))
            self.assertRefused("locked", self.lane.ask, "skip", "r", offset=300, timeout=0)
            self.assertRefused("locked", self.lane.ask, "recover", "r", breakLocks=False, timeout=0)
            self.assertRefused("locked", self.configure, self.lane, 300)
            self.lane.ask("recover", "r", breakLocks=True)
            self.assertFalse(os.path.lexists(os.path.join(directory, name)))
        self.lane.ask("skip", "r", offset=300)

    def configure(self, lane, offset):
        settings = {**SETTINGS, "description": "record %d" % offset}
        return lane.ask("configure", "r", offset=offset, settings=settings, path="r", hidden=False, timeout=0)

    def test_an_init_that_was_interrupted(self):
        for done in (".hg/requires", ".hg/store", ".hg/hgrc"):
            with self.subTest(done=done):
                directory = self.ssh.directory("half")
                shutil.rmtree(directory, ignore_errors=True)
                os.makedirs(os.path.join(directory, ".hg/store"))
                with open(os.path.join(directory, ".hg/requires"), "w") as file:
                    file.write("store\n")
                self.assertRefused("missing", self.lane.ask, "state", "half")
                self.lane.init("half", offset=50)
                self.assertEqual(self.lane.ask("state", "half")["applied"], 50)

    def test_a_new_repository_is_what_it_is_when_it_is_opened(self):
        for hidden in (False, True):
            with self.subTest(hidden=hidden):
                name = "new-%s" % hidden
                made = self.lane.init(name, offset=50, hidden=hidden, description="one line")
                self.assertEqual((made["applied"], made["shown"]), (50, 0 if hidden else 50))
                self.assertEqual(self.lane.ask("state", name), made)
                settings = self.ssh.file(name, "hgrc")
                self.assertIn(b"description = one line", settings)
                self.assertEqual(self.lane.init(name, offset=50, hidden=hidden, description="one line"), made)
                self.assertEqual(self.ssh.file(name, "hgrc"), settings)

    def test_a_lane_that_died_in_a_transaction(self):
        records = self.make_history()
        instance, lane = self.mirror()
        for record in records[:2]:
            lane.apply(record)
        before = instance.file("r", "store/hg-operator-state"), instance.file("r", "store/hg-operator-pushlog")
        _abandon_transaction(instance.python, instance.directory("r"))
        self.assertNotEqual(instance.file("r", "store/hg-operator-pushlog"), before[1])
        lane.ask("recover", "r", breakLocks=False)
        after = instance.file("r", "store/hg-operator-state"), instance.file("r", "store/hg-operator-pushlog")
        self.assertEqual(after, before)
        _abandon_transaction(instance.python, instance.directory("r"))
        message = self.assertRefused("locked", self.configure, lane, 200)
        self.assertIn("left half done", message)
        self.assertEqual(instance.file("r", "store/hg-operator-pushlog"), before[1])
        self.assertEqual(self.configure(lane, 101)["applied"], 101)
        self.assertIn(b"description = record 101", instance.file("r", "hgrc"))
        _abandon_transaction(instance.python, instance.directory("r"))
        for record in records:
            lane.apply(record)
        self.assertEqual(self.hashes(lane), self.hashes(self.lane))


class Space(History):
    def test_full_disk(self):
        self.fill("")

    def test_full_disk_in_the_middle_of_everything(self):
        self.fill("reserved-space = 0")

    def fill(self, config):
        if os.geteuid() != 0:
            self.skipTest("NOT TESTED: a small file system can only be mounted by root")
        records = self.make_history()
        instance, lane = self.mirror(config=config)
        small = instance.directory("small")
        os.makedirs(small)
        mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", small]
        made = subprocess.run(mount, capture_output=True, text=True)
        if made.returncode != 0:
            self.skipTest("NOT TESTED: cannot mount a small file system: " + made.stderr)
        self.addCleanup(subprocess.run, ["umount", "-l", small])
        lane.init("small/r")
        refused = 0
        for left in range(0, 1600 * 1024, 32 * 1024):
            with _only(small, left):
                try:
                    for record in records:
                        lane.apply(record, "small/r")
                    lane.ask("snapshot", "small/r", file=os.path.join(small, "tar"))
                except LaneError as why:
                    self.assertEqual(why.kind, "full", why)
                    refused += 1
                self.assertFalse(os.path.exists(os.path.join(small, "r/.hg/store/journal")))
            if os.path.exists(os.path.join(small, "tar")):
                os.unlink(os.path.join(small, "tar"))
        self.assertGreater(refused, 3)
        for record in records:
            lane.apply(record, "small/r")
        self.assertEqual(self.hashes(lane, "small/r"), self.hashes(self.lane))


class Snapshot(History):
    def test_another_instance_goes_on_from_it(self):
        records = self.make_history()
        instance, lane = self.mirror()
        for record in records[:4]:
            lane.apply(record, hidden=True)
        lane.show(records[0])
        tar = os.path.join(self.root, "tar")
        answer = lane.ask("snapshot", "r", file=tar)
        self.assertEqual(answer["applied"], records[3]["offset"])
        with tarfile.open(tar) as archive:
            names = archive.getnames()
        for left_out in (".hg/hgrc", ".hg/cache", ".hg/store/lock", ".hg/wlock", ".hg/store/undo"):
            self.assertNotIn(left_out, names)
        for number, python in enumerate(pythons()):
            other, other_lane = self.mirror("other%d" % number, python=python)
            directory = other.directory("copy")
            os.makedirs(directory)
            with tarfile.open(tar) as archive:
                archive.extractall(directory)
            other_lane.ask("configure", "copy", offset=answer["applied"], settings=SETTINGS, path="c", hidden=True)
            for record in records[4:]:
                other_lane.apply(record, "copy", hidden=True)
            for record in records[1:]:
                other_lane.show(record, "copy")
            self.assertEqual(self.hashes(other_lane, "copy"), self.hashes(self.lane))


class Integrity(History):
    def test_what_is_stored_is_what_its_hashes_say(self):
        records = self.make_history()
        for number, python in enumerate(pythons()):
            instance, lane = self.mirror("mirror%d" % number, python=python)
            for record in records:
                lane.apply(record, hidden=True)
                self.assertEqual(lane.ask("integrity", "r"), {"damage": None})
            path = os.path.join(instance.directory("r"), ".hg/store/data/a.i")
            with open(path, "r+b") as file:
                file.seek(-1, os.SEEK_END)
                last = file.read(1)
                file.seek(-1, os.SEEK_END)
                file.write(bytes([last[0] ^ 1]))
            self.assertIn("a@", lane.ask("integrity", "r")["damage"])
            with open(os.path.join(instance.directory("r"), ".hg/store/00manifest.i"), "wb"):
                pass
            self.assertIn("at record %d: " % records[-1]["offset"], lane.ask("integrity", "r")["damage"])


class Reinstate(History):
    def doubt(self, instance):
        store = os.path.join(instance.directory("r"), ".hg/store/hg-operator-state")
        os.rename(store, store + ".doubted")

    def test_what_is_whole_is_taken_and_the_rest_is_not(self):
        records = self.make_history()
        for number, python in enumerate(pythons()):
            instance, lane = self.mirror("mirror%d" % number, python=python)
            for record in records[:3]:
                lane.apply(record)
            self.doubt(instance)
            for operation in ("state", "recover"):
                with self.assertRaises(LaneError) as refused:
                    lane.ask(operation, "r")
                self.assertEqual(refused.exception.kind, "missing")
            self.assertEqual(lane.ask("reinstate", "r")["applied"], records[2]["offset"])
            for record in records[3:]:
                lane.apply(record)
            self.assertEqual(self.hashes(lane), self.hashes(self.lane))

            self.doubt(instance)
            path = os.path.join(instance.directory("r"), ".hg/store/data/a.i")
            with open(path, "r+b") as file:
                file.truncate(os.path.getsize(path) - 1)
            for _again in range(2):
                with self.assertRaises(LaneError) as refused:
                    lane.ask("reinstate", "r")
                self.assertEqual(refused.exception.kind, "corrupt")
                with self.assertRaises(LaneError) as refused:
                    lane.ask("state", "r")
                self.assertEqual(refused.exception.kind, "missing")


class _only:
    """Leaves only `left` bytes free in a small file system."""

    def __init__(self, directory, left):
        self._path = os.path.join(directory, "filler")
        self._left = left

    def __enter__(self):
        free = os.statvfs(os.path.dirname(self._path))
        with open(self._path, "wb") as file:
            file.write(b"x" * max(0, free.f_bavail * free.f_frsize - self._left))

    def __exit__(self, *_why):
        os.unlink(self._path)


def _abandon_transaction(python, directory):
    """Dies in a transaction that has already written the pushlog and the state."""
    code = """if True:
        import os, sys
        sys.path.insert(0, %r)
        from mercurial import hg, ui
        try:
            from mercurial import initialization; initialization.init()
        except ImportError:
            pass
        from hg_operator import admission, pushlog, state
        admission.admit(admission.LANE)
        repo = hg.repository(ui.ui.load(), %r)
        lock = repo.lock()
        tr = repo.transaction(b'x')
        pushlog.append(repo, tr, b'{"id":99}\\n')
        state.write_with(tr, state.State(999, 0, 999, 0))
        tr.addfinalize(b'zzz', lambda tr: None)
        tr._generatefiles()
        os._exit(9)
    """ % (os.path.dirname(os.path.dirname(os.path.abspath(__file__))), directory.encode())
    done = subprocess.run([python, "-c", code], env={"HGRCPATH": ""}, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr


if __name__ == "__main__":
    unittest.main()
