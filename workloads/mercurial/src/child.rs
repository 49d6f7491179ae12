//! One child of the zygote, held so that its number cannot be mistaken for a later process's.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

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

    /// SIGKILL; nothing happens when it has ended already.
    pub fn kill(&self) {
        if let Some(handle) = &self.handle {
            // The only possible failure is that it has ended.
            let _ = pidfd_send_signal(handle, Signal::KILL);
        }
    }
}
