//! Port policy: what an operator says of a port, and what the programs are to read of it. Pure.

mod apply;
mod groups;
mod limits;
mod options;
#[cfg(test)]
mod tests;
mod units;
mod values;

pub use apply::{apply, check};
pub use groups::{MaxGroups, McastRouter};
pub use limits::{Limit, Storm};
pub use options::PortOptions;
pub(crate) use options::with_port_options;
pub use units::bits_text;
pub use values::{AllowedIp, AllowedMac, BpduGuard, MaxMacs, Switch};
