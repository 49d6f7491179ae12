# SPDX-License-Identifier: GPL-2.0-or-later
"""One instance's Python side with a gate that lives in the test, and a real hg as client."""

import array
import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import weakref

EXTENSION = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, EXTENSION)

from hg_operator import frames  # noqa: E402

DEADLINE_SECONDS = 60
SETTINGS = {"description": "A test", "publishing": True, "obsolescence": False}
# Commands of a client that talk to no server.
_LOCAL = frozenset(["init", "commit", "id", "log", "bookmark", "branch", "update", "phase", "tag"])
_SSH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ssh_to_zygote.py")


def pythons():
    """Every Mercurial to test with, this process's first."""
    named = os.environ.get("HG_PYTHONS", "")
    found = [sys.executable] + [path for path in named.split(":") if path]
    found += ["/usr/bin/python3", os.path.join(os.environ.get("HGOP_VENV", "/nonexistent"), "bin/python")]
    usable = []
    for path in found:
        real = path
        if real in usable or not os.access(real, os.X_OK):
            continue
        if subprocess.run([real, "-c", "import mercurial"], capture_output=True).returncode == 0:
            usable.append(real)
    versions = {}
    for path in usable:
        versions.setdefault(version(path), path)
    return list(versions.values())


def version(python):
    code = "from mercurial import util; print(util.version().decode())"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def wait_until(condition, what):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("not within %d s: %s" % (DEADLINE_SECONDS, what))
        time.sleep(0.005)


class FakeGate:
    """Records pushes in memory, numbered from 100; `answers` replaces the answer to an operation."""

    def __init__(self, path):
        self.path = path
        self.records = []
        self.asked = []
        self.closed = []
        self.answers = {}
        self.next_offset = 100
        self.push_ids = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def stop(self):
        if self._listener.fileno() < 0:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self):
        while True:
            try:
                sock, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock, contextlib.suppress(OSError, frames.FrameError):
            connection = frames.Connection(sock)
            while True:
                received = connection.receive()
                if received is None:
                    return
                request, body = received
                self.asked.append(request)
                answer = self.answers.get(request["op"])
                answer = answer(request, body) if callable(answer) else answer
                if answer == "hang up":
                    return
                connection.send(answer or self._answer(request, body))

    def _answer(self, request, body):
        if request["op"] == "append":
            return self.record(request, body)
        if request["op"] == "closed":
            self.closed.append((request["offset"], request.get("failed", False)))
        return {"ok": {}}

    def record(self, request, body):
        push = dict(request["push"])
        payloads = {}
        start = 0
        for name in ("bundle", "markers"):
            payload = push.pop(name)
            if payload and "inline" in payload:
                payloads[name] = body[start : start + payload["inline"]]
                start += payload["inline"]
            elif payload:
                with open(payload["file"], "rb") as file:
                    payloads[name] = file.read()
                os.unlink(payload["file"])
                assert hashlib.sha256(payloads[name]).hexdigest() == payload["digest"]
                assert len(payloads[name]) == payload["size"]
        offset = self.next_offset
        self.next_offset += 1
        push_id = None
        if push["changesets"]:
            self.push_ids += 1
            push_id = self.push_ids
        self.records.append(
            {"offset": offset, "pushId": push_id, "time": 1469000000 + offset, "user": request["user"],
             "applied": request["applied"], "push": push, "payloads": payloads}
        )  # fmt: skip
        return {"recorded": {"offset": offset, "pushId": push_id, "time": 1469000000 + offset, "seconds": 0.003}}


def push_of(record):
    """A record as lane requests have it: (push, body)."""
    push = {key: record["push"][key] for key in ("changesets", "nodes", "tip", "bookmarks", "published")}
    body = b""
    for name in ("bundle", "markers"):
        data = record["payloads"].get(name)
        push[name] = None if data is None else {"inline": len(data)}
        body += data or b""
    return {**push, "pushId": record["pushId"], "user": record["user"], "time": record["time"]}, body


class LaneError(Exception):
    def __init__(self, fields):
        super().__init__(fields["message"])
        self.kind = fields["kind"]


class Lane:
    def __init__(self, instance):
        self.connection = instance.connect()
        self.connection.send({"mode": "lane"})
        self.pid = self.connection.receive()[0]["pid"]
        self._instance = instance

    def ask(self, op, directory, body=b"", **fields):
        request = {"op": op, "directory": self._instance.directory(directory), "timeout": 2, **fields}
        self.connection.send(request, body)
        answer, _body = self.connection.receive()
        if "error" in answer:
            raise LaneError(answer["error"])
        return answer["ok"]

    def init(self, name="r", offset=10, hidden=False, **settings):
        settings = {**SETTINGS, **settings}
        return self.ask("init", name, offset=offset, settings=settings, path="a/" + name, hidden=hidden)

    def apply(self, record, name="r", hidden=False):
        return self._payload("apply", record, name, hidden=hidden)

    def show(self, record, name="r"):
        return self._payload("show", record, name)

    def _payload(self, op, record, name, **fields):
        push, body = push_of(record)
        if len(body) > 256 * 1024:
            for key in ("bundle", "markers"):
                if push[key]:
                    push[key] = {"file": self._instance.spooled(record["payloads"][key])}
            body = b""
        return self.ask(op, name, body, offset=record["offset"], push=push, **fields)


class Instance:
    """A zygote of one Mercurial with its folders; `role` as in the configuration."""

    def __init__(self, root, python=sys.executable, role="ssh", gate=None, config="", background=False):
        self.root = root
        self.python = python
        self.gate = gate
        os.makedirs(os.path.join(root, "spool"))
        os.makedirs(os.path.join(root, "repositories"))
        self.hgrc = os.path.join(root, "hgrc")
        self.configure(role, config)
        self.socket = os.path.join(root, "zygote.sock")
        fields = {
            "socket": self.socket,
            "hgrc": self.hgrc,
            "extension": os.path.join(EXTENSION, "hg_operator"),
            "gate": gate and gate.path,
            "spool": os.path.join(root, "spool"),
            "background": background,
            "parent": os.getpid(),
        }
        with open(os.path.join(root, "config.json"), "w") as file:
            json.dump(fields, file)
        script = os.path.join(EXTENSION, "hg_operator", "zygote.py")
        self.log = open(os.path.join(root, "log"), "w+")
        # As the instance starts it.
        self.temporary = os.path.join(root, "tmp")
        os.mkdir(self.temporary)
        self.process = subprocess.Popen(
            [python, script, os.path.join(root, "config.json")], stdout=subprocess.PIPE, stderr=self.log,
            env={**os.environ, "TMPDIR": self.temporary},
        )  # fmt: skip
        line = self.process.stdout.readline()
        if not line.startswith(b"ready "):
            self.log.seek(0)
            text = self.log.read()
            self.stop()
            raise AssertionError("the zygote did not start: %r\n%s" % (line, text))
        self.version = json.loads(line[6:])["mercurial"]

    def configure(self, role, config):
        with open(self.hgrc, "w") as file:
            file.write("[extensions]\nhg_operator = %s/hg_operator\n" % EXTENSION)
            file.write("[hg-operator]\nrole = %s\n%s\n" % (role, config))

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def directory(self, name):
        return os.path.join(self.root, "repositories", name)

    def file(self, name, path):
        with open(os.path.join(self.directory(name), ".hg", path), "rb") as file:
            return file.read()

    def spooled(self, data):
        path = os.path.join(self.root, "spool", hashlib.sha256(data).hexdigest())
        with open(path, "wb") as file:
            file.write(data)
        return path

    def connect(self):
        return frames.connect(self.socket)


def serve(instance, name, user="somebody@example.com", may_write=True):
    """Starts a serve child on this process's own pipes; answers (connection, stdin, stdout, stderr)."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(instance.socket)
    pipes = [os.pipe() for _ in range(3)]
    theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
    send_serve(sock, theirs, instance.directory(name), user, may_write)
    for descriptor in theirs:
        os.close(descriptor)
    return (
        frames.Connection(sock),
        os.fdopen(pipes[0][1], "wb", 0),
        os.fdopen(pipes[1][0], "rb"),
        os.fdopen(pipes[2][0], "rb"),
    )


def send_serve(sock, descriptors, directory, user, may_write):
    request = {
        "mode": "serve", "directory": directory, "repository": 7, "path": "a/b", "user": user,
        "mayWrite": may_write, "env": {"SSH_CLIENT": "127.0.0.1 1 2"},
    }  # fmt: skip
    text = json.dumps(request).encode()
    data = len(text).to_bytes(4, "big") + text
    sent = sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])
    sock.sendall(data[sent:])


class CommandServer:
    """A hg that stays (`hg help internals.cmdserver`): most of what a small command costs is the start."""

    def __init__(self, command, root, env):
        command = [*command, "serve", "--cmdserver", "pipe"]
        self._process = subprocess.Popen(command, cwd=root, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._next()

    def run(self, arguments):
        """Answers the exit code, and what was printed to stdout and stderr."""
        data = b"\0".join(os.fsencode(argument) for argument in arguments)
        self._process.stdin.write(b"runcommand\n" + len(data).to_bytes(4, "big") + data)
        self._process.stdin.flush()
        printed = {b"o": b"", b"e": b""}
        while True:
            channel, data = self._next()
            if channel == b"r":
                return int.from_bytes(data, "big", signed=True), printed[b"o"].decode(), printed[b"e"].decode()
            printed[channel] += data

    def _next(self):
        head = self._process.stdout.read(5)
        return head[:1], self._process.stdout.read(int.from_bytes(head[1:], "big"))

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


class Client:
    """A working copy, or any other use of hg as a person runs it."""

    def __init__(self, root, python=sys.executable):
        self.root = root
        self.python = python
        self.hg = os.path.join(os.path.dirname(python), "hg")
        self._server = None
        os.makedirs(root, exist_ok=True)

    def run(self, *arguments, expect=0, env=None):
        base = {key: value for key, value in os.environ.items() if not key.startswith("HG")}
        base.update({"HGRCPATH": "", "HGUSER": "A Client <c@example.com>", "HGPLAIN": "1", **(env or {})})
        options = ["--config", "ui.ssh=%s %s" % (self.python, _SSH), "--config", "ui.timeout=30"]
        hg = [self.python, self.hg]
        if env is None and arguments[0] in _LOCAL and not any("extensions" in argument for argument in arguments):
            if self._server is None:
                self._server = CommandServer(hg, self.root, base)
                weakref.finalize(self, self._server.close)
            code, out, err = self._server.run([*options, *arguments])
        else:
            done = subprocess.run([*hg, *options, *arguments], cwd=self.root, env=base, capture_output=True, text=True)
            code, out, err = done.returncode, done.stdout, done.stderr
        if expect is not None and code != expect:
            raise AssertionError("%r ended with %d:\n%s%s" % (arguments, code, out, err))
        return out + err

    def url(self, instance, name="r"):
        return "ssh://x/" + instance.directory(name)

    def commit(self, name, content=None, *arguments):
        with open(os.path.join(self.root, name), "a") as file:
            file.write(content or name + "\n")
        self.run("commit", "-A", "-q", "-m", "change " + name, "-d", "0 0", *arguments)
        return self.run("id", "-i", "--debug", "-r", ".").strip()

    def push(self, instance, *arguments, name="r", expect=0, env=None):
        environment = {"ZYGOTE": instance.socket, **(env or {})}
        return self.run("push", self.url(instance, name), *arguments, expect=expect, env=environment)


class Case(unittest.TestCase):
    """Has a gate, an SSH instance with the repository `r`, a lane and an empty client."""

    config = ""
    settings = {}

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="hgop-")
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        self.gate = FakeGate(os.path.join(self.root, "gate.sock"))
        self.addCleanup(self.gate.stop)
        self.ssh = self.instance("ssh", gate=self.gate, config=self.config)
        self.lane = Lane(self.ssh)
        self.lane.init(**self.settings)
        self.client = Client(os.path.join(self.root, "client"))
        self.client.run("init")

    def instance(self, name, **options):
        instance = Instance(os.path.join(self.root, name), **options)
        self.addCleanup(instance.stop)
        return instance

    def mirror(self, name="mirror", **options):
        """Another instance with its lane and a repository `r`."""
        instance = self.instance(name, role="mirror", **options)
        lane = Lane(instance)
        lane.init(**self.settings)
        return instance, lane

    def history(self, make):
        """The repository and the records that `make(self)` pushes, which is done once for all tests of a class."""
        kept = type(self).__dict__.get("_kept_history")
        directory = self.ssh.directory("r")
        if kept is None:
            make(self)
            copy = tempfile.mkdtemp(prefix="hgop-history-")
            type(self).addClassCleanup(shutil.rmtree, copy)
            shutil.copytree(directory, os.path.join(copy, "r"))
            type(self)._kept_history = copy, list(self.gate.records)
        else:
            shutil.rmtree(directory)
            shutil.copytree(os.path.join(kept[0], "r"), directory)
            self.gate.records = list(kept[1])
            self.lane.ask("recover", "r")
        return list(self.gate.records)

    def restart(self, config):
        """The SSH instance again, with another configuration."""
        self.ssh.stop()
        os.rename(self.ssh.root, self.ssh.root + ".old")
        repositories = os.path.join(self.ssh.root + ".old", "repositories")
        self.ssh = self.instance("ssh", gate=self.gate, config=config)
        os.rmdir(os.path.join(self.ssh.root, "repositories"))
        os.rename(repositories, os.path.join(self.ssh.root, "repositories"))
        shutil.rmtree(self.ssh.root + ".old")
        self.lane = Lane(self.ssh)

    def hashes(self, lane, name="r"):
        return lane.ask("hash", name)
