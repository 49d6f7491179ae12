# SPDX-License-Identifier: GPL-2.0-or-later
"""A `serve` child: one SSH session's Mercurial, on the descriptors that came with the request."""

import errno
import os
import signal
import sys
import traceback

from mercurial import error, hg, wireprotoserver

from . import admission, frames, gate, limits, payload, push

FAILED = 255
FULL = (errno.ENOSPC, errno.EDQUOT)


def run(connection, request, descriptors, config, baseui):
    """Serves the SSH wire protocol until the client ends; says the exit code on `connection`."""
    if len(descriptors) != 3:
        raise frames.FrameError("a serve request comes with three descriptors, not %d" % len(descriptors))
    log = os.fdopen(os.dup(2), "w")
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    limits.end_unread_answers(baseui, (1, 2))
    code = _serve(request, config, baseui, log)
    connection.send({"exit": code})


def interrupt(_number, _frame):
    # As in Mercurial's own commands: a transaction in progress is rolled back on the way out.
    raise error.SignalInterrupt


def _serve(request, config, baseui, log):
    user = request["user"]
    os.environ.update(request.get("env") or {})
    os.environ.update({"USER": user, "LOGNAME": user, "REMOTE_USER": user})
    push_gate = gate.Gate(config.get("gate"), request["repository"], user, bool(request.get("mayWrite")))
    admission.admit(push.Session(baseui, push_gate, user, config.get("spool"), log))
    if request.get("mayWrite"):
        # After a push that broke off, its record may still have to be applied: a client that asks what is here before
        # that would push again what is in the log.
        push_gate.catch_up()
    try:
        repo = hg.repository(baseui.copy(), os.fsencode(request["directory"])).local()
        repo.ui.setconfig(b"hg-operator", b"path", os.fsencode(request.get("path") or ""), b"hg-operator")
        wireprotoserver.sshserver(repo.ui, repo).serve_forever()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except error.RepoError as why:
        code = _refuse(why.args[0] if why.args else b"no repository")
    except error.Abort as why:
        code = _refuse(why.message)
    except (KeyboardInterrupt, BrokenPipeError):
        code = FAILED
    except payload.SessionOver as why:
        code = _refuse(why.args[0])
    except Exception as why:
        traceback.print_exc(file=log)
        bound = limits.sentence(baseui, why)
        if bound is not None:
            code = _refuse(bound)
        elif isinstance(why, OSError) and why.errno in FULL:
            code = _refuse(b"the server's volume is full")
        else:
            code = _refuse(b"internal error; the server's log says more")
    _flush(baseui)
    return code


def _refuse(message):
    try:
        os.write(2, b"abort: %s\n" % message)
    except OSError:
        pass
    return FAILED


def _flush(ui):
    for file in (ui.fout, ui.ferr, sys.stdout, sys.stderr):
        try:
            file.flush()
        except (OSError, ValueError):
            pass
