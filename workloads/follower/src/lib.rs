//! How an instance follows the log: the lanes (pure), their driver, the standby's copy of the log and the mirror's
//! stream.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod blobs;
pub mod checkpoint;
mod closing;
mod driver;
mod execute;
pub mod lanes;
mod local;
mod mirror;
pub mod peers;
mod resync;
mod standby;
mod stream;
mod table;
mod unsynced;
mod verification;

pub use closing::{Close, Closing, ClosingPush};
pub use driver::Input;
pub use local::{Kind, Local, LocalError, LocalOptions};
pub use mirror::{MirrorFeed, MirrorFeedError};
pub use standby::{Heard, Standby, StandbyError};
pub use table::{LaneRow, LaneTable};
pub use unsynced::{Changing, Unsynced};
pub use verification::Verification;
