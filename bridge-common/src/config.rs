//! What holds for the whole bridge.

use crate::mac::Address;

/// The settings that the programs read for every frame.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// How long a learned station is believed without a frame of its own, in nanoseconds; 0 is for ever.
    pub ageing: u64,
    /// The uplink device's own address: the host's, in every VLAN, always.
    pub uplink: Address,
    /// See [`ConfigFlags`].
    pub flags: ConfigFlags,
    /// One past the highest port number in use.
    pub ports_end: u16,
    /// How often a station may move in one window of flap damping; 0 for any number.
    pub flap_moves: u16,
    /// Seconds of such a window.
    pub flap_window: u16,
    /// Nothing; makes the size a multiple of the alignment.
    pub padding: [u16; 3],
}

const _: () = assert!(size_of::<Config>() == 32);

/// What is on for the whole bridge, as bits.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigFlags(pub u32);

impl ConfigFlags {
    /// Frames have VLANs, and ports are in them.
    pub const VLAN_FILTERING: Self = Self(1);
    /// Frames for groups go where members and routers are.
    pub const MCAST_SNOOPING: Self = Self(1 << 1);
    /// Somebody asks who is in IPv4 groups, so that what is known of them can be trusted.
    pub const MCAST_QUERIER_V4: Self = Self(1 << 2);
    /// Some port has [`crate::PortFlags::NEIGH_SUPPRESS`], so neighbours are learned.
    pub const NEIGH_SUPPRESS: Self = Self(1 << 3);
    /// The same, of IPv6 groups.
    pub const MCAST_QUERIER_V6: Self = Self(1 << 4);
    /// Groups of which nobody has said anything are flooded, and do not go to routers only.
    pub const MCAST_UNREGISTERED: Self = Self(1 << 5);
    /// The controller asks, if nobody else does. For the controller only.
    pub const MCAST_OWN_QUERIER: Self = Self(1 << 6);
    /// Nobody looks for loops. For the controller only.
    pub const NO_LOOP_DETECT: Self = Self(1 << 7);
    /// Behind the host's port is no station but the host, so unicasts to nobody known are not for it.
    pub const HOST_ALONE: Self = Self(1 << 8);

    /// All bits of `other` are set.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other`, if `on`.
    pub const fn with(self, other: Self, on: bool) -> Self {
        Self(if on { self.0 | other.0 } else { self.0 & !other.0 })
    }
}

impl Config {
    /// Whether VLAN filtering is on.
    #[inline(always)]
    pub const fn filters_vlans(&self) -> bool {
        self.flags.has(ConfigFlags::VLAN_FILTERING)
    }

    /// Whether multicast snooping is on.
    #[inline(always)]
    pub const fn snoops(&self) -> bool {
        self.flags.has(ConfigFlags::MCAST_SNOOPING)
    }
}
