//! The pure modules of the bridge helper, the parser of multicast memberships, and the messages of the control socket, by their paths: as a
//! dependency, bridge-user would bring its BPF programs and all of its libraries along.
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
mod multicast;

pub use allocated::most_while;
pub use control::message;
pub use multicast::membership;

// What a message of the control socket may say.
#[path = "../../src/refusal.rs"]
mod refusal;
#[path = "../../src/vlan.rs"]
mod vlan;

use refusal::Refusal;

mod link {
    #[path = "../../../src/link/name.rs"]
    mod name;

    pub use name::InterfaceName;
}

mod policy {
    #[path = "../../../src/policy/groups.rs"]
    mod groups;
    #[path = "../../../src/policy/limits.rs"]
    mod limits;
    #[path = "../../../src/policy/options.rs"]
    mod options;
    #[path = "../../../src/policy/units.rs"]
    mod units;
    #[path = "../../../src/policy/values.rs"]
    mod values;

    pub use groups::{MaxGroups, McastRouter};
    pub use limits::{Limit, Storm};
    pub use options::PortOptions;
    pub use values::{AllowedIp, AllowedMac, BpduGuard, MaxMacs, Switch};
}

mod settings {
    #[path = "../../../src/settings/multicast.rs"]
    mod multicast;
    #[path = "../../../src/settings/values.rs"]
    mod values;

    pub use multicast::MulticastSettings;
    pub use values::InvalidValue;
}
