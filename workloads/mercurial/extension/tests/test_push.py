# SPDX-License-Identifier: GPL-2.0-or-later
"""Pushes of every kind through the zygote, and everything that may stop one."""

import errno
import os
import signal
import unittest

from mercurial import error
from support import Case, serve, wait_until

from hg_operator import push

BUNDLE1 = ("--config", "devel.legacy.exchange=bundle1")
EVOLUTION = ("--config", "experimental.evolution=all")

HOOKS = """
from mercurial import changegroup, context

def forbid_bundling(**_arguments):
    def refuse(*_arguments, **_named):
        raise RuntimeError("the changesets are bundled again")
    changegroup.getbundler = refuse

def commit_another(repo, **_arguments):
    content = lambda repo, made, path: context.memfilectx(repo, made, path, b"more")
    parents = (repo[b"tip"].node(), None)
    context.memctx(repo, parents, b"more", [b"more"], content, user=b"hook", date=b"0 0").commit()
"""


class Kinds(Case):
    def test_changesets(self):
        first = self.client.commit("a")
        second = self.client.commit("b")
        output = self.client.push(self.ssh)
        for line in (
            "remote: recorded push in pushlog",
            "remote: added 2 changesets with 2 changes to 2 files",
            "remote: recorded changegroup in replication log in 0.003s",
        ):
            self.assertIn(line, output.splitlines())
        (record,) = self.gate.records
        self.assertEqual(record["applied"], 10)
        self.assertEqual(record["user"], "somebody@example.com")
        push = record["push"]
        self.assertEqual((push["changesets"], push["tip"], push["heads"]), (2, second, 1))
        self.assertEqual((push["headsAdded"], push["headsRemoved"]), ([second], []))
        self.assertEqual(push["published"], [second])
        self.assertEqual(self.gate.closed, [(100, False)])
        self.assertEqual(
            self.ssh.file("r", "store/hg-operator-state"),
            b'{"applied":100,"appliedRevisions":2,"shown":100,"shownRevisions":2}\n',
        )
        self.assertEqual(
            self.ssh.file("r", "store/hg-operator-pushlog").decode(),
            '{"id":1,"user":"somebody@example.com","date":1469000100,"offset":100,"nodes":["%s","%s"]}\n'
            % (first, second),
        )
        self.client.commit("c")
        self.client.push(self.ssh)
        self.assertEqual(self.gate.records[1]["applied"], 100)
        self.assertEqual(self.gate.records[1]["push"]["headsRemoved"], [second])
        asked = [request["op"] for request in self.gate.asked]
        self.assertEqual(asked, ["wait", "open", "wait", "open", "append", "closed"] * 2)
        self.assertEqual(self.gate.asked[0]["repository"], 7)

    def test_an_old_client(self):
        tip = self.client.commit("a")
        self.client.push(self.ssh, *BUNDLE1)
        (record,) = self.gate.records
        self.assertEqual(record["push"]["tip"], tip)
        self.assertEqual(record["push"]["published"], [tip])
        self.assertTrue(record["payloads"]["bundle"].startswith(b"HG20"))

    def test_what_was_sent_is_recorded_as_it_came(self):
        """A bundle made again from the new changesets says the same, and costs far more."""
        self.restart("[hooks]\npretxnclose = python:%s:forbid_bundling" % self.hooks())
        for name in "abc":
            self.client.commit(name)
        self.client.push(self.ssh)
        self.assertEqual(self.nodes_elsewhere(), self.client.run("log", "-T", "{node}\n").split())

    def test_what_a_hook_adds_is_recorded_too(self):
        self.restart("[hooks]\npretxnchangegroup = python:%s:commit_another" % self.hooks())
        self.client.commit("a")
        self.client.push(self.ssh)
        (record,) = self.gate.records
        self.assertEqual(record["push"]["changesets"], 2)
        self.assertEqual(self.nodes_elsewhere()[0], record["push"]["tip"])

    def hooks(self):
        path = os.path.join(self.root, "hooks.py")
        with open(path, "w") as file:
            file.write(HOOKS)
        return path

    def nodes_elsewhere(self):
        """The hashes of all changesets after the records were applied to another instance, the newest first."""
        other, lane = self.mirror()
        for record in self.gate.records:
            lane.apply(record)
        return self.client.run("log", "-R", other.directory("r"), "-T", "{node}\n").split()

    def test_bookmarks_alone(self):
        for number, old_client in enumerate(((), BUNDLE1)):
            with self.subTest(old_client=old_client):
                name = "mark%d" % number
                tip = self.client.commit("a")
                self.client.push(self.ssh, *old_client)
                del self.gate.records[:]
                self.client.run("bookmark", name)
                output = self.client.push(self.ssh, "-B", name, *old_client, expect=None)
                self.assertIn("remote: recorded updates to bookmarks in replication log in 0.003s", output)
                (record,) = self.gate.records
                self.assertEqual(record["push"]["bookmarks"], [[name, None, tip]])
                self.assertIsNone(record["pushId"])
                self.assertEqual((record["push"]["changesets"], record["payloads"]), (0, {}))
                self.client.run("bookmark", "-d", name)
                self.client.push(self.ssh, "-B", name, *old_client, expect=None)
                self.assertEqual(self.gate.records[1]["push"]["bookmarks"], [[name, tip, None]])

    def test_a_bookmark_with_changesets_is_one_record(self):
        tip = self.client.commit("a")
        self.client.run("bookmark", "é✓", env={"HGENCODING": "utf-8"})
        self.client.push(self.ssh, "-B", "é✓", env={"HGENCODING": "utf-8"})
        (record,) = self.gate.records
        self.assertEqual(record["push"]["bookmarks"], [["é✓", None, tip]])

    def test_new_branch_and_closed_head(self):
        self.client.commit("a")
        self.client.run("branch", "other")
        other = self.client.commit("b")
        self.client.push(self.ssh, "--new-branch")
        self.client.run("commit", "--close-branch", "-m", "close", "-d", "0 0")
        self.client.push(self.ssh)
        self.assertEqual(self.gate.records[1]["push"]["headsRemoved"], [other])
        self.assertEqual(self.gate.records[1]["push"]["heads"], 1)

    def test_nothing_to_push_is_no_record(self):
        self.client.commit("a")
        self.client.push(self.ssh)
        self.client.push(self.ssh, expect=1)
        self.client.push(self.ssh, *BUNDLE1, expect=1)
        self.assertEqual(len(self.gate.records), 1)

    def test_a_large_bundle_goes_through_a_file(self):
        self.client.commit("a", "".join("%d %d\n" % (n, n * n) for n in range(20000)))
        self.client.push(self.ssh)
        (record,) = self.gate.records
        self.assertGreater(len(record["payloads"]["bundle"]), 64 * 1024)
        self.assertEqual(os.listdir(os.path.join(self.ssh.root, "spool")), [])

    def test_ten_thousand_changesets(self):
        self.client.run("debugbuilddag", "+10000")
        self.client.push(self.ssh, "--force")
        (record,) = self.gate.records
        self.assertEqual(record["push"]["changesets"], 10000)
        instance, lane = self.mirror()
        lane.apply(record, hidden=True)
        lane.show(record)
        self.assertEqual(self.hashes(lane), self.hashes(self.lane))

    def test_links(self):
        self.restart("url = https://hg.example.com/")
        tip = self.client.commit("a")
        self.assertIn("remote: View your change here:\nremote:   https://hg.example.com/a/b/rev/%s" % tip,
                      self.client.push(self.ssh))  # fmt: skip
        for number in range(11):
            tip = self.client.commit("f%d" % number)
        self.assertIn("remote:   https://hg.example.com/a/b/pushloghtml?changeset=%s" % tip,
                      self.client.push(self.ssh))  # fmt: skip


class Drafts(Case):
    settings = {"publishing": False, "obsolescence": True}

    def test_phases_alone(self):
        for old_client in ((), BUNDLE1):
            with self.subTest(old_client=old_client):
                del self.gate.records[:]
                tip = self.client.commit("a")
                self.client.push(self.ssh, *old_client)
                self.assertEqual(self.gate.records[0]["push"]["published"], [])
                self.client.run("phase", "--public", "-r", ".")
                output = self.client.push(self.ssh, *old_client, expect=1)
                self.assertIn("remote: recorded updates to phases in replication log in 0.003s", output)
                self.assertEqual(self.gate.records[1]["push"]["published"], [tip])
                self.assertEqual(self.gate.records[1]["push"]["changesets"], 0)

    def test_markers(self):
        self.client.commit("a")
        old = self.client.commit("b")
        self.client.push(self.ssh)
        self.client.run("commit", "--amend", "-m", "better", *EVOLUTION)
        new = self.client.run("id", "-i", "--debug", *EVOLUTION).strip()
        output = self.client.push(self.ssh, *EVOLUTION)
        self.assertIn("remote: recorded updates to obsolete in replication log in 0.003s", output)
        record = self.gate.records[1]
        self.assertEqual((record["push"]["headsAdded"], record["push"]["headsRemoved"]), ([new], [old]))
        self.assertEqual(record["push"]["heads"], 1)
        self.assertEqual(record["payloads"]["markers"][:1], b"\x01")

    def test_markers_alone(self):
        self.client.commit("a")
        gone = self.client.commit("b")
        self.client.push(self.ssh)
        self.client.run("debugobsolete", gone, "--record-parents", *EVOLUTION)
        for old_client in ((), BUNDLE1):
            self.client.push(self.ssh, *EVOLUTION, *old_client, expect=None)
        self.assertEqual(len(self.gate.records), 2)
        record = self.gate.records[1]
        self.assertEqual((record["push"]["changesets"], list(record["payloads"])), (0, ["markers"]))
        self.assertEqual(record["push"]["headsRemoved"], [gone])


class Stops(Case):
    def assertUntouched(self):
        self.assertEqual(self.gate.records, [])
        self.assertEqual(os.listdir(os.path.join(self.ssh.root, "spool")), [])
        self.assertEqual(self.lane.ask("state", "r")["applied"], 10)
        self.assertEqual(self.lane.ask("state", "r")["changesets"], 0)
        self.assertEqual(self.ssh.file("r", "store/hg-operator-state")[:14], b'{"applied":10,')

    def test_refused(self):
        self.client.commit("a", "x\n" * 100000)
        lines = ["first line", "replication log not available; all writes disabled"]
        for operation in ("wait", "open", "append"):
            for old_client in ((), BUNDLE1):
                with self.subTest(operation=operation, old_client=old_client):
                    self.gate.answers = {operation: {"refuse": lines}}
                    output = self.client.push(self.ssh, *old_client, expect=None if old_client else 255)
                    self.assertIn("remote: first line\n", output)
                    self.assertIn("replication log not available; all writes disabled\n", output)
                    self.assertUntouched()

    def test_a_bookmark_is_refused(self):
        self.client.commit("a")
        self.client.push(self.ssh)
        self.client.run("bookmark", "mark")
        del self.gate.records[:]
        for operation in ("wait", "open", "append"):
            for old_client in ((), BUNDLE1):
                self.gate.answers = {operation: {"refuse": ["not now"]}}
                output = self.client.push(self.ssh, "-B", "mark", *old_client, expect=None)
                self.assertIn("not now", output)
                self.assertEqual(self.gate.records, [])

    def test_no_gate(self):
        self.client.commit("a")
        self.gate.stop()
        os.unlink(self.gate.path)
        output = self.client.push(self.ssh, expect=255)
        self.assertIn("remote: replication log not available; all writes disabled\n", output)
        self.assertUntouched()

    def test_unknown_outcome(self):
        self.client.commit("a")
        for answer in ({"unknown": []}, {"unknown": ["outcome unknown: the push may have been recorded"]}, "hang up"):
            self.gate.answers = {"append": answer}
            output = self.client.push(self.ssh, expect=255)
            self.assertIn("outcome unknown: the push may have been recorded\n", output)
            self.assertUntouched()

    def test_a_refusing_hook_leaves_nothing_in_the_log(self):
        self.client.commit("a")
        for name in ("pretxnopen", "pretxnchangegroup", "pretxnclose", "pretxnclose.zzz"):
            with self.subTest(hook=name):
                self.restart("[hooks]\n%s = echo the hook says no; exit 1" % name)
                output = self.client.push(self.ssh, expect=255)
                self.assertIn("the hook says no", output)
                self.assertUntouched()
                self.assertNotIn("append", [request["op"] for request in self.gate.asked])

    def test_hooks_see_the_user(self):
        self.restart("[hooks]\npretxnchangegroup = echo hook $REMOTE_USER $USER $SSH_CLIENT $HG_SOURCE")
        self.client.commit("a")
        output = self.client.push(self.ssh)
        self.assertIn("hook somebody@example.com somebody@example.com 127.0.0.1 1 2 serve", output)

    def test_changes_by_hand(self):
        directory = self.ssh.directory("r")
        by_hand = {"HGRCPATH": self.ssh.hgrc}
        os.mkdir(os.path.join(self.root, "hand"))
        output = self.client.run("-R", directory, "--cwd", directory, "branch", "x", env=by_hand)
        output = self.client.run("-R", directory, "commit", "-m", "no", env=by_hand, expect=255)
        self.assertIn("cannot commit to replicating repositories; push instead", output)
        self.client.commit("a")
        output = self.client.run("push", directory, env=by_hand, expect=255)
        self.assertIn("cannot commit to replicating repositories; push instead", output)
        self.ssh.configure("mirror", "")
        output = self.client.run("-R", directory, "commit", "-m", "no", env=by_hand, expect=255)
        self.assertIn("illegal change to repository!", output)
        self.assertIn("local commits are not allowed on HTTP replicas", output)
        output = self.client.run("push", directory, env=by_hand, expect=255)
        self.assertIn("changes to repositories on HTTP replicas can only be made through the replication system; "
                      "a change via push is not allowed", output)  # fmt: skip
        self.assertUntouched()

    def test_abort_after_the_append(self):
        self.restart("test-abort-at = after-append")
        self.client.commit("a")
        output = self.client.push(self.ssh, expect=255)
        self.assertIn("recorded; being repaired", output)
        self.assertEqual(self.gate.closed, [(100, True)])
        self.assertEqual(self.lane.ask("state", "r")["applied"], 10)
        self.lane.apply(self.gate.records[0])
        self.restart("")
        self.client.commit("b")
        self.client.push(self.ssh)
        self.assertEqual(self.gate.records[1]["push"]["changesets"], 1)

    def test_a_reader_may_not_write(self):
        self.client.commit("a")
        self.gate.answers = {"open": lambda request, _: {"ok": {}} if request["mayWrite"] else {"refuse": ["no"]}}
        self.client.push(self.ssh, env={"ZYGOTE_MAY_WRITE": ""}, expect=255)
        self.assertUntouched()


class Kills(Case):
    def test_killed_at_each_point(self):
        for number, place in enumerate(("before-append", "after-append", "during-close")):
            with self.subTest(place=place):
                self.restart("test-kill-at = " + place)
                recorded = len(self.gate.records)
                before = self.lane.ask("state", "r")
                self.client.commit("file%d" % number)
                self.client.run("bookmark", "-f", "mark")
                self.client.push(self.ssh, "-B", "mark", expect=None)
                self.assertTrue(os.path.exists(os.path.join(self.ssh.directory("r"), ".hg/store/journal")))
                after = self.lane.ask("recover", "r", breakLocks=False)
                self.assertEqual(after, before)
                self.assertFalse(os.path.exists(os.path.join(self.ssh.directory("r"), ".hg/store/journal")))
                self.assertEqual(len(self.gate.records), recorded + (place != "before-append"))
                if place != "before-append":
                    self.lane.apply(self.gate.records[-1])
        self.restart("")
        self.client.commit("last")
        self.client.push(self.ssh)
        instance, lane = self.mirror()
        for record in self.gate.records:
            lane.apply(record, hidden=True)
        for record in self.gate.records:
            lane.show(record)
        self.assertEqual(self.hashes(lane), self.hashes(self.lane))

    def test_the_next_push_finds_nothing_left_to_push(self):
        """What was recorded is applied before anybody who may push is told what is here."""
        self.client.commit("a")
        self.client.push(self.ssh)
        for place in ("after-append", "during-close"):
            with self.subTest(place=place):
                self.restart("test-kill-at = " + place)
                self.client.commit(place)
                self.client.push(self.ssh, expect=None)
                self.restart("")
                self.gate.answers = {"wait": self.apply_the_last}
                self.assertIn("no changes found", self.client.push(self.ssh, expect=1))

    def apply_the_last(self, _request, _body):
        self.lane.ask("recover", "r", breakLocks=False)
        self.lane.apply(self.gate.records[-1])
        return {"ok": {}}

    def test_the_next_push_recovers_by_itself(self):
        self.restart("test-kill-at = before-append")
        self.client.commit("a")
        self.client.push(self.ssh, expect=None)
        self.restart("")
        output = self.client.push(self.ssh)
        self.assertIn("remote: abandoned transaction found; running recover", output)

    def test_what_a_killed_child_kept_is_removed(self):
        killed = serve(self.ssh, "r")
        pid = killed[0].receive()[0]["pid"]

        def kept():
            return [name for name in os.listdir(self.ssh.temporary) if name.startswith("hg-child-%d-" % pid)]

        wait_until(kept, "the child has its folder")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not os.path.exists("/proc/%d" % pid), "the child has died")
        another = serve(self.ssh, "r")
        wait_until(lambda: not kept(), "the next child has removed it")
        for file in (*killed, *another):
            file.close()

    def test_children_die_with_the_zygote(self):
        connection, stdin, _stdout, _stderr = serve(self.ssh, "r")
        pid = connection.receive()[0]["pid"]
        self.ssh.process.kill()
        wait_until(lambda: not os.path.exists("/proc/%d" % pid) or _is_zombie(pid), "the child has died")
        for file in (connection, stdin, _stdout, _stderr):
            file.close()

    def test_a_normal_end_says_its_code(self):
        connection, stdin, stdout, stderr = serve(self.ssh, "r")
        self.assertIn("pid", connection.receive()[0])
        stdin.write(b"hello\n")
        self.assertTrue(stdout.readline().rstrip().isdigit())
        stdin.close()
        self.assertEqual(connection.receive(), ({"exit": 0}, b""))
        self.assertIsNone(connection.receive())
        for file in (connection, stdout, stderr):
            file.close()

    def test_an_interrupted_client_leaves_nothing(self):
        connection, stdin, stdout, stderr = serve(self.ssh, "r")
        connection.receive()
        stdin.write(b"unbundle\nheads 10\n666f726365" + b"4096\nHG20")
        stdin.close()
        code = connection.receive()[0]["exit"]
        self.assertNotEqual(code, 0)
        for file in (connection, stdout, stderr):
            file.close()
        self.assertEqual(self.gate.records, [])


class TwoAtOnce(Case):
    def test_the_second_waits_for_the_lock_in_small_steps(self):
        self.client.commit("a")
        directory = self.ssh.directory("r")
        lock = os.path.join(directory, ".hg/store/lock")
        self.lane.ask("state", "r")
        # Held by this process, which lives; gone as soon as the gate was asked.
        os.symlink("%s:%d" % (_lock_host(self.ssh.python), os.getpid()), lock)
        self.gate.answers = {"open": lambda request, body: (os.path.lexists(lock) and os.unlink(lock), {"ok": {}})[1]}
        self.client.push(self.ssh)
        self.assertEqual(len(self.gate.records), 1)


def _lock_host(python):
    import subprocess

    code = "from mercurial import lock; print(lock._getlockprefix().decode())"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _is_zombie(pid):
    with open("/proc/%d/stat" % pid) as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "Z"


class Sentences(unittest.TestCase):
    def test_a_lock_that_is_held_tells_nothing_of_the_server(self):
        held = error.LockHeld(errno.EAGAIN, b"/data/x/.hg/store/lock", b"repository /data/x", b"machine:17")
        with self.assertRaises(error.Abort) as raised, push.as_abort(None):
            raise held
        self.assertEqual(raised.exception.message, b"somebody else is changing the repository; try again in a moment")


if __name__ == "__main__":
    unittest.main()
