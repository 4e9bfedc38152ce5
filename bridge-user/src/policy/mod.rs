//! Port policy: what an operator says of a port, and what the programs are to read of it. Pure.

mod apply;
mod options;
#[cfg(test)]
mod tests;
mod units;
mod values;

pub use apply::{apply, check};
pub use options::PortOptions;
pub(crate) use options::with_port_options;
pub use units::bits_text;
pub use values::{AllowedIp, AllowedMac, BpduGuard, Limit, MaxMacs, Storm, Switch};
