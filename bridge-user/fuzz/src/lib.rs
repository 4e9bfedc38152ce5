//! The pure modules of the bridge helper, the parser of multicast memberships, and the messages of the control socket, by their paths: as a
//! dependency, bridge-user would bring its BPF programs and all of its libraries along.
// The modules have more than the targets ask for.
#![allow(dead_code, unused_imports)]

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

mod allocated;
mod control;
mod link;
mod multicast;
mod policy;
mod settings;

pub use allocated::most_while;
pub use control::message;
pub use multicast::membership;

// What a message of the control socket may say.
#[path = "../../src/refusal.rs"]
mod refusal;
#[path = "../../src/vlan.rs"]
mod vlan;

use refusal::Refusal;
