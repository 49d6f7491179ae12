# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository of a mirror, a web worker for it, and a small HTTP server in front, for the tests of view and web."""

import atexit
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from hg_operator import frames  # noqa: E402

TIMEOUT_SECONDS = 60
SCRATCH = tempfile.mkdtemp(prefix="hgop-view-")
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)

HGRC = """
[ui]
username = tester <tester@example.com>
timeout = 5
[phases]
publish = false
[experimental]
evolution = all
httppostargs = true
[format]
use-persistent-nodemap = no
use-share-safe = no
use-dirstate-v2 = no
revlog-compression = zstd
[web]
allow-archive = zip gz
push_ssl = false
allow-push = *
[server]
uncompressed = true
uncompressedallowsecret = false
"""


def pythons():
    """Every Python that can import Mercurial, as client; this one first."""
    candidates = os.environ.get("HG_PYTHONS", "/usr/bin/python3").split(":")
    found = [sys.executable]
    for path in candidates:
        if path not in found and subprocess.run([path, "-c", "import mercurial"], capture_output=True).returncode == 0:
            found.append(path)
    return found


def environment():
    rc = os.path.join(SCRATCH, "hgrc")
    if not os.path.exists(rc):
        with open(rc, "w") as file:
            file.write(HGRC)
    keep = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    return {**keep, "HGRCPATH": rc, "HGPLAIN": "1", "HGENCODING": "utf-8", "PYTHONDONTWRITEBYTECODE": "1"}


_MAIN = (
    "import sys\n"
    "try:\n    from mercurial import initialization; initialization.init()\nexcept ImportError: pass\n"
    "from mercurial import dispatch\ndispatch.run()\n"
)


def hg(*arguments, cwd=None, python=sys.executable, check=True):
    command = [python, "-c", _MAIN, *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    if check and done.returncode != 0:
        raise AssertionError("hg %s: %s%s" % (" ".join(arguments), done.stdout, done.stderr))
    return done


class Repository:
    """A repository that tests write to with hg itself; its state file is written by hand."""

    def __init__(self, name):
        self.path = os.path.join(SCRATCH, name)
        hg("init", self.path)

    def hg(self, *arguments, **options):
        return hg(*arguments, cwd=self.path, **options)

    def write(self, name, content):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    def commit(self, message, files, *arguments):
        for name, content in files.items():
            self.write(name, content)
        self.hg("addremove", "-q")
        self.hg("commit", "-m", message, "-d", "0 0", *arguments)
        return self.node(".")

    def node(self, revision):
        return self.hg("log", "-r", revision, "-T", "{node}", "--hidden").stdout

    def show(self, revisions, applied=None, **fields):
        """Writes the state as a lane would: all revisions applied, the first `revisions` shown."""
        if applied is None:
            applied = int(self.hg("log", "-r", "all()", "-T", "x", "--hidden").stdout.count("x"))
        state = {"applied": applied, "appliedRevisions": applied, "shown": revisions, "shownRevisions": revisions}
        path = os.path.join(self.path, ".hg", "store", "hg-operator-state")
        with open(path + ".new", "w") as file:
            file.write(json.dumps({**state, **fields}) + "\n")
        os.replace(path + ".new", path)

    def mirror(self):
        with open(os.path.join(self.path, ".hg", "hgrc"), "a") as file:
            file.write("[hg-operator]\nrole = mirror\n")


class Worker:
    """A web worker process and requests to it."""

    def __init__(self, *configuration):
        ours, theirs = socket.socketpair()
        command = [sys.executable, os.path.join(HERE, "web_worker.py"), str(theirs.fileno())]
        variables = environment()
        if configuration:
            extra = os.path.join(SCRATCH, "worker-%d.rc" % id(self))
            with open(extra, "w") as file:
                file.write("\n".join(configuration) + "\n")
            variables["HGRCPATH"] += os.pathsep + extra
        self.process = subprocess.Popen(
            command, env=variables, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        theirs.close()
        ours.settimeout(TIMEOUT_SECONDS)
        self.socket = ours
        self.connection = frames.Connection(ours)
        self.lock = threading.Lock()

    def close(self):
        self.socket.close()
        _none, errors = self.process.communicate(timeout=TIMEOUT_SECONDS)
        return errors.decode()

    def request(self, directory, path, page="", query="", method="GET", headers=(), body=b"", **fields):
        """(head, body); the head of an answer that is no HTTP answer is the frame itself."""
        message = {
            'directory': directory, 'repository': 1, 'path': path, 'method': method, 'query': query, 'pathInfo': page,
            'scheme': 'http', 'host': 'example.com:8000', 'remote': '127.0.0.1', 'headers': list(headers),
            **fields,
        }  # fmt: skip
        with self.lock:
            self.connection.send(message, body)
            head, _none = self.connection.receive()
            if "status" not in head:
                return head, b""
            parts = []
            while True:
                frame, part = self.connection.receive()
                if frame.get("end"):
                    return head, b"".join(parts)
                if "abort" in frame:
                    raise AssertionError("aborted: %s" % frame["abort"])
                parts.append(part)


class Front(http.server.ThreadingHTTPServer):
    """What the mirror's front does, without its policies: the first part of the path names the repository."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients that were answered with an error end their connections as they like

    def __init__(self, worker, directories):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.worker = worker
        self.directories = directories
        self.unknown = []
        self.url = "http://127.0.0.1:%d/" % self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _mark, query = self.path.partition("?")
        name, _slash, page = path.lstrip("/").partition("/")
        answer, data = self.server.worker.request(
            self.server.directories[name], name, page, query, self.command, list(self.headers.items()), body
        )
        if "unknown" in answer:
            self.server.unknown.append(answer["unknown"])
            data = b"unknown here\n"
            answer = {"status": 503, "reason": "Service Unavailable", "headers": [("Retry-After", "2")]}
        self.send_response(answer["status"], answer["reason"])
        for key, value in answer["headers"]:
            if key.lower() not in ("content-length", "connection"):
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_POST = do_HEAD = do_GET

    def log_message(self, *_arguments):
        pass


class MirrorCase(unittest.TestCase):
    """Four shown changesets of seven; class attributes hold their hashes."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        name = cls.__name__.lower()
        repo = cls.repo = Repository(name)
        random = b"".join(b"%d\n" % (i * 2654435761 % 2**32) for i in range(40000))
        cls.base = repo.commit("base", {"a.txt": b"one\n", "dir/b.txt": b"b\n", "big.bin": random})
        repo.hg("branch", "-q", "stable")
        cls.stable = repo.commit("stable", {"s.txt": b"s\n"})
        repo.hg("update", "-q", "default")
        cls.second = repo.commit("second", {"a.txt": b"two\n", "big.bin": random + b"second" * 9000})
        cls.tagged = repo.commit("tag v1", {".hgtags": b"%s v1\n" % cls.base.encode()})
        cls.hidden = repo.commit("hidden", {"a.txt": b"secret plan\n", "big.bin": random[::-1], "new.txt": b"new\n"})
        repo.hg("branch", "-q", "later")
        cls.later = repo.commit("later", {"a.txt": b"later\n"})
        repo.hg("update", "-q", cls.hidden)
        tags = b"%s v1\n%s v2\n" % (cls.base.encode(), cls.hidden.encode())
        cls.tip = repo.commit("tag v2", {".hgtags": tags})
        repo.hg("bookmark", "-r", cls.tagged, "main")
        repo.hg("bookmark", "-r", cls.tip, "future")
        repo.hg("update", "-q", "null")
        cls.prepare(repo)
        repo.mirror()
        repo.show(4)
        cls.worker = Worker()
        cls.front = Front(cls.worker, {name: repo.path})
        cls.name = name
        cls.url = cls.front.url + name

    @classmethod
    def prepare(cls, repo):
        """For subclasses: more before the repository becomes a mirror's."""

    @classmethod
    def tearDownClass(cls):
        cls.front.shutdown()
        cls.front.server_close()
        errors = cls.worker.close()
        if errors:
            sys.stderr.write(errors)

    def get(self, page="", query="", **options):
        return self.worker.request(self.repo.path, self.name, page, query, **options)

    def text(self, page="", query="", status=200):
        head, data = self.get(page, query)
        self.assertEqual(head.get("status"), status, (head, data[:500]))
        return data.decode(errors="replace")

    def json(self, page, query=""):
        return json.loads(self.text(page, query))

    def command(self, name, arguments="", status=200):
        return self.text("", "cmd=%s%s" % (name, "&" + arguments if arguments else ""), status)

    def clone(self, name, *arguments, python=sys.executable):
        path = os.path.join(SCRATCH, "%s-%s-%d" % (self.name, name, pythons().index(python)))
        hg("clone", "-U", *arguments, self.url, path, python=python)
        return path

    def nodes(self, path, python=sys.executable):
        return hg("log", "-R", path, "-r", "all()", "-T", "{node}\n", "--hidden", python=python).stdout.split()
