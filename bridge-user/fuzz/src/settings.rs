//! What is asked for of a bridge.

#[path = "../../src/settings/multicast.rs"]
mod multicast;
#[path = "../../src/settings/values.rs"]
mod values;

pub use multicast::MulticastSettings;
pub use values::InvalidValue;
