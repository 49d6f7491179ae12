//! Commands for people: what runs, whether it agrees, what the log holds.

mod ask;
mod fence;
mod instance;
mod log;
mod promote;
mod skip;
mod status;
mod strip;
mod supervisor;
mod verify;

pub use fence::fence;
pub use instance::instance;
pub use log::log;
pub use promote::promote;
pub use status::status;
pub use strip::strip;
pub use verify::verify;

/// Exit code when a check found something.
const FOUND: u8 = 3;
