//! The control socket: how `xbr` verbs ask the controller of a bridge to change something.

pub mod client;
mod codec;
mod event;
#[cfg(test)]
mod laws;
mod loan;
mod macs;
mod message;
pub mod protocol;

pub use codec::{Frames, frames};
pub use macs::Macs;
pub use message::ReadError;
pub use protocol::{Event, Reply, Request, VERSION};

use std::path::PathBuf;

use crate::datapath::BridgeName;

/// `/run/xbr/NAME.sock`.
pub fn socket_path(bridge: &BridgeName) -> PathBuf {
    PathBuf::from("/run/xbr").join(format!("{bridge}.sock"))
}
