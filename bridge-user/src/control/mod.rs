//! The control socket: how `xbr` verbs ask the controller of a bridge to change something.

pub mod client;
mod codec;
mod loan;
pub mod protocol;

pub use codec::{Frames, ReadError, frames};
pub use protocol::{Event, Reply, Request, VERSION};

use std::path::PathBuf;

use crate::datapath::BridgeName;

/// `/run/xbr/NAME.sock`.
pub fn socket_path(bridge: &BridgeName) -> PathBuf {
    PathBuf::from("/run/xbr").join(format!("{bridge}.sock"))
}
