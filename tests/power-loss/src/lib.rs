//! A file system in memory, mounted with FUSE, that forgets on command what nobody has synced: a power loss.
//!
//! It is as unkind as POSIX allows. `fsync` of a file keeps its bytes and its length, not its name; `fsync` of a
//! folder keeps its names (with what happened to them elsewhere, so that a rename is never half done), not what is in
//! the files. `syncfs` keeps nothing, because the kernel does not pass it on to a FUSE server. Modes, owners and times
//! are kept always. All processes that use the volume must have ended before the power comes back, as after a real
//! loss.

mod content;
mod disk;
mod folder;
mod forget;
mod volume;

pub use forget::Survivors;
pub use volume::{MountError, Volume};
