//! What every frame reads of the bridge, in one row of a map, so that it is looked up once.

use crate::{Config, Port, PortFlags, PortId, capture::Capture, port::PORT_PLACES};

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
    /// Nothing; the devices begin in a cache line of their own.
    pub padding: [u64; 2],
    /// `[`[`place_of`]` ifindex]`: what [`crate::maps::PORT_OF`] and [`crate::maps::PORTS`] say, without a look-up in either, of devices that share no
    /// place. Written by the controller.
    pub devices: [Device; PORT_PLACES],
}

const _: () = assert!(size_of::<State>() == 128 + 16 * PORT_PLACES);

/// A device that is a port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The device and its port's number, in one word: see [`Device::of`]. 0 while the place is free. What is read of [`Self::facts`] counts if this
    /// is the same behind it. (A machine that reorders loads may be wrong about one frame, if the place becomes another device's in between.)
    pub whose: u64,
    /// The port's word in bits 0 to 31, and its MTU.
    pub facts: u64,
}

/// Where [`State::devices`] has a device.
#[inline(always)]
pub const fn place_of(ifindex: u32) -> usize {
    ifindex as usize % PORT_PLACES
}

impl Device {
    /// For this port.
    #[inline(always)]
    pub const fn of(id: PortId, port: &Port) -> Self {
        Self {
            whose: port.ifindex as u64 | (id.0 as u64) << 32,
            facts: port.flags.0 as u64 | (port.mtu as u64) << 32,
        }
    }

    /// Whether it is this device. Interface 0 is none.
    #[inline(always)]
    pub const fn is(&self, ifindex: u32) -> bool {
        self.whose as u32 == ifindex
    }

    /// The port's number.
    #[inline(always)]
    pub const fn id(&self) -> PortId {
        PortId((self.whose >> 32) as u16)
    }

    /// The port.
    #[inline(always)]
    pub const fn port(&self) -> Port {
        Port {
            ifindex: self.whose as u32,
            mtu: (self.facts >> 32) as u32,
            flags: PortFlags(self.facts as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_what_was_written() {
        let port = Port { ifindex: u32::MAX - 1, mtu: 65_535, flags: PortFlags(u32::MAX) };
        let device = Device::of(PortId(255), &port);
        assert_eq!((device.id(), device.port()), (PortId(255), port));
        assert!(device.is(u32::MAX - 1) && !device.is(1));
    }
}
