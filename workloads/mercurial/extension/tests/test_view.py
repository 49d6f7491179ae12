# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing hidden is seen by a reader who does not name it; everything applied is had by one who does."""

import io
import os
import unittest
import urllib.parse
import zipfile

from mirror_case import MirrorCase, Worker, hg, pythons

# Commands whose arguments are lists of hashes.
COMMANDS = {
    "between": ["pairs"],
    "branches": ["nodes"],
    "changegroup": ["roots"],
    "changegroupsubset": ["bases", "heads"],
    "getbundle": ["heads", "common"],
    "known": ["nodes"],
}


class Discovery(MirrorCase):
    def test_wire_commands_see_the_shown_prefix(self):
        self.assertEqual(sorted(self.command("heads").split()), sorted([self.tagged, self.stable]))
        self.assertEqual(self.command("branchmap"), "default %s\nstable %s" % (self.tagged, self.stable))
        self.assertEqual(self.command("listkeys", "namespace=bookmarks"), "main\t%s" % self.tagged)
        self.assertIn("bookmarks", self.command("listkeys", "namespace=namespaces"))
        phases = self.command("listkeys", "namespace=phases")
        self.assertEqual([line for line in phases.split("\n") if self.base in line], [self.base + "\t1"])
        batch = self.command("batch", "cmds=heads+%3Bknown+nodes%3D" + self.hidden)
        heads, known = batch.split(";")
        self.assertEqual((sorted(heads.split()), known), (sorted([self.tagged, self.stable]), "0"))
        self.assertEqual(self.command("known", "nodes=%s+%s+%s" % (self.base, "ab" * 20, "ff" * 20)), "100")

    def test_names_and_short_hashes_of_the_hidden_are_unknown(self):
        for key in (self.hidden[:12], "later", "future", "v2", "rev(6)"):
            self.assertEqual(self.command("lookup", "key=" + key), "0 unknown revision '%s'\n" % key)
        for key, node in (("tip", self.tagged), ("default", self.tagged), ("main", self.tagged), ("v1", self.base)):
            self.assertEqual(self.command("lookup", "key=" + key), "1 %s\n" % node)
        for key in (self.hidden[:12], "later", "v2", "5"):
            self.assertIn("unknown revision", self.text("json-rev/" + key, status=404))

    def test_pages_count_and_list_the_shown_prefix(self):
        log = self.json("json-log")
        self.assertEqual(log["changeset_count"], 4)
        self.assertEqual([e["node"] for e in log["changesets"]], [self.tagged, self.second, self.stable, self.base])
        self.assertEqual(self.json("json-rev/tip")["node"], self.tagged)
        self.assertEqual([tag["tag"] for tag in self.json("json-tags")["tags"]], ["v1"])
        self.assertEqual(sorted(b["branch"] for b in self.json("json-branches")["branches"]), ["default", "stable"])
        self.assertEqual([b["bookmark"] for b in self.json("json-bookmarks")["bookmarks"]], ["main"])
        self.assertEqual(self.json("json-graph")["changeset_count"], 4)
        self.assertEqual(self.text("raw-file/tip/a.txt"), "two\n")
        self.assertEqual(len(self.json("json-filelog/tip/a.txt")["entries"]), 2)
        head, data = self.get("archive/tip.zip")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
        self.assertTrue(all(name.startswith("%s-%s/" % (self.name, self.tagged[:12])) for name in names), names)
        pages = ("", "log", "shortlog", "graph", "gitweb-summary", "tags", "branches", "bookmarks")
        pages += ("file/tip", "atom-log")
        for page in pages:
            text = self.text(page)
            for node in (self.hidden, self.later, self.tip):
                self.assertNotIn(node[:12], text, page)
        self.assertIn("second", self.text("gitweb-summary"))
        self.assertEqual(self.json("json-log", "rev=hidden")["entries"], [])

    def test_clients_of_every_version_clone_what_is_shown(self):
        for python in pythons():
            for name, arguments in (("pull", ["--pull"]), ("stream", ["--stream"])):
                with self.subTest(python=python, kind=name):
                    path = self.clone(name, *arguments, python=python)
                    expected = [self.base, self.stable, self.second, self.tagged]
                    self.assertEqual(self.nodes(path, python), expected)
                    hg("verify", "-q", "-R", path, python=python)
                    self.assertEqual(hg("bookmarks", "-R", path, "-T", "{bookmark}", python=python).stdout, "main")
                    self.assertEqual(hg("log", "-R", path, "-r", "draft()", "-T", "d", python=python).stdout, "dddd")
                    self.assertNotIn(self.hidden, _store_text(path))
            got = hg("id", "-T", "{node}", self.url, python=python).stdout
            self.assertEqual(got, self.tagged)
            quiet = hg("incoming", "-R", path, self.url, python=python, check=False)
            self.assertEqual((quiet.returncode, "no changes found" in quiet.stdout), (1, True))

    def test_old_streams_are_cut_too(self):
        for python in pythons():
            off = ["--config", "devel.legacy.exchange=bundle1", "--config", "experimental.bundle2-advertise=no"]
            path = self.clone("stream-1", "--stream", *off, python=python)
            self.assertEqual(self.nodes(path, python), [self.base, self.stable, self.second, self.tagged])
            hg("verify", "-q", "-R", path, python=python)
        head, data = self.get("", "cmd=stream_out")
        self.assertEqual(data[:2], b"0\n")
        self.assertNotIn(bytes.fromhex(self.hidden), data)

    def test_full_hashes_are_answered_before_they_are_shown(self):
        self.assertEqual(self.command("lookup", "key=" + self.later), "1 %s\n" % self.later)
        self.assertEqual(self.json("json-rev/" + self.later)["node"], self.later)
        self.assertEqual(self.json("json-changeset", "node=" + self.later)["node"], self.later)
        self.assertEqual(self.text("raw-file/%s/a.txt" % self.later), "later\n")
        self.assertEqual(self.json("json-log", "rev=" + self.later)["entries"][0]["node"], self.later)
        self.assertEqual(self.text("raw-file/tip/a.txt"), "two\n")
        self.text("file/%s/dir" % self.hidden)
        head, data = self.get("archive/%s.zip" % self.hidden)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            self.assertIn("%s-%s/new.txt" % (self.name, self.hidden), archive.namelist())
        between = self.command("between", "pairs=%s-%s" % (self.later, self.base))
        self.assertEqual(between, "%s %s\n" % (self.hidden, self.tagged))
        self.assertIn(self.later, self.command("branches", "nodes=" + self.later))

    def test_clients_pull_hidden_changesets_by_full_hash(self):
        for python in pythons():
            path = self.clone("named", "-r", self.base, python=python)
            self.assertEqual(self.nodes(path, python), [self.base])
            refused = hg("pull", "-R", path, "-r", self.hidden[:12], python=python, check=False)
            self.assertIn("unknown revision", refused.stderr)
            hg("pull", "-R", path, "-r", self.hidden, python=python)
            self.assertEqual(self.nodes(path, python), [self.base, self.second, self.tagged, self.hidden])
            # The client has more than is shown: discovery and a plain pull bring what is shown, nothing else.
            hg("pull", "-R", path, python=python)
            self.assertEqual(len(self.nodes(path, python)), 5)
            hg("id", "-r", self.later, self.url, python=python)
            everything = self.clone("named-clone", "-r", self.tip, python=python)
            self.assertIn(self.tip, self.nodes(everything, python))

    def test_hashes_that_are_not_here_are_reported(self):
        nowhere = "ab" * 20
        unknown = {"unknown": [nowhere]}
        for query in (
            "cmd=lookup&key=" + nowhere,
            "cmd=batch&cmds=heads+%3Blookup+key%3D" + nowhere,
            "cmd=getbundle&common=&heads=" + nowhere,
            "cmd=changegroupsubset&bases=%s&heads=%s" % ("00" * 20, nowhere),
            "node=" + nowhere + "&cmd=changeset",
            "rev=" + nowhere,
        ):
            self.assertEqual(self.get("", query)[0], unknown, query)
        for page in ("rev/", "raw-file/", "file/", "json-rev/", "archive/"):
            rest = {"archive/": ".zip", "raw-file/": "/a.txt"}.get(page, "")
            self.assertEqual(self.get(page + nowhere + rest)[0], unknown, page)
        head, _data = self.get("", "cmd=getbundle&bundlecaps=HG20&common=%s&heads=%s" % (nowhere, self.tagged))
        self.assertEqual(head["status"], 200)
        self.assertEqual(self.get("rev/" + nowhere[:12])[0]["status"], 404)
        self.assertEqual(self.get("raw-file/tip/" + nowhere)[0]["status"], 404)

    def test_a_hash_that_is_nowhere_is_unknown_as_over_ssh(self):
        nowhere = "ab" * 20
        for query, expected in (
            ("cmd=lookup&key=" + nowhere, "0 unknown revision '%s'\n" % nowhere),
            ("cmd=batch&cmds=lookup+key%3D" + nowhere, "0 unknown revision '%s'\n" % nowhere),
            ("cmd=getbundle&common=&heads=" + nowhere, "unknown revision '%s'\n" % nowhere),
            ("cmd=changegroupsubset&bases=%s&heads=%s" % ("00" * 20, nowhere), "unknown revision '%s'\n" % nowhere),
        ):
            head, data = self.get("", query, definite=True)
            self.assertEqual((head["status"], data.decode()), (200, expected), query)
            self.assertEqual(self.get("", query)[0], {"unknown": [nowhere]}, "and the next one is not told so")
        for page in ("rev/", "raw-file/", "file/", "json-rev/", "archive/"):
            rest = {"archive/": ".zip", "raw-file/": "/a.txt"}.get(page, "")
            self.assertEqual(self.get(page + nowhere + rest, definite=True)[0]["status"], 404, page)
        self.assertEqual(self.get("json-rev/" + self.later, definite=True)[0]["status"], 200)

    def test_nonsense_is_one_sentence_or_the_right_answer(self):
        worker = Worker()
        wdir, known, zeros = "ff" * 20, self.base, "00" * 20
        answers = {
            "cmd=known&nodes=" + wdir: (200, "0"),
            "cmd=lookup&key=" + wdir: (200, "0 unknown revision '"),
            "cmd=getbundle&heads=%s&common=" % wdir: (200, "unknown revision"),
            "cmd=getbundle&heads=%s&common=%s" % (known, wdir): (200, ""),
            "cmd=changegroupsubset&bases=%s&heads=%s" % (zeros, wdir): (200, "unknown revision"),
            "cmd=changegroupsubset&bases=%s&heads=%s" % (wdir, known): (200, "unknown revision"),
            "cmd=changegroup&roots=" + wdir: (200, "unknown revision"),
            "cmd=changegroup&roots=" + "ab" * 20: (200, "unknown revision"),
            "cmd=between&pairs=%s-%s" % (wdir, wdir): (200, ""),
            "cmd=between&pairs=%s-%s" % (known, wdir): (200, ""),
            "cmd=between&pairs=%s-%s" % ("ab" * 20, known): (200, "unknown revision"),
            "cmd=branches&nodes=" + wdir: (200, "unknown revision"),
            "cmd=branches&nodes=" + "ab" * 20: (200, "unknown revision"),
            "cmd=listkeys&namespace=%ff%00": (200, ""),
            "cmd=lookup&key=%ff%00%0a": (200, "0 "),
            "cmd=getbundle&bundlecaps=HG20%2Cbundle2%3D%25zz&cg=x&stream=y&bookmarks=z": (200, ""),
            "cmd=getbundle&obsmarkers=1&phases=1": (400, "getbundle: "),
            "cmd=getbundle&bundlecaps=HG10UN&cg=0": (400, "getbundle: "),
            "cmd=getbundle&includepats=re:(a*)*b": (400, "getbundle: "),
            "cmd=debugwireargs&one=1": (400, "debugwireargs needs the argument two"),
            "cmd=batch&cmds=nothing+": (400, "cmds of batch has nothing,"),
            "cmd=batch&cmds=": (400, "cmds of batch has nothing,"),
            "cmd=batch&cmds=getbundle+": (400, "cmds of batch has getbundle,"),
            "cmd=batch&cmds=stream_out+": (400, "cmds of batch has stream_out,"),
            "cmd=batch&cmds=heads+%3Bknown+nodes": (400, "cmds of batch has nodes where"),
            "cmd=batch&cmds=known+nodes%3Dzz": (400, "nodes of known must be hashes"),
            "cmd=batch&cmds=lookup+": (400, "lookup needs the argument key"),
            "cmd=batch&cmds=batch+cmds%3Dheads": (400, "cmds of batch has heads,"),
            "cmd=nothing": (400, ""),
            "cmd=%ff%00": (400, ""),
        }
        for command, names in COMMANDS.items():
            for name in names:
                others = "".join("&%s=%s" % (other, zeros) for other in names if other != name)
                answers["cmd=%s%s" % (command, others)] = (400, "%s needs the argument %s" % (command, name))
                more = (known + "%0a", known + "," + known, known + "++" + known)
                for nonsense in ("zz", "f" * 39, "f" * 41, "%ff", *more):
                    query = "cmd=%s%s&%s=%s" % (command, others, name, nonsense)
                    answers[query] = (400, "%s of %s must be " % (name, command))
        for query, (status, begin) in answers.items():
            if "cmd=getbundle&" in query and "needs" in begin:
                continue  # all of its arguments may be left out
            head, data = worker.request(self.repo.path, "x", "", query)
            self.assertEqual(head.get("status"), status, (query, head, data[:200]))
            self.assertTrue(data.decode("latin-1").startswith(begin), (query, data[:200]))
            self.assertTrue(status == 200 or data.count(b"\n") == 1 or b"<html" in data, (query, data))
        head, _data = worker.request(self.repo.path, "x", "", "cmd=known", headers=[["X-HgArgs-Post", "x"]])
        self.assertEqual(head["status"], 400)
        for page in ("rev/", "raw-file/", "file/", "json-rev/", "archive/", "log/", "graph/", "annotate/"):
            rest = {"archive/": ".zip", "raw-file/": "/a.txt", "annotate/": "/a.txt"}.get(page, "")
            head, _data = worker.request(self.repo.path, "x", page + wdir + rest)
            self.assertEqual(head.get("status"), 404, page)
        self.assertEqual(worker.close(), "")

    def test_pushes_are_refused(self):
        for python in pythons():
            path = self.clone("push", python=python)
            hg("commit", "-R", path, "-m", "x", "--config", "ui.allowemptycommit=1", python=python)
            refused = hg("push", "-f", "-R", path, self.url, python=python, check=False)
            self.assertEqual(refused.returncode, 255)
            self.assertIn("abort: authorization failed", refused.stderr)
        arguments = "namespace=bookmarks&key=main&old=%s&new=%s" % (self.tagged, self.base)
        in_batch = arguments.replace("&", "%2C").replace("=", "%3D")
        for query in ("cmd=pushkey&" + arguments, "cmd=batch&cmds=pushkey+" + in_batch):
            head, _data = self.get("", query, method="POST")
            self.assertEqual(head["status"], 401, query)


class HiddenRoot(MirrorCase):
    """Everything shown is public, so that the draft phase begins at a hidden changeset."""

    @classmethod
    def prepare(cls, repo):
        repo.hg("phase", "-p", "-r", "%s+%s" % (cls.tagged, cls.stable))

    def test_phases_do_not_name_hidden_changesets(self):
        self.assertEqual(self.command("listkeys", "namespace=phases"), "")
        for python in pythons():
            path = self.clone("stream", "--stream", python=python)
            self.assertEqual(len(self.nodes(path, python)), 4)
            self.assertNotIn(self.hidden, _store_text(path))
            self.assertEqual(hg("log", "-R", path, "-r", "public()", "-T", "p", python=python).stdout, "pppp")


class Pruned(MirrorCase):
    """`later`, a draft on public changesets, is pruned by somebody else after a client has pulled it."""

    @classmethod
    def prepare(cls, repo):
        repo.hg("bookmark", "-q", "-d", "future")
        repo.hg("phase", "-p", "-r", "%s+%s" % (cls.tip, cls.stable))

    def test_whoever_has_a_pruned_draft_keeps_it_as_a_draft(self):
        self.repo.show(7)
        clones = [(python, self.clone("pruned", python=python)) for python in pythons()]
        self.repo.hg("debugobsolete", self.later)
        self.repo.show(7)
        self.assertEqual(self.command("known", "nodes=" + self.later), "0")
        self.assertEqual(self.command("listkeys", "namespace=phases"), self.later + "\t1")
        self.repo.show(4)
        self.assertEqual(self.command("listkeys", "namespace=phases"), "")
        for shown in (7, 4):
            self.repo.show(shown)
            for python, path in clones:
                for legacy in ("phases", "phases,bundle1", ""):
                    with self.subTest(python=python, legacy=legacy, shown=shown):
                        settings = ("devel.legacy.exchange=" + legacy, "experimental.evolution=")
                        options = [word for setting in settings for word in ("--config", setting)]
                        hg("pull", "-R", path, *options, python=python)
                        self.assertEqual(self.phase(path, python), "draft")

    def test_a_draft_that_is_not_shown_yet_is_pulled_by_its_hash_as_a_draft(self):
        self.repo.show(4)
        for python in pythons():
            path = self.clone("named", "-r", self.base, python=python)
            hg("pull", "-R", path, "-r", self.later, "--config", "devel.legacy.exchange=phases", python=python)
            self.assertEqual(self.phase(path, python), "draft")

    def phase(self, path, python):
        return hg("log", "-R", path, "-r", self.later, "--hidden", "-T", "{phase}", python=python).stdout


class Names(MirrorCase):
    """With other letters than ASCII has."""

    FILE, BRANCH, TAG, BOOKMARK = "höhe/größe.txt", "zweig-ä", "márka", "ярлык"

    @classmethod
    def prepare(cls, repo):
        repo.hg("update", "-q", cls.tagged)
        repo.hg("branch", "-q", cls.BRANCH)
        cls.named = repo.commit("Größe", {cls.FILE: b"x\n"})
        repo.hg("update", "-q", cls.tagged)
        cls.tags = repo.commit('tag', {'.hgtags': b'%s v1\n%s %s\n' % (
            cls.base.encode(), cls.named.encode(), cls.TAG.encode())})  # fmt: skip
        repo.hg("bookmark", "-r", cls.named, cls.BOOKMARK)
        repo.hg("update", "-q", "null")

    def test_names_are_shown_and_found_in_every_place(self):
        self.repo.show(9)
        quoted = urllib.parse.quote
        for name in (self.BRANCH, self.TAG, self.BOOKMARK):
            self.assertEqual(self.json("json-rev/" + quoted(name))["node"], self.named)
            self.assertEqual(self.json("json-log", "rev=" + quoted(name))["entries"][0]["node"], self.named)
            self.assertEqual(self.json("json-changeset", "node=" + quoted(name))["node"], self.named)
            self.assertEqual(self.command("lookup", "key=" + quoted(name)), "1 %s\n" % self.named)
            answer = self.get("", "cmd=lookup", headers=[["X-HgArg-1", "key=" + quoted(name)]])[1]
            self.assertEqual(answer.decode(), "1 %s\n" % self.named)
            body = b"key=" + quoted(name).encode()
            posted = self.get("", "cmd=lookup", method="POST", headers=[["X-HgArgs-Post", str(len(body))]], body=body)
            self.assertEqual(posted[1].decode(), "1 %s\n" % self.named)
        for page in ("raw-file/tip/", "raw-file/%s/" % self.named, "raw-annotate/%s/" % self.named):
            node_here = self.named in page
            self.text(page + quoted(self.FILE), status=200 if node_here else 404)
        head, _data = self.get("raw-file/%s/%s" % (self.named, quoted(self.FILE)))
        disposition = "inline; filename*=UTF-8''" + quoted("größe.txt")
        self.assertEqual(dict(head["headers"])["Content-Disposition"], disposition)
        self.assertEqual(self.get("archive/%s.zip" % quoted(self.BOOKMARK))[0]["status"], 200)
        shown = self.text("file/%s/%s" % (self.named, quoted("höhe")))
        self.assertIn("größe.txt", shown)
        self.assertIn(quoted("größe.txt").lower(), shown.lower())
        self.assertIn(self.BOOKMARK, self.text("bookmarks"))
        self.assertEqual(self.json("json-log", "rev=" + quoted("Größe"))["entries"][0]["node"], self.named)
        for python in pythons():
            for name in (self.BRANCH, self.TAG, self.BOOKMARK):
                found = hg("id", "--debug", "-i", "-r", name, self.url, python=python).stdout
                self.assertIn(self.named, found)
            path = self.clone("names", "-r", self.BRANCH, python=python)
            self.assertIn(self.named, self.nodes(path, python))

    def test_letters_that_are_no_utf_8_are_unknown_and_no_failure(self):
        for page in ("json-rev/%ff", "raw-file/tip/%ff%fe", "file/tip/%c3", "%ff"):
            self.assertIn(self.get(page)[0]["status"], (400, 403, 404), page)
        self.assertEqual(self.json("json-log", "rev=%ff")["entries"], [])


class Showing(MirrorCase):
    def test_a_state_that_moves_is_seen_at_the_next_request(self):
        self.assertEqual(self.json("json-log")["changeset_count"], 4)
        etag = dict(self.get("json-tags")[0]["headers"])["ETag"]
        self.repo.show(7)
        self.assertEqual(self.json("json-log")["changeset_count"], 7)
        self.assertNotEqual(dict(self.get("json-tags")[0]["headers"])["ETag"], etag)
        self.assertEqual([tag["tag"] for tag in self.json("json-tags")["tags"]], ["v2", "v1"])
        self.assertEqual(sorted(self.command("heads").split()), sorted([self.tip, self.later, self.stable]))
        self.assertIn("future", self.command("listkeys", "namespace=bookmarks"))
        self.assertEqual(len(self.nodes(self.clone("all", "--stream"))), 7)
        self.repo.show(5)
        self.assertEqual(self.command("branchmap").count("\n"), 1)
        self.assertEqual(len(self.nodes(self.clone("five", "--stream"))), 5)
        os.unlink(os.path.join(self.repo.path, ".hg/store/hg-operator-state"))
        self.assertEqual(self.command("heads"), "0" * 40 + "\n")
        for python in pythons():
            self.assertEqual(self.nodes(self.clone("none", python=python), python), [])
        self.repo.show(4)


class Obsolete(MirrorCase):
    """`second` and what is above it was rewritten; one changeset is secret."""

    @classmethod
    def prepare(cls, repo):
        repo.hg("update", "-q", cls.stable)
        cls.secret = repo.commit("confidential", {"s.txt": b"confidential\n"}, "--secret")
        repo.hg("update", "-q", "null")
        for node in (cls.tip, cls.later, cls.hidden):
            repo.hg("bookmark", "-q", "-d", "future", check=False)
            repo.hg("debugobsolete", node)

    def test_full_hashes_of_the_obsolete_are_answered_of_the_secret_not(self):
        self.repo.show(8)
        self.assertEqual(sorted(self.command("heads").split()), sorted([self.tagged, self.stable]))
        self.assertEqual(self.command("lookup", "key=" + self.hidden), "1 %s\n" % self.hidden)
        self.assertEqual(self.text("raw-file/%s/a.txt" % self.hidden), "secret plan\n")
        self.assertEqual(self.command("lookup", "key=" + self.hidden[:12])[0], "0")
        self.assertEqual(self.command("lookup", "key=" + self.secret)[0], "0")
        self.assertEqual(self.command("known", "nodes=%s+%s+%s" % (self.hidden, self.secret, self.tagged)), "001")
        self.text("rev/" + self.secret, status=404)
        self.text("raw-file/%s/s.txt" % self.secret, status=404)
        self.assertIn("unknown revision", self.command("getbundle", "bundlecaps=HG20&heads=" + self.secret))
        for python in pythons():
            path = self.clone("obsolete", "-r", self.hidden, python=python)
            self.assertIn(self.hidden, self.nodes(path, python))
            refused = hg("pull", "-R", path, "-r", self.secret, python=python, check=False)
            self.assertNotEqual(refused.returncode, 0)
            fallen_back = self.clone("no-stream", "--stream", python=python)
            self.assertNotIn(self.secret, self.nodes(fallen_back, python))

    def test_what_is_stripped_is_gone_for_every_request(self):
        self.repo.show(8, stripping=[self.second])
        try:
            for node in (self.second, self.tagged, self.hidden):
                self.assertEqual(self.command("lookup", "key=" + node)[0], "0")
                self.text("rev/" + node, status=404)
            self.assertEqual(sorted(self.command("heads").split()), [self.stable])
            self.assertEqual(self.nodes(self.clone("stripping", "--stream")), [self.base, self.stable])
            self.assertNotIn("streamreqs", self.command("capabilities"))
        finally:
            self.repo.show(8)


def _store_text(path):
    """Every small file below .hg, as one text: no hash may be in any of them."""
    found = []
    for folder, _folders, names in os.walk(os.path.join(path, ".hg")):
        for name in names:
            if not name.endswith((".i", ".d")):
                with open(os.path.join(folder, name), "rb") as file:
                    found.append(file.read().decode("latin-1"))
    return "\n".join(found)


if __name__ == "__main__":
    unittest.main()
