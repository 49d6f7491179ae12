//! One connection of a follower to a master: in order each way, may break at any moment with what is under way.

use std::collections::VecDeque;

use protocol::stream::{FromFollower, FromMaster};
use protocol::{Generation, LogName, Offset, PerLog};

/// Messages under way before the sender waits.
pub const WINDOW: usize = 6;

pub struct Wire {
    pub master: usize,
    pub generation: Generation,
    /// To the follower, each log for itself: backpressure on one does not stop the other.
    pub down: PerLog<VecDeque<FromMaster>>,
    pub up: VecDeque<FromFollower>,
    /// The next entry to send.
    pub next: PerLog<Offset>,
    pub announced: PerLog<Offset>,
    /// The follower's log forks: it truncates and asks again.
    pub truncate: PerLog<Option<Offset>>,
}

impl Wire {
    pub fn new(master: usize, generation: Generation, next: PerLog<Offset>) -> Wire {
        Wire {
            master,
            generation,
            down: PerLog::default(),
            up: VecDeque::new(),
            next,
            announced: PerLog::default(),
            truncate: PerLog::default(),
        }
    }

    pub fn send(&mut self, log: LogName, message: FromMaster) {
        self.down[log].push_back(message);
    }

    pub fn has_room(&self, log: LogName) -> bool {
        self.down[log].len() < WINDOW
    }
}
