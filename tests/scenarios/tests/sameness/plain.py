"""Plain Mercurial as a server: `plain.py FOLDER REPOSITORIES`, configured by $HGRCPATH.

REPOSITORIES: JSON of `[[path, hgrc]...]`, which are made below FOLDER. Says `{"socket": path, "http": url}` on
standard output: hgwebdir on loopback, and `hg serve --stdio` for whoever comes through standin.py, forked from this
process, because starting Python anew for each session costs most of the time.
"""

import array
import json
import os
import shlex
import signal
import socket
import sys
import threading

try:
    from mercurial import initialization
    from mercurial.main_script import request

    initialization.init()
except ImportError:  # before Mercurial 7.2
    from mercurial.dispatch import request

from mercurial import (  # noqa: F401 loaded before the first fork
    bookmarks,
    branchmap,
    bundle2,
    dispatch,
    exchange,
    hg,
    localrepo,
    obsolete,
    obsutil,
    phases,
    repoview,
    streamclone,
    ui as uimod,
    wireprotoserver,
    wireprotov1server,
)
from mercurial.hgweb import hgwebdir_mod, server


def serve_http(folder):
    """In a process of its own, so that sessions are forked from one without threads; answers its port."""
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        with os.fdopen(read) as said:
            return int(said.readline())
    ui = uimod.ui.load()
    for name, value in [
        (b"address", b"127.0.0.1"),
        (b"port", b"0"),
        (b"accesslog", b"/dev/null"),
        (b"errorlog", os.path.join(folder, b"errors")),
    ]:
        ui.setconfig(b"web", name, value, b"plain")
    ui.setconfig(b"web", b"refreshinterval", b"0", b"plain")
    application = hgwebdir_mod.hgwebdir([(b"/", os.path.join(folder, b"**"))], ui)
    # Or each answer waits 40 ms for the client's acknowledgement of its headers.
    server._httprequesthandler.disable_nagle_algorithm = True
    httpd = server.create_server(ui, application)
    os.write(write, b"%d\n" % httpd.server_address[1])
    die_with_parent()
    httpd.serve_forever()


def die_with_parent():
    parent = os.getppid()

    def watch():
        wait = threading.Event()
        while os.getppid() == parent:
            wait.wait(1)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def session(connection, folder):
    words, ancillary, _flags, _address = connection.recvmsg(65536, socket.CMSG_SPACE(3 * 4))
    descriptors = array.array("i", ancillary[0][2])
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    words = [os.fsencode(word) for word in shlex.split(os.fsdecode(words))][1:]
    words[1] = os.path.join(folder, words[1].lstrip(b"/"))
    code = 255
    try:
        code = dispatch.dispatch(request(words)) or 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        for file in (sys.stdout, sys.stderr):
            file.flush()
        # The client reads to the end before it is told.
        for descriptor in range(3):
            os.close(descriptor)
        connection.send(bytes([code & 255]))
        os._exit(0)


def make(folder, path, settings):
    directory = os.path.join(folder, os.fsencode(path))
    os.makedirs(os.path.dirname(directory), exist_ok=True)
    repo = hg.repository(uimod.ui.load(), directory, create=True)
    repo.vfs.write(b"hgrc", settings.encode())


def main():
    folder = os.fsencode(sys.argv[1])
    for path, settings in json.loads(sys.argv[2]):
        make(folder, path, settings)
    path = os.path.join(folder, b"sessions")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    port = serve_http(folder)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print(json.dumps({"socket": os.fsdecode(path), "http": "http://127.0.0.1:%d" % port}), flush=True)
    parent = os.getppid()
    listener.settimeout(1)
    while os.getppid() == parent:
        try:
            connection = listener.accept()[0]
        except TimeoutError:
            continue
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            connection.settimeout(None)
            session(connection, folder)
        connection.close()


main()
