//! What every frame reads of the bridge, in one row of a map, so that it is looked up once.

use crate::{
    Config, Port, PortId,
    capture::Capture,
    port::{MAX_PORTS, PORT_PLACES},
};

/// The row. Programs and controllers both write it, words of their own each, in memory that user space maps.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Of the FDB: counts up whenever an entry was moved, written or deleted, by atomic additions. See [`crate::recent`].
    pub generation: u64,
    /// The kernel's tick of which [`Self::now`] is the time. Written after it, by programs.
    pub tick: u64,
    /// In nanoseconds of the FDB's clock.
    pub now: u64,
    /// The settings. Written by the controller.
    pub config: Config,
    /// Whose frames are shown, if any are. Its first word, all that is read of it while none are, is in the first cache line.
    pub capture: Capture,
    /// Nothing; ports begin in a cache line of their own.
    pub padding: [u64; 2],
    /// The ports, by number. Written by the controller.
    pub ports: [Port; MAX_PORTS as usize],
    /// `[`[`place_of`]` ifindex] -> `[`at_place`]: what [`crate::maps::PORT_OF`] says, without its hash, of devices that share no place. Written
    /// by the controller.
    pub port_at: [u64; PORT_PLACES],
}

const _: () = assert!(size_of::<State>() == 128 + 12 * MAX_PORTS as usize + 8 * PORT_PLACES);

/// Where [`State::port_at`] has a device.
#[inline(always)]
pub const fn place_of(ifindex: u32) -> usize {
    ifindex as usize % PORT_PLACES
}

/// What stands there, in one word: the device and its port.
#[inline(always)]
pub const fn at_place(ifindex: u32, port: PortId) -> u64 {
    ifindex as u64 | (port.0 as u64) << 32
}

/// Whether it is this device that stands there. Interface 0 is none.
#[inline(always)]
pub const fn is_at_place(word: u64, ifindex: u32) -> bool {
    word as u32 == ifindex
}

/// The number of the port that stands there.
#[inline(always)]
pub const fn port_at_place(word: u64) -> u32 {
    (word >> 32) as u32
}
