//! What a port may do.

#[path = "../../src/policy/groups.rs"]
mod groups;
#[path = "../../src/policy/limits.rs"]
mod limits;
#[path = "../../src/policy/options.rs"]
mod options;
#[path = "../../src/policy/units.rs"]
mod units;
#[path = "../../src/policy/values.rs"]
mod values;

pub use groups::{MaxGroups, McastRouter};
pub use limits::{Limit, Storm};
pub use options::PortOptions;
pub use values::{AllowedIp, AllowedMac, BpduGuard, MaxMacs, Switch};
