//! Mercurial as this instance runs it: one warm process (the zygote) that forks a child for each SSH session, each
//! lane worker and each web worker. No Mercurial code runs in our process; everything here is sockets and frames
//! (`docs/protocols.md`: "Zygote", "Lane requests", "Web requests").

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod child;
mod connection;
mod fetch;
mod frame;
mod freezes;
mod hgrc;
mod lane;
mod prove;
mod request;
mod room;
mod run_directory;
mod session;
mod spool;
mod web;
mod web_body;
mod wire_commands;
mod workers;
mod zygote;

pub use child::Child;
pub use connection::ConnectError;
pub use fetch::{FetchChild, FetchRequest, Fetched};
pub use lane::{LaneError, LaneErrorKind, LanePool};
pub use request::{Bytestring, ContentHashes, Integrity, LaneState, Operation, PushRequest, Request, Visible};
pub use room::{Place, Room, RoomBounds};
pub use run_directory::{Options, Role};
pub use session::{Ended, ServeChild, ServeRequest, Session};
pub use web::{Class, WebAnswer, WebError, WebLoad, WebOptions, WebPool, WebRequest, WebResponse};
pub use web_body::WebBody;
pub use wire_commands::{Permission, WireCommands};
pub use zygote::{Mercurial, StartError};
