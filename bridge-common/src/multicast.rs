//! Groups: where a frame that is for a group goes on a bridge that snoops, and whether the controller is shown it.
//!
//! Who is in which group is the controller's to know, by what hosts and routers say; here are only the sets of ports that it made of
//! that. A frame's set is found once; each copy then asks whether its port is in it.
//!
//! Groups are trusted only where a querier is known, in each VLAN and for each family by itself (`br_multicast_querier_exists`): without
//! one nobody asks the hosts, and those that say nothing would be forgotten. Who is trusted has an entry among the groups
//! ([`GroupKey::asked`]), whose set are the ports of that VLAN behind which there are routers.

mod look;

pub use look::{Look, NOT_SHOWN, look};

use crate::{PortId, vlan::PortSet};

/// The set of all ports: an ordinary flood.
pub const EVERYONE: u32 = 0;
/// The set of all ports behind which there are multicast routers, in any VLAN: to be shown. Nothing is forwarded by it.
pub const ROUTERS: u32 = 1;
/// The first set of a group.
pub const FIRST_SET: u32 = 2;
/// The most groups and sources of groups together.
pub const MAX_GROUPS: u32 = 8192;
/// The most entries of [`GroupKey::asked`]: both families in every VLAN, and where there are none.
pub const MAX_ASKED: u32 = 2 * 4095;
/// Elements of the map of groups: while many of them change, those that go are there beside those that come.
pub const MAX_KEYS: u32 = 2 * MAX_GROUPS + MAX_ASKED;
/// Elements of the map of sets.
pub const MAX_SETS: u32 = MAX_KEYS + FIRST_SET;

// Two numbers fit into one: see `Look::sets`.
const _: () = assert!(MAX_SETS <= 1 << 16);

/// [`GroupKey::family`] of IPv4.
pub const V4: u16 = 4;
/// The same, of IPv6.
pub const V6: u16 = 6;

/// A group in a VLAN, or what one source sends to it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    /// The VLAN; 0 while VLAN filtering is off.
    pub vlan: u16,
    /// [`V4`] or [`V6`].
    pub family: u16,
    /// The group's address, as in the frame; of IPv4 the first word.
    pub group: [u32; 4],
    /// The source's; zero for all that have no entry of their own.
    pub source: [u32; 4],
}

const _: () = assert!(size_of::<GroupKey>() == 36);

impl GroupKey {
    /// No group's key, but that of the routers of a VLAN where somebody asks by this family.
    #[inline(always)]
    pub const fn asked(vlan: u16, family: u16) -> Self {
        Self { vlan, family, group: [0; 4], source: [0; 4] }
    }
}

/// The ports that a group's frames leave through, beside those of routers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupSet {
    /// All of them.
    pub ports: PortSet,
    /// Those that the operator put into it. For the controller only.
    pub permanent: PortSet,
}

const _: () = assert!(size_of::<GroupSet>() == 64);

/// What an operator says of a port and groups. For the controller only.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupPolicy {
    /// The most groups, and sources of groups, that it has; 0 for the default.
    pub groups_max: u32,
    /// A [`RouterMode`].
    pub router: u16,
    /// 1 if a group that is left there is forgotten at once.
    pub fast_leave: u16,
}

const _: () = assert!(size_of::<GroupPolicy>() == 8);

/// Whether there is a multicast router behind a port: `mcast_router` of `bridge link`, in other numbers, so that zeroes are the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u16)]
pub enum RouterMode {
    /// While queries, or a router's hellos, come from there.
    #[default]
    Learned = 0,
    /// Never.
    Disabled = 1,
    /// Always.
    Permanent = 2,
}

impl RouterMode {
    /// The mode of this number; unknown numbers are [`Self::Learned`].
    pub const fn from_raw(raw: u16) -> Self {
        match raw {
            1 => Self::Disabled,
            2 => Self::Permanent,
            _ => Self::Learned,
        }
    }
}

/// What the controller counted of a port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupCounters {
    /// Reports and leaves.
    pub reports: u64,
    /// Queries.
    pub queries: u64,
    /// Records of reports that were refused: the port, or the table, has all groups that it may have.
    pub refused: u64,
    /// Messages that could not be read.
    pub malformed: u64,
}

const _: () = assert!(size_of::<GroupCounters>() == 32);

/// Where the decision reads of groups.
pub trait Groups {
    /// The number of a group's set.
    fn set(&self, key: &GroupKey) -> Option<u32>;
    /// Whether a port is in the set of this number.
    fn has(&self, set: u32, port: PortId) -> bool;

    /// Whether a port is in one of these [`Look::sets`].
    #[inline(always)]
    fn is_member(&self, sets: u32, port: PortId) -> bool {
        self.has(sets >> 16, port) || self.has(sets & 0xffff, port)
    }
}
