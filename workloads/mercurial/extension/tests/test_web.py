# SPDX-License-Identifier: GPL-2.0-or-later
"""The web worker: frames, isolation between requests, bounds, and streams beside a busy lane."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unittest
import urllib.parse

import mirror_case
from mirror_case import MirrorCase, Worker, hg

from hg_operator import answer_memory, content_policy

POLICY = "Content-Security-Policy"


class Requests(MirrorCase):
    def test_the_application_is_mounted_at_the_repository_path(self):
        head, data = self.worker.request(self.repo.path, "deep/er", "file/tip/dir")
        self.assertEqual((head["status"], head["reason"]), (200, "Script output follows"))
        self.assertIn(b'href="/deep/er/file/tip/dir/b.txt"', data)
        self.assertIn(b"<title>deep/er:", data)
        head, data = self.worker.request(self.repo.path, "deep/er", "/raw-file/tip/dir%2Fb.txt")
        self.assertEqual((head["status"], data), (200, b"b\n"))
        self.assertIn(["Content-Length", "2"], head["headers"])
        self.assertFalse(head["streaming"])

    def test_arguments_come_in_the_body_or_in_headers(self):
        arguments = b"nodes=" + self.base.encode()
        size = ["X-HgArgs-Post", str(len(arguments))]
        posted = self.get("", "cmd=known", method="POST", headers=[size], body=arguments)
        self.assertEqual(posted[1], b"1")
        self.assertEqual(self.get("", "cmd=known", headers=[["X-HgArg-1", arguments.decode()]])[1], b"1")

    def test_large_answers_are_streamed_and_conditional_and_head_requests_have_no_body(self):
        head, data = self.get("raw-file/%s/big.bin" % self.base)
        path = os.path.join(mirror_case.SCRATCH, "big-%s" % self.name)
        hg("cat", "-R", self.repo.path, "-r", self.base, os.path.join(self.repo.path, "big.bin"), "-o", path)
        with open(path, "rb") as file:
            self.assertEqual(data, file.read())
        self.assertGreater(len(data), 256 * 1024)
        self.assertEqual(self.get("raw-file/tip/a.txt", method="HEAD")[1], b"")
        self.assertEqual(self.get("log", method="HEAD")[1], b"")
        etag = dict(self.get("log")[0]["headers"])["ETag"]
        head, data = self.get("log", headers=[["If-None-Match", etag]])
        self.assertEqual((head["status"], data), (304, b""))

    def test_a_failure_answers_500_says_so_once_and_the_next_request_is_answered(self):
        worker = Worker()
        head, data = worker.request(os.path.join(mirror_case.SCRATCH, "nowhere"), "nowhere", "log")
        self.assertEqual((head["status"], data), (500, b"the repository cannot be read\n"))
        head, data = worker.request(self.repo.path, "x", "", "cmd=known")
        self.assertEqual((head["status"], data), (400, b"known needs the argument nodes\n"))
        head, data = worker.request(self.repo.path, "x", "", "cmd=heads")
        self.assertEqual((head["status"], len(data)), (200, 82))
        lines = worker.close().splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(all(line.startswith("{") and '"level": "error"' in line for line in lines))

    def test_a_named_hash_does_not_stay_for_the_next_request(self):
        for _time in range(3):
            self.assertEqual(self.json("json-rev/" + self.tip)["node"], self.tip)
            self.assertEqual(self.json("json-rev/tip")["node"], self.tagged)
            self.assertEqual(self.json("json-log")["changeset_count"], 4)
            self.assertNotIn(self.tip, self.command("heads"))
            self.text("rev/" + self.tip[:12], status=404)

    def test_applications_are_bounded_and_settings_are_read_again(self):
        worker = Worker("[hg-operator]", "web-cached = 2")
        for name in ("one", "two", "three", "one"):
            head, data = worker.request(self.repo.path, name, "json-log")
            self.assertEqual(head["status"], 200)
        self.assertNotIn(b"changed by settings", worker.request(self.repo.path, "one", "summary", "style=gitweb")[1])
        with open(os.path.join(self.repo.path, ".hg", "hgrc"), "a") as file:
            file.write("[web]\ndescription = changed by settings\n")
        self.assertIn(b"changed by settings", worker.request(self.repo.path, "one", "summary", "style=gitweb")[1])
        worker.close()

    def test_a_worker_that_has_grown_answers_and_ends(self):
        worker = Worker("[hg-operator]", "web-memory = 1 MB")
        head, data = worker.request(self.repo.path, "x", "raw-file/%s/big.bin" % self.base)
        self.assertEqual(head["status"], 200)
        self.assertEqual(worker.process.wait(mirror_case.TIMEOUT_SECONDS), 0)
        self.assertIn("memory bound", worker.close())

    def test_an_answer_that_takes_too_long_is_a_sentence_and_its_worker_ends(self):
        worker = Worker("[hg-operator]", "web-page-seconds = 1", "[extensions]", "slow=%s" % _file(SLOW))
        head, data = worker.request(self.repo.path, "x", "archive/tip.zip")
        self.assertEqual(head["status"], 200)  # slow too, and allowed to be
        head, data = worker.request(self.repo.path, "x", "json-bookmarks")
        self.assertEqual((head["status"], data.decode()), (400, TOO_LONG))
        self.assertEqual(worker.process.wait(mirror_case.TIMEOUT_SECONDS), 0)
        self.assertIn("processor time", worker.close())

    def test_code_that_looks_for_no_signals_ends_with_its_process(self):
        worker = Worker("[hg-operator]", "web-page-seconds = 1", "[extensions]", "slow=%s" % _file(SLOW))
        with self.assertRaises(TypeError):  # no frame, but the end of the connection
            worker.request(self.repo.path, "x", "json-branches")
        self.assertEqual(worker.process.wait(mirror_case.TIMEOUT_SECONDS), -signal.SIGXCPU)
        worker.close()

    def test_searches_are_plain_words_or_few_functions_without_regular_expressions(self):
        def found(query):
            page = self.json("json-log", urllib.parse.urlencode({"rev": query}))
            return sorted(entry["desc"] for entry in page["entries"])

        for query in ('branch("stable")', "desc(stable)", "author(nobody) or keyword(stable)", "stable or none()"):
            self.assertEqual(found(query), ["stable"], query)
        # As plain hgweb with functions that it does not call safe: these words are nowhere.
        for query in (
            "desc('r'##'e:st.*')", "author('r'##'e:(a*)*b')", "branch('re'##':.*')", "extra('branch','r'##'e:st.*')",
            "tag('r'##'e:v.*')", "bookmark('r'##'e:m.*')", "keyword('r'##'e:st.*')", "file('*')", "modifies('re:.*')",
            "file('listfile:/etc/passwd')", "file('set:grep(x)')", "filelog('a.txt')", "follow()", "grep('x')",
        ):  # fmt: skip
            self.assertEqual(found(query), [], query)
        for query in ("(" * 400 + "1" + ")" * 400, "-" * 400 + "1", " or ".join(["1"] * 400), "a" * 1001):
            text = self.text("json-log", urllib.parse.urlencode({"rev": query}), status=400)
            self.assertIn("a search", text)

    def test_a_strip_at_work_is_waited_for(self):
        impatient, patient = (Worker("[hg-operator]", "stream-wait = %d" % seconds) for seconds in (1, 60))
        self.repo.show(4, applied=9, stripping=[self.later])
        try:
            head, _data = impatient.request(self.repo.path, "x", "", "cmd=heads")
            self.assertEqual((head["status"], dict(head["headers"])["Retry-After"]), (503, "2"))
            timer = threading.Timer(0.3, self.repo.show, [4])
            timer.start()
            self.assertEqual(patient.request(self.repo.path, "x", "", "cmd=heads")[0]["status"], 200)
            timer.join()
        finally:
            self.repo.show(4)
            impatient.close()
            patient.close()

    def test_kept_answers_are_of_the_same_request_and_state(self):
        for _time in range(2):
            self.assertEqual(self.command("lookup", "key=tip"), "1 %s\n" % self.tagged)
            self.assertEqual(self.command("lookup", "key=v1"), "1 %s\n" % self.base)
            answer = self.get("", "cmd=lookup", headers=[["X-HgArg-1", "key=main"]])[1]
            self.assertEqual(answer.decode(), "1 %s\n" % self.tagged)
        for shown, node in ((5, self.hidden), (4, self.tagged)):
            self.repo.show(shown)
            self.assertEqual(self.command("lookup", "key=tip"), "1 %s\n" % node)
        self.repo.hg("bookmark", "-f", "-r", self.base, "main")
        self.assertEqual(self.command("lookup", "key=main"), "1 %s\n" % self.base)
        self.repo.hg("bookmark", "-f", "-r", self.tagged, "main")

    def test_kept_pages_are_of_the_state_and_a_client_that_has_one_is_told_so(self):
        for shown, node in ((4, self.tagged), (5, self.hidden), (4, self.tagged)):
            self.repo.show(shown)
            for _time in range(2):
                head, data = self.get("json-rev/tip")
                self.assertEqual((head["status"], json.loads(data)["node"]), (200, node))
            etag = dict(head["headers"])["ETag"]
            head, data = self.get("json-rev/tip", headers=[["If-None-Match", etag]])
            self.assertEqual((head["status"], data), (304, b""))

    def test_only_what_is_the_same_for_everybody_is_kept(self):
        page = {"method": "GET", "pathInfo": "/json-rev/tip", "query": "style=json", "host": "a", "headers": []}
        kept = answer_memory.key(page, b"")
        self.assertIsNotNone(kept)
        self.assertEqual(answer_memory.key({**page, "headers": [["User-Agent", "x"]]}, None), kept)
        for other in ({"host": "b"}, {"query": ""}, {"pathInfo": "/json-rev/0"}, {"scheme": "https"}):
            self.assertNotIn(answer_memory.key({**page, **other}, b""), (None, kept), other)
        conditional = [["If-None-Match", 'W/"1"']]
        for other in ({"method": "HEAD"}, {"pathInfo": "/log"}, {"headers": conditional}, {"query": "x" * 5000}):
            self.assertIsNone(answer_memory.key({**page, **other}, b""), other)


class Policies(MirrorCase):
    """By what an answer is made of: an address has many spellings."""

    @classmethod
    def prepare(cls, repo):
        repo.hg("update", "-q", cls.tagged)
        script = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
        names = ("page.html", "x.xhtml", "x.svg", "x.xml", "x.js", "x.mht", "x.pdf", "none")
        cls.names = [name for name in names if repo.write(name, script) is None]
        cls.scripts = repo.commit("scripts", {})
        repo.hg("update", "-q", "null")

    def policies(self, page, query="", **options):
        head, data = self.get(page, query, **options)
        return head["status"], [value for name, value in head["headers"] if name == POLICY], data.decode("latin-1")

    def test_whatever_is_no_page_of_hgweb_is_in_a_sandbox_under_every_spelling(self):
        node = self.scripts
        pages = ["raw-file/%s/%s" % (node, name) for name in self.names]
        pages += ["/%72aw-file/" + node + "/page.html", "//raw-file/" + node + "/page.html", "raw-rev/" + node]
        pages += ["raw-file/%s/" % node, "archive/%s.zip" % node, "json-log", "atom-log", "rss-log", "raw-log"]
        pages += ["static/mercurial.js", "static/style-paper.css", "raw-diff/%s/x.svg" % node]
        pages += ["rawfile/%s/x.svg" % node]
        for page in pages:
            status, found, data = self.policies(page)
            self.assertTrue(found or "<script" not in data, (page, status))
            for policy in found:
                self.assertNotIn("unsafe-inline", policy)
                is_page = "nonce" in policy
                self.assertNotEqual(is_page, policy.endswith("sandbox"), page)
                self.assertTrue(not is_page or status != 200 or "<!DOCTYPE" in data, page)
            if page.split("/")[0] in ("raw-file", "archive", "json-log", "atom-log", "rss-log"):
                self.assertEqual((status, len(found)), (200, 1), page)
                self.assertIn("sandbox", found[0])
        for query in ("cmd=rawfile&node=%s&file=x.svg" % node, "cmd=heads", "cmd=listkeys&namespace=bookmarks"):
            self.assertIn("sandbox", self.policies("", query)[1][0], query)

    def test_pages_run_the_scripts_that_carry_their_nonce_and_no_others(self):
        nonces = set()
        for style in ("paper", "gitweb", "monoblue", "spartan", "coal"):
            for page in ("log", "graph", "rev/tip", "file/tip", "annotate/tip/a.txt", "shortlog", "rev/nowhere"):
                status, (policy,), data = self.policies(page, "style=" + style)
                self.assertNotIn("unsafe-inline", policy)
                nonce = re.search("script-src 'self' 'nonce-([^']+)'", policy).group(1)
                inside = re.findall("<script(?![^>]*src=)([^>]*)>", data)
                self.assertTrue(all('nonce="%s"' % nonce in tag for tag in inside), (style, page, inside))
                for attribute in set(re.findall(' style="([^"]*)"', data)):
                    fixed = attribute.encode() in content_policy.STYLES
                    self.assertTrue(fixed or attribute.startswith("width"), (style, page, attribute))
                nonces.add(nonce)
        self.assertEqual(len(nonces), 35)

    def test_a_page_that_has_not_changed_keeps_its_policy(self):
        etag = dict(self.get("log")[0]["headers"])["ETag"]
        self.assertEqual(self.policies("log", headers=[["If-None-Match", etag]]), (304, [], ""))

    def test_a_policy_of_the_site_is_for_pages_and_the_sandbox_stays(self):
        worker = Worker("[web]", "csp = default-src 'self'")
        for page, expected in (("log", 1), ("raw-file/tip/a.txt", 2)):
            head, _data = worker.request(self.repo.path, "x", page)
            found = [value for name, value in head["headers"] if name == POLICY]
            self.assertEqual((len(found), found[0]), (expected, "default-src 'self'"))
        worker.close()


class Streams(MirrorCase):
    def test_a_stream_needs_no_lock_when_its_state_is_known_and_waits_for_it_otherwise(self):
        worker = Worker("[hg-operator]", "stream-wait = 1")
        lock = os.path.join(self.repo.path, ".hg", "store", "lock")
        os.symlink("%s:%d" % (os.uname().nodename, os.getpid()), lock)
        try:
            head, data = worker.request(self.repo.path, self.name, "", "cmd=stream_out")
            self.assertEqual((head["status"], dict(head["headers"])["Retry-After"]), (503, "2"))
            timer = threading.Timer(0.3, os.unlink, [lock])
            timer.start()
            began = time.monotonic()
            head, data = worker.request(self.repo.path, self.name, "", "cmd=stream_out")
            self.assertEqual((head["status"], data[:2]), (200, b"0\n"))
            self.assertLess(time.monotonic() - began, 0.9)
            timer.join()
            os.symlink("%s:%d" % (os.uname().nodename, os.getpid()), lock)
            self.assertEqual(worker.request(self.repo.path, self.name, "", "cmd=stream_out")[1], data)
        finally:
            os.unlink(lock)
            worker.close()

    def test_a_kept_listing_follows_new_changesets(self):
        first = self.clone("before", "--stream")
        self.assertEqual(len(self.nodes(first)), 4)
        repo = self.repo
        repo.hg("update", "-q", self.tip)
        repo.commit("grown", {"a.txt": b"grown\n", "dir/b.txt": b"grown\n", "brand-new.txt": b"x\n"})
        repo.hg("update", "-q", "null")
        for shown, count in ((4, 4), (7, 7), (8, 8)):
            repo.show(shown)
            path = self.clone("grown-%d" % shown, "--stream")
            self.assertEqual(len(self.nodes(path)), count)
            hg("verify", "-q", "-R", path)
        repo.show(4)

    def test_a_revlog_that_is_split_while_a_stream_is_sent_is_sent_as_it_was(self):
        name = "data/grow.txt.i"
        repo = self.repo
        repo.hg("update", "-q", self.tip)
        for count in range(3):
            repo.commit("grow %d" % count, {"grow.txt": os.urandom(30000)})
        path = os.path.join(repo.path, ".hg", "store", name)
        before = _contents(path)
        listing = subprocess.Popen(
            [sys.executable, '-c', _SEND_LATER, repo.path, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**mirror_case.environment(), 'PYTHONPATH': os.path.dirname(mirror_case.HERE)},
        )  # fmt: skip
        self.assertEqual(listing.stdout.readline(), b"listed\n")
        repo.commit("split", {"grow.txt": os.urandom(90000)})
        self.assertTrue(os.path.exists(path[:-2] + ".d"))
        sent, _none = listing.communicate(b"\n", timeout=mirror_case.TIMEOUT_SECONDS)
        self.assertEqual(sent, before)
        repo.hg("update", "-q", "null")


TOO_LONG = "the answer would take more than 1 seconds of processor time: ask for less\n"
# Two seconds and more of different kinds of work.
SLOW = """
import hashlib, re, time
from mercurial import extensions
from mercurial.hgweb import webcommands

def search(original, web):
    re.match('(a*)*b', 'a' * 100)
    return original(web)

def digest(original, web):
    hashlib.pbkdf2_hmac('sha256', b'', b'', 1000 * 1000 * 1000)
    return original(web)

def loop(original, web):
    end = time.process_time() + 2
    while time.process_time() < end:
        pass
    return original(web)

def extsetup(ui):
    extensions.wrapfunction(webcommands, 'bookmarks', search)
    extensions.wrapfunction(webcommands, 'branches', digest)
    extensions.wrapfunction(webcommands, 'archive', loop)
"""

_SEND_LATER = """
import sys
try:
    from mercurial import initialization; initialization.init()
except ImportError: pass
from mercurial import hg, ui as uimod
from hg_operator import stream_clone
repo = hg.repository(uimod.ui.load(), sys.argv[1].encode())
name = sys.argv[2].encode()
listing = stream_clone._shown_listing(repo.unfiltered())
sys.stdout.write('listed\\n'); sys.stdout.flush()
sys.stdin.readline()
for chunk in stream_clone._contents_of(repo.unfiltered(), listing, name, listing.sizes[name]):
    sys.stdout.buffer.write(chunk)
"""


def _file(text):
    path = os.path.join(mirror_case.SCRATCH, "extension-%d.py" % hash(text))
    with open(path, "w") as file:
        file.write(text)
    return path


def _contents(path):
    with open(path, "rb") as file:
        return file.read()


if __name__ == "__main__":
    unittest.main()
