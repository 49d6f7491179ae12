//! One child of the zygote, held so that its number cannot be mistaken for a later process's.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

#[derive(Debug)]
pub struct Child {
    pid: u32,
    /// None: it was gone before we could hold it.
    handle: Option<OwnedFd>,
}

impl Child {
    pub(crate) fn hold(pid: u32) -> io::Result<Child> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let raw =
            raw.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a child says that it is process 0"))?;
        match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(handle) => Ok(Child { pid, handle: Some(handle) }),
            Err(rustix::io::Errno::SRCH) => Ok(Child { pid, handle: None }),
            Err(error) => Err(error.into()),
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// SIGKILL for it and for what it has started (hooks are in its group); nothing happens when it has ended already.
    pub fn kill(&self) {
        let (Some(handle), Ok(pid)) = (&self.handle, i32::try_from(self.pid)) else { return };
        let mut fds = [PollFd::new(handle, PollFlags::IN)];
        // Readable: it has ended, and its number may be somebody else's by now.
        if !matches!(poll(&mut fds, Some(&Timespec::default())), Ok(0)) {
            return;
        }
        // The only possible failures are that it has ended, or has no group of its own yet.
        if let Some(group) = Pid::from_raw(pid) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = pidfd_send_signal(handle, Signal::KILL);
    }
}
