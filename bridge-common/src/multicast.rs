//! Groups: where a frame that is for a group goes on a bridge that snoops, and whether the controller is shown it.
//!
//! Who is in which group is the controller's to know, by what hosts and routers say; here are only the sets of ports that it made of
//! that. A frame's set is found once; each copy then asks whether its port is in it.
//!
//! Groups are trusted only while a querier is known, for each family by itself (`br_multicast_querier_exists`): without one nobody
//! asks the hosts, and those that say nothing would be forgotten.

use crate::{
    Packet, PortId,
    config::ConfigFlags,
    frame::{ether, protocol},
    snoop::SnoopKind,
    vlan::PortSet,
};

/// The set of all ports: an ordinary flood.
pub const EVERYONE: u32 = 0;
/// The set of the ports behind which there are multicast routers. They are in every set that follows, too.
pub const ROUTERS: u32 = 1;
/// The first set of a group.
pub const FIRST_SET: u32 = 2;
/// The most groups and sources of groups together.
pub const MAX_GROUPS: u32 = 8192;
/// Elements of the map of sets.
pub const MAX_SETS: u32 = MAX_GROUPS + FIRST_SET;

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
    /// Whether a port is in a set, or in that of the routers.
    fn is_member(&self, set: u32, port: PortId) -> bool;
}

/// What a frame for a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The set of ports that it is for.
    pub set: u32,
    /// As what the controller is shown it, as a number; [`NOT_SHOWN`] if it is not.
    pub shown: u32,
    /// A query of this bridge itself, which the host's own stack is to hear too.
    pub own_query: bool,
}

/// No [`SnoopKind`].
pub const NOT_SHOWN: u32 = SnoopKind::COUNT;

impl Look {
    const FLOODED: Self = Self { set: EVERYONE, shown: NOT_SHOWN, own_query: false };

    #[inline(always)]
    const fn shown(kind: SnoopKind, set: u32) -> Self {
        Self { set, shown: kind as u32, own_query: false }
    }

    /// All of it in one number.
    #[inline(always)]
    pub const fn to_word(self) -> u64 {
        self.set as u64 | (self.shown as u64) << 32 | (self.own_query as u64) << 40
    }

    /// The reverse of [`Self::to_word`].
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { set: word as u32, shown: (word >> 32) as u32 & 0xff, own_query: word >> 40 & 1 != 0 }
    }
}

/// Looks into a frame that is for a group, on a bridge that snoops.
#[inline(always)]
pub fn look(
    packet: &impl Packet,
    ingress: PortId,
    vlan: u16,
    flags: ConfigFlags,
    groups: &impl Groups,
) -> Look {
    match ether::network(packet) {
        Some((ether::IPV4, at)) => look_v4(packet, at, ingress, vlan, flags, groups),
        Some((ether::IPV6, at)) => look_v6(packet, at, ingress, vlan, flags, groups),
        _ => Look::FLOODED,
    }
}

/// Where something goes that only routers want to hear, if there is a querier who knows them.
#[inline(always)]
const fn to_routers(querier: bool) -> u32 {
    if querier { ROUTERS } else { EVERYONE }
}

#[inline(always)]
fn look_v4(
    packet: &impl Packet,
    at: u32,
    ingress: PortId,
    vlan: u16,
    flags: ConfigFlags,
    groups: &impl Groups,
) -> Look {
    let Some([first, _]) = packet.load(at) else { return Look::FLOODED };
    let Some([next, _]) = packet.load(at + 9) else { return Look::FLOODED };
    let (Some(source), Some(group)) = (packet.load(at + 12), packet.load::<4>(at + 16)) else {
        return Look::FLOODED;
    };
    let source = u32::from_ne_bytes(source);
    let querier = flags.has(ConfigFlags::MCAST_QUERIER_V4);
    if next == protocol::IGMP {
        let Some([kind, _]) = packet.load(at + (first as u32 & 0x0f) * 4) else { return Look::FLOODED };
        return match kind {
            0x11 => Look {
                own_query: ingress.0 == PortId::HOST.0 && source == 0,
                ..Look::shown(SnoopKind::Igmp, EVERYONE)
            },
            0x12 | 0x16 | 0x17 | 0x22 => Look::shown(SnoopKind::Igmp, to_routers(querier)),
            _ => Look::FLOODED,
        };
    }
    let [a, b, c, d] = group;
    if a & 0xf0 != 0xe0 {
        // A group address of a cluster of unicast stations, as some load balancers have.
        return Look::FLOODED;
    }
    if a == 224 && b == 0 && c == 0 {
        // Of one link, for which nobody has to report. A router's hello (RFC 7761) tells where it is.
        let hello = d == 13 && next == protocol::PIM;
        return if hello { Look::shown(SnoopKind::Igmp, EVERYONE) } else { Look::FLOODED };
    }
    if !querier {
        return Look::FLOODED;
    }
    let (group, source) = ([u32::from_ne_bytes(group), 0, 0, 0], [source, 0, 0, 0]);
    registered(GroupKey { vlan, family: V4, group, source }, flags, groups)
}

#[inline(always)]
fn look_v6(
    packet: &impl Packet,
    at: u32,
    ingress: PortId,
    vlan: u16,
    flags: ConfigFlags,
    groups: &impl Groups,
) -> Look {
    let Some([next, _]) = packet.load(at + 6) else { return Look::FLOODED };
    let querier = flags.has(ConfigFlags::MCAST_QUERIER_V6);
    if next == 0 {
        // Listener discovery is always behind a hop-by-hop header, with its router alert (RFC 3810, section 5).
        let Some([next, length]) = packet.load(at + 40) else { return Look::FLOODED };
        if next == protocol::ICMPV6 {
            let Some([kind, _]) = packet.load(at + 48 + length as u32 * 8) else { return Look::FLOODED };
            match kind {
                130 => {
                    let own_query = ingress.0 == PortId::HOST.0;
                    return Look { own_query, ..Look::shown(SnoopKind::Mld, EVERYONE) };
                }
                131 | 132 | 143 => return Look::shown(SnoopKind::Mld, to_routers(querier)),
                _ => {}
            }
        }
    }
    let (Some(source), Some(group)) = (words(packet, at + 8), words(packet, at + 24)) else {
        return Look::FLOODED;
    };
    let [first, second, third, last] = group;
    let link = first == u32::from_be_bytes([0xff, 0x02, 0, 0]).to_be() && second == 0 && third == 0;
    if first.to_be() >> 24 != 0xff || link && last == 1u32.to_be() {
        return Look::FLOODED;
    }
    let look = if querier {
        registered(GroupKey { vlan, family: V6, group, source }, flags, groups)
    } else {
        Look::FLOODED
    };
    let hello = link && last == 13u32.to_be() && next == protocol::PIM;
    Look { shown: if hello { SnoopKind::Mld as u32 } else { NOT_SHOWN }, ..look }
}

/// An IPv6 address, as it is in the frame.
#[inline(always)]
fn words(packet: &impl Packet, at: u32) -> Option<[u32; 4]> {
    // SAFETY: plain bytes both, of one size.
    packet.load::<16>(at).map(|bytes| unsafe { core::mem::transmute::<[u8; 16], [u32; 4]>(bytes) })
}

/// The set of a group's data: the source's own, or the group's, or that of the unregistered.
#[inline(always)]
fn registered(mut key: GroupKey, flags: ConfigFlags, groups: &impl Groups) -> Look {
    if let Some(set) = groups.set(&key) {
        return Look { set, ..Look::FLOODED };
    }
    key.source = [0; 4];
    let unregistered = if flags.has(ConfigFlags::MCAST_UNREGISTERED) { EVERYONE } else { ROUTERS };
    Look { set: groups.set(&key).unwrap_or(unregistered), ..Look::FLOODED }
}
