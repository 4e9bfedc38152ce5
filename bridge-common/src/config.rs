//! What holds for the whole bridge.

use crate::Mac;

/// The settings that the programs read for every frame.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// How long a learned station is believed without a frame of its own, in nanoseconds; 0 is for ever.
    pub ageing: u64,
    /// The uplink device's own address: the host's, in every VLAN, always.
    pub uplink_mac: Mac,
    /// One past the highest port number in use.
    pub ports_end: u16,
}

const _: () = assert!(size_of::<Config>() == 16);
