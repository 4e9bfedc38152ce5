//! VLANs: which ports are members, and with which tag a frame leaves.

use crate::PortId;

/// VLAN IDs are below this. 0 means priority only, 4095 is reserved; neither is a VLAN.
pub const MAX_VLANS: u32 = 4096;

/// The VLAN in which ports are, untagged, while nobody says otherwise; the Linux bridge's `default_pvid`.
pub const DEFAULT_VLAN: u16 = 1;

/// A key of the FDB with this VLAN speaks of all VLANs at once: behind which port a static station is, whatever
/// VLAN it was written for. No frame has it.
pub const ANY_VLAN: u16 = u16::MAX;

/// A set of ports.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortSet(pub [u64; 4]);

impl PortSet {
    /// Where a port's bit is: the word, and the bit in it.
    #[inline(always)]
    pub const fn place(id: PortId) -> (usize, u64) {
        ((id.0 as usize >> 6) & 3, 1 << (id.0 & 63))
    }

    /// Whether the port is in it.
    #[inline(always)]
    pub const fn has(&self, id: PortId) -> bool {
        let (word, bit) = Self::place(id);
        self.0[word] & bit != 0
    }

    /// With the port, if `on`, and without it otherwise.
    pub const fn with(mut self, id: PortId, on: bool) -> Self {
        let (word, bit) = Self::place(id);
        self.0[word] = if on { self.0[word] | bit } else { self.0[word] & !bit };
        self
    }

    /// Whether no port is in it.
    pub const fn is_empty(&self) -> bool {
        let [a, b, c, d] = self.0;
        a | b | c | d == 0
    }
}

/// The members of one VLAN.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vlan {
    /// The ports that are in it.
    pub members: PortSet,
    /// Those of them where its frames leave without a tag.
    pub untagged: PortSet,
}

const _: () = assert!(size_of::<Vlan>() == 64);

/// A port's part in a VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// None: its frames neither enter nor leave there.
    None,
    /// They leave with a tag.
    Tagged,
    /// They leave without one.
    Untagged,
}

impl Vlan {
    /// A port's part in it.
    #[inline(always)]
    pub const fn membership(&self, id: PortId) -> Membership {
        if !self.members.has(id) {
            Membership::None
        } else if self.untagged.has(id) {
            Membership::Untagged
        } else {
            Membership::Tagged
        }
    }

    /// The same, with another part for a port.
    pub const fn with(self, id: PortId, part: Membership) -> Self {
        Self {
            members: self.members.with(id, !matches!(part, Membership::None)),
            untagged: self.untagged.with(id, matches!(part, Membership::Untagged)),
        }
    }
}

/// One CPU's share of what is counted for a VLAN, on all ports together.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VlanCounters {
    /// Frames that came in and were of this VLAN, those dropped later included.
    pub rx_packets: u64,
    /// Their bytes, as in [`crate::PortCounters`].
    pub rx_bytes: u64,
    /// Frames, and copies, that were sent out.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
}

const _: () = assert!(size_of::<VlanCounters>() == 32);

impl VlanCounters {
    /// Adds another CPU's share.
    pub fn add(&mut self, other: &Self) {
        self.rx_packets = self.rx_packets.wrapping_add(other.rx_packets);
        self.rx_bytes = self.rx_bytes.wrapping_add(other.rx_bytes);
        self.tx_packets = self.tx_packets.wrapping_add(other.tx_packets);
        self.tx_bytes = self.tx_bytes.wrapping_add(other.tx_bytes);
    }
}

/// A frame's outermost tag, 802.1Q or 802.1ad, as far as VLANs care.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag(u32);

impl Tag {
    /// No tag, or none that anybody asks about: VLAN filtering is off.
    pub const NONE: Self = Self(0);
    const PRESENT: u32 = 1 << 16;
    const DOUBLE: u32 = 1 << 17;

    /// A tag of this TCI. `double` is whether another tag is behind it.
    #[inline(always)]
    pub const fn new(tci: u16, double: bool) -> Self {
        Self(Self::PRESENT | (tci & 0xfff) as u32 | if double { Self::DOUBLE } else { 0 })
    }

    /// Whether there is one.
    #[inline(always)]
    pub const fn is_present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// Whether another tag is behind it.
    #[inline(always)]
    pub const fn is_double(self) -> bool {
        self.0 & Self::DOUBLE != 0
    }

    /// Its VLAN ID; 0 for a priority tag, and where there is no tag.
    #[inline(always)]
    pub const fn vid(self) -> u16 {
        (self.0 & 0xfff) as u16
    }
}

/// What happens to a frame's tag when it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retag {
    /// It stays as it came.
    Keep,
    /// The tag is taken off.
    Pop,
    /// A tag of its VLAN is put on.
    Push,
    /// Its priority tag gets its VLAN's number, and keeps the priority.
    Rewrite,
}

/// How a frame of this tag leaves a port where its VLAN is untagged, or tagged. `None` if it must not: without its
/// tag another one behind it would show, and be taken for the frame's VLAN (the classic double-tag hop).
#[inline(always)]
pub const fn retag(tag: Tag, untagged: bool) -> Option<Retag> {
    match (tag.is_present(), untagged) {
        (false, true) => Some(Retag::Keep),
        (false, false) => Some(Retag::Push),
        (true, true) if tag.is_double() => None,
        (true, true) => Some(Retag::Pop),
        (true, false) if tag.vid() == 0 => Some(Retag::Rewrite),
        (true, false) => Some(Retag::Keep),
    }
}

/// Where the decision reads the facts of VLANs.
pub trait Vlans {
    /// A port's part in a VLAN.
    fn membership(&self, vid: u16, id: PortId) -> Membership;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_every_port() {
        for id in (0..256).map(PortId) {
            let set = PortSet::default().with(id, true);
            assert!((0..256).map(PortId).all(|other| set.has(other) == (other == id)));
            assert!(!set.is_empty() && set.with(id, false).is_empty());
        }
    }

    #[test]
    fn a_part_is_what_was_written() {
        let (one, two) = (PortId(63), PortId(64));
        for part in [Membership::Untagged, Membership::Tagged, Membership::None] {
            let vlan = Vlan::default().with(one, Membership::Untagged).with(two, part);
            assert_eq!((vlan.membership(one), vlan.membership(two)), (Membership::Untagged, part));
            assert_eq!(vlan.with(one, Membership::None).members.is_empty(), part == Membership::None);
        }
    }

    #[test]
    fn no_second_tag_is_bared() {
        assert_eq!(retag(Tag::new(10, true), true), None);
        assert_eq!(retag(Tag::new(10, true), false), Some(Retag::Keep));
        assert_eq!(retag(Tag::new(0xe000, false), false), Some(Retag::Rewrite));
        assert_eq!(retag(Tag::new(0xe000, true), true), None);
        assert_eq!(retag(Tag::NONE, true), Some(Retag::Keep));
    }
}
