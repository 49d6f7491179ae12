# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may open a transaction on a replicated repository.

A replicated repository is one with our state file. Only two kinds of process may change it: a push that goes through
the gate (`push.Session`) and a lane that applies the log (`LANE`). Everything else, such as `hg commit` by hand, would
make this repository differ from its log, and is refused with the reference's texts (facts/hgmo.md, C5).
"""

from mercurial import error

from . import state

# Lets every transaction through: set in lane processes, which only repeat what the log says.
LANE = object()

# What this process is: a push.Session, LANE, or None. A process serves one connection, so one place is enough.
_holder = None


def admit(holder):
    """From here on this process's transactions belong to `holder`."""
    global _holder
    _holder = holder


def session():
    """The push session that this process serves, if it serves one."""
    return None if _holder is LANE else _holder


def reposetup(ui, repo):
    class admittedrepository(repo.__class__):
        def transaction(self, desc, *args, **kwargs):
            opened = super().transaction
            if _holder is LANE or self.currenttransaction() is not None:
                return opened(desc, *args, **kwargs)
            if _holder is not None:
                return _holder.transaction(self.unfiltered(), opened, desc, *args, **kwargs)
            if self.svfs.exists(state.FILE):
                raise error.Abort(_refusal(self.ui, desc))
            return opened(desc, *args, **kwargs)

    repo.__class__ = admittedrepository


def _refusal(ui, desc):
    if ui.config(b"hg-operator", b"role") != b"mirror":
        return b"cannot commit to replicating repositories; push instead"
    source = desc.split(b"\n")[0]
    if source in (b"commit", b"amend", b"graft", b"import"):
        ui.warn(b"illegal change to repository!\n")
        return (
            b"local commits are not allowed on HTTP replicas; all repository changes must be made via replication "
            b"mechanism"
        )
    return (
        b"changes to repositories on HTTP replicas can only be made through the replication system; a change via %s "
        b"is not allowed" % source
    )
