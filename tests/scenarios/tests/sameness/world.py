"""One server with clients of its own: commands run in this process, what they say and leave is told as values."""

import http.client
import io
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse

try:
    from mercurial import initialization
    from mercurial.main_script import request

    initialization.init()
except ImportError:  # before Mercurial 7.2
    from mercurial.dispatch import request

from mercurial import dispatch, encoding, exchange, extensions, hg, repoview, ui as uimod, wireprotov1peer
from mercurial.node import hex

PUBLISHED_WITHIN_SECONDS = 60
PAUSE_SECONDS = 0.01
NAMESPACES = ("namespaces", "bookmarks", "phases", "obsolete")
# What is measured, not decided: it differs from run to run, or with the caches that travel (docs/differences.md).
MEASURED = [
    (re.compile(r"transferred .* in .* seconds \(.*\)"), "transferred"),
    (re.compile(r"\d+ files to transfer, .* of data"), "files to transfer"),
    (re.compile(r"stream-cloned \d+ files / .* in .*"), "stream-cloned"),
]


class Hooks:
    """What the commands that run now are asked to do otherwise."""

    # Called once when a push has discovered what to send.
    between = None
    # Capabilities that the client is too old to know.
    unknown = ()


def install_hooks():
    def discovery(original, pushop):
        result = original(pushop)
        between, Hooks.between = Hooks.between, None
        if between:
            between()
        return result

    extensions.wrapfunction(exchange, "_pushdiscovery", discovery)
    original = wireprotov1peer.wirepeer.capable

    def capable(peer, name):
        return False if name in Hooks.unknown else original(peer, name)

    wireprotov1peer.wirepeer.capable = capable


class Said:
    """What one command said, without what is of this world only."""

    def __init__(self, code, out, err):
        self.code = code
        lines = out + err
        # Which of the two streams shows the server's lines, and between which of its own, is a race for old clients.
        self.remote = [line for line in lines if line.startswith("remote:")]
        self.out = [line for line in out if not line.startswith("remote:")]
        self.err = [line for line in err if not line.startswith("remote:")]


class World:
    def __init__(self, name, folder, places, path):
        self.name = name
        self.folder = os.path.join(folder, name)
        self.places = places
        self.path = path
        self.connections = {}
        os.makedirs(self.folder)
        self.urls = [(places["sshUrl"] + "/" + path, "SSH")]
        self.urls += [(url + "/" + path, "HTTP") for url in [*places["mirrors"]]]

    def client(self, name):
        return os.path.join(self.folder, name)

    def url(self, kind):
        """`ssh`, or the number of a mirror."""
        if kind == "ssh":
            return self.urls[0][0]
        return self.urls[1:][int(kind) % len(self.places["mirrors"])][0]

    def fill(self, word):
        def place(match):
            kind, rest = match.groups()
            return self.url(kind) if not rest else self.client(rest)

        return re.sub(r"\{(?:(ssh|\d)|in:([^}]*))\}", place, word)

    def hg(self, client, words):
        """Runs one command of a client."""
        words = [self.fill(word) for word in words]
        words = ["--config", "ui.ssh=" + self.places["ssh"], *words]
        if client is not None:
            words = ["-R", self.client(client), "--cwd", self.client(client), *words]
        else:
            words = ["--cwd", self.folder, *words]
        out, err = io.BytesIO(), io.BytesIO()
        encoding.environ[b"HGPLAIN"] = b"1"
        code = dispatch.dispatch(request([os.fsencode(word) for word in words], fin=io.BytesIO(), fout=out, ferr=err))
        return Said(code or 0, self.lines(out.getvalue()), self.lines(err.getvalue()))

    def lines(self, said):
        text = said.decode("utf-8", "backslashreplace")
        for url, name in self.urls:
            text = text.replace(url, name)
        text = text.replace(self.folder, "FOLDER")
        for pattern, word in MEASURED:
            text = pattern.sub(word, text)
        return text.splitlines()

    def repo(self, client):
        return hg.repository(uimod.ui.load(), os.fsencode(self.client(client)))

    def state(self, client):
        """All that a client's repository has."""
        if not os.path.isdir(os.path.join(self.client(client), ".hg")):
            return {"there": False}
        repo = self.repo(client)
        unfiltered = repo.unfiltered()
        hidden = repoview.filterrevs(unfiltered, b"visible")
        rows = []
        for rev in unfiltered:
            ctx = unfiltered[rev]
            parents = [parent.hex()[:12].decode() for parent in ctx.parents()]
            rows.append(
                "%s %s %s %s%s %s"
                % (
                    ctx.hex().decode(),
                    ctx.phasestr().decode(),
                    ctx.branch().decode(),
                    ",".join(parents),
                    " hidden" if rev in hidden else "",
                    ctx.description().decode("utf-8", "replace").split("\n")[0],
                )
            )
        markers = sorted(repr(marker) for marker in unfiltered.obsstore)
        return {
            "changesets": rows,
            "markers": markers,
            "bookmarks": sorted((name.decode(), hex(node).decode()) for name, node in repo._bookmarks.items()),
            "active": repo._activebookmark,
            "tags": sorted((name.decode(), hex(node).decode()) for name, node in repo.tags().items()),
            "parents": [parent.hex().decode() for parent in repo[None].parents()],
            "branch": repo.dirstate.branch().decode(),
        }

    def remove(self, client):
        shutil.rmtree(self.client(client), ignore_errors=True)

    def settle(self):
        """Waits until every mirror shows all of the repository."""
        if "status" not in self.places:
            return
        pause, deadline = threading.Event(), time.monotonic() + PUBLISHED_WITHIN_SECONDS
        while True:
            status, body = self.get(self.places["status"], "/status.json")
            about = json.loads(body) if status == 200 else {"repositories": []}
            known = [found for found in about["repositories"] if found["path"] == self.path]
            if known and known[0]["published"] >= known[0]["newest"]:
                return
            if time.monotonic() > deadline:
                raise AssertionError("%s is not published: %s" % (self.path, about))
            pause.wait(PAUSE_SECONDS)

    def get(self, base, path):
        for again in (True, False):
            try:
                connection = self.connections.get(base)
                if connection is None:
                    connection = self.connections[base] = connect(base)
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                self.connections.pop(base, None)
                if not again:
                    raise

    def discovery(self, questions, mirror):
        """What a mirror answers to each of `(command, arguments)`."""
        base = self.places["mirrors"][mirror % len(self.places["mirrors"])]
        batch = ";".join(
            command + " " + ",".join("%s=%s" % (escaped(key), escaped(value)) for key, value in arguments.items())
            for command, arguments in questions
        )
        status, body = self.get(base, "/%s?%s" % (self.path, urllib.parse.urlencode({"cmd": "batch", "cmds": batch})))
        if status != 200:
            return {"batch": ["status %d" % status]}
        bodies = [unescaped(part) for part in body.split(b";")]
        return {told(question): self.answer(question, body) for question, body in zip(questions, bodies)}

    def discovery_by_ssh(self, questions):
        """The same of the server that takes pushes."""
        _scheme, _none, host = self.places["sshUrl"].partition("://")
        host, _colon, port = host.partition(":")
        command = shlex.split(self.places["ssh"])
        command += (["-p", port] if port else []) + [host, "hg -R %s serve --stdio" % self.path]
        session = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        text = b""
        for name, arguments in questions:
            text += name.encode() + b"\n"
            if name == "known":
                text += b"* 0\n"
            for key, value in arguments.items():
                text += b"%s %d\n%s" % (key.encode(), len(value.encode()), value.encode())
        said = session.communicate(text)[0]
        answers = {}
        for name, arguments in questions:
            length, _newline, said = said.partition(b"\n")
            if not length.isdigit():
                answers[name] = ["no answer"]
                break
            body, said = said[: int(length)], said[int(length) :]
            question = (name, arguments)
            answers[told(question)] = self.answer(question, body)
        return answers

    def answer(self, question, body):
        lines = self.lines(body)
        return sorted(lines) if question[0] in ("listkeys", "branchmap") else lines


def connect(base):
    """To an http URL, or to `unix:` with a socket's path."""
    if not base.startswith("unix:"):
        return http.client.HTTPConnection(base.split("//")[1].rstrip("/"), timeout=60)
    made = http.client.HTTPConnection("localhost")
    made.sock = socket.socket(socket.AF_UNIX)
    made.sock.connect(base.removeprefix("unix:"))
    return made


def told(question):
    command, arguments = question
    return "%s %s" % (command, " ".join(arguments.values()))


# As `hg help internals.wireprotocol` says of `batch`.
ESCAPES = [(":", ":c"), (",", ":o"), (";", ":s"), ("=", ":e")]


def escaped(text):
    for plain, code in ESCAPES:
        text = text.replace(plain, code)
    return text


def unescaped(body):
    for plain, code in reversed(ESCAPES):
        body = body.replace(code.encode(), plain.encode())
    return body
