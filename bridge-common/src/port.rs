//! Ports: where frames enter and leave the switch.

/// The most ports that one bridge has, the host and the uplink included.
pub const MAX_PORTS: u32 = 256;

/// Places for devices: see [`crate::state`]. Devices get their numbers one after the other, so few ports of one machine share a place.
pub const PORT_PLACES: usize = 1024;

/// A port's number: its index in every table. Numbers are the bridge's own and outlive no port.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u16);

impl PortId {
    /// The host: a port without a device of its own, reached through the uplink's.
    pub const HOST: Self = Self(0);
    /// The way to the outside.
    pub const UPLINK: Self = Self(1);
    /// The first number that a guest's port may have.
    pub const FIRST_GUEST: Self = Self(2);

    /// The number as a map index.
    #[inline(always)]
    pub const fn index(self) -> u32 {
        self.0 as u32
    }

    /// Neither the host nor the uplink.
    #[inline(always)]
    pub const fn is_guest(self) -> bool {
        self.0 >= Self::FIRST_GUEST.0
    }
}

/// A port's word: what is true of it, as bits, and its PVID. All of it is written at once, so no frame meets half of a change.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortFlags(pub u32);

impl PortFlags {
    /// Forwards frames. Clear for a free number and for a port that is down.
    pub const UP: Self = Self(1);
    /// Takes frames that XDP redirects to it: it is in the devmap.
    pub const XDP: Self = Self(1 << 1);
    /// Can bring in frames with unfinished checksums, so XDP asks [`crate::guard`] first.
    pub const GUARD: Self = Self(1 << 2);
    /// Its frames teach nothing (`learning off`).
    pub const NO_LEARNING: Self = Self(1 << 3);
    /// Unicasts to nobody known do not leave here (`flood off`).
    pub const NO_FLOOD: Self = Self(1 << 4);
    /// Multicasts do not leave here (`mcast_flood off`).
    pub const NO_MCAST_FLOOD: Self = Self(1 << 5);
    /// Broadcasts do not leave here (`bcast_flood off`).
    pub const NO_BCAST_FLOOD: Self = Self(1 << 6);
    /// Frames may leave where they came in (`hairpin on`).
    pub const HAIRPIN: Self = Self(1 << 7);
    /// Nothing passes between two such ports (`isolated on`).
    pub const ISOLATED: Self = Self(1 << 8);
    /// Only stations that the FDB has here may send (`locked on`).
    pub const LOCKED: Self = Self(1 << 9);
    /// The number of its stations is limited.
    pub const QUOTA: Self = Self(1 << 10);
    /// Its frames are looked into: see [`crate::policy::Guards`].
    pub const INSPECTED: Self = Self(1 << 11);
    /// Floods that it starts are limited.
    pub const STORM: Self = Self(1 << 12);
    /// What it brings in is limited.
    pub const RATE_IN: Self = Self(1 << 13);
    /// What leaves here is limited.
    pub const RATE_OUT: Self = Self(1 << 14);
    /// The operator has said what its VLAN is, so the default one is not given to it (again). For the controller only.
    pub const OWN_VLANS: Self = Self(1 << 15);
    /// Requests for neighbours that are known do not leave here, and are answered for those that are here (`neigh_suppress on`).
    pub const NEIGH_SUPPRESS: Self = Self(1 << 16);

    /// The part of the word that the operator says and [`crate::policy::Policy`] keeps: all but what is true of the device.
    pub const POLICY: Self = Self(!(Self::UP.0 | Self::XDP.0 | Self::GUARD.0));

    const PVID_SHIFT: u32 = 20;

    /// The VLAN of frames that come in without a tag; 0 for none: they are dropped while VLAN filtering is on.
    #[inline(always)]
    pub const fn pvid(self) -> u16 {
        (self.0 >> Self::PVID_SHIFT) as u16
    }

    /// With this PVID, of which 12 bits are kept.
    pub const fn with_pvid(self, vid: u16) -> Self {
        let rest = self.0 & !(0xfff << Self::PVID_SHIFT);
        Self(rest | ((vid & 0xfff) as u32) << Self::PVID_SHIFT)
    }

    /// Some bit of `other` is set.
    #[inline(always)]
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits of both.
    #[inline(always)]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// All bits of `other` are set.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other`, if `on`.
    #[inline(always)]
    pub const fn with(self, other: Self, on: bool) -> Self {
        Self(if on { self.0 | other.0 } else { self.0 & !other.0 })
    }
}

/// What the programs know of a port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// The device; the uplink's for [`PortId::HOST`].
    pub ifindex: u32,
    /// The largest payload of a frame that leaves here, in bytes, without L2 header.
    pub mtu: u32,
    /// See [`PortFlags`].
    pub flags: PortFlags,
}

const _: () = assert!(size_of::<Port>() == 12);

/// L2 header and one VLAN tag: what a frame may be longer than the MTU, as in the kernel's
/// `__is_skb_forwardable` and `xdp_ok_fwd_dev`.
pub const LINK_OVERHEAD: u32 = 14 + 4;

impl Port {
    /// No device.
    pub const NONE: Self = Self { ifindex: 0, mtu: 0, flags: PortFlags(0) };

    /// Whether the port forwards.
    #[inline(always)]
    pub const fn is_up(&self) -> bool {
        self.flags.has(PortFlags::UP)
    }

    /// Whether a frame of `length` bytes, L2 header included, may leave here.
    #[inline(always)]
    pub const fn fits(&self, length: u32) -> bool {
        length <= self.mtu.saturating_add(LINK_OVERHEAD)
    }
}

/// Where the decision reads the facts of ports.
pub trait Ports {
    /// The port of this number, or `None` for a number out of range.
    fn port(&self, id: PortId) -> Option<Port>;
}
