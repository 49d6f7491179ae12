//! One connection of a follower to a master: in order each way, may break at any moment with what is under way.

use std::collections::VecDeque;

use protocol::stream::{FromFollower, FromMaster};
use protocol::{Generation, LogName, Offset};

/// Messages under way before the sender waits.
pub const WINDOW: usize = 6;

pub struct Wire {
    pub master: usize,
    pub generation: Generation,
    /// To the follower, each log for itself: backpressure on one does not stop the other.
    pub down: [VecDeque<FromMaster>; 2],
    pub up: VecDeque<FromFollower>,
    /// The next entry to send.
    pub next: [Offset; 2],
    pub announced: [Offset; 2],
    /// The follower's log forks: it truncates and asks again.
    pub truncate: [Option<Offset>; 2],
}

impl Wire {
    pub fn new(master: usize, generation: Generation, next: [Offset; 2]) -> Wire {
        Wire {
            master,
            generation,
            down: [VecDeque::new(), VecDeque::new()],
            up: VecDeque::new(),
            next,
            announced: [Offset::ZERO; 2],
            truncate: [None, None],
        }
    }

    pub fn send(&mut self, log: LogName, message: FromMaster) {
        self.down[log as usize].push_back(message);
    }

    pub fn has_room(&self, log: LogName) -> bool {
        self.down[log as usize].len() < WINDOW
    }
}
