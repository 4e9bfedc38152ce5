//! The pure modules of the bridge helper, and the parser of multicast memberships, by their paths: as a dependency, bridge-user would bring its BPF programs
//! and all of its libraries along.
#![allow(dead_code)]

#[path = "../../src/helper/access.rs"]
mod access;
#[path = "../../src/helper/args.rs"]
mod args;
#[path = "../../src/helper/laws.rs"]
pub mod laws;
#[path = "../../src/datapath/name.rs"]
mod name;

/// As the modules know it.
mod datapath {
    pub use super::name::{BridgeName, InvalidBridgeName};
}

#[path = "../../src/multicast/parse.rs"]
mod parse;

/// Whether a frame says anything of groups.
pub fn membership(frame: &[u8]) -> bool {
    parse::parse(frame).is_ok()
}
