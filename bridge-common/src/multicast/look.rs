//! Looking into a frame that is for a group: which ports it is for, and whether the controller is shown it.

use super::{EVERYONE, GroupKey, Groups, V4, V6};
use crate::{
    Packet, PortId,
    config::ConfigFlags,
    frame::{ether, protocol},
    snoop::SnoopKind,
};

/// What a frame for a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The sets of ports that it is for: a group's number, and that of its VLAN's routers in the upper half. [`EVERYONE`] is no such pair.
    pub sets: u32,
    /// As what the controller is shown it, as a number; [`NOT_SHOWN`] if it is not.
    pub shown: u32,
    /// A query of this bridge itself, which the host's own stack is to hear too.
    pub own_query: bool,
}

/// No [`SnoopKind`].
pub const NOT_SHOWN: u32 = SnoopKind::COUNT;

impl Look {
    const FLOODED: Self = Self { sets: EVERYONE, shown: NOT_SHOWN, own_query: false };

    #[inline(always)]
    const fn shown(kind: SnoopKind, sets: u32) -> Self {
        Self { sets, shown: kind as u32, own_query: false }
    }

    /// All of it in one number.
    #[inline(always)]
    pub const fn to_word(self) -> u64 {
        self.sets as u64 | (self.shown as u64) << 32 | (self.own_query as u64) << 40
    }

    /// The reverse of [`Self::to_word`].
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { sets: word as u32, shown: (word >> 32) as u32 & 0xff, own_query: word >> 40 & 1 != 0 }
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
        Some((ether::IPV4, at)) => look_v4(packet, at, ingress, &Place::of(vlan, V4, flags, groups), groups),
        Some((ether::IPV6, at)) => look_v6(packet, at, ingress, &Place::of(vlan, V6, flags, groups), groups),
        _ => Look::FLOODED,
    }
}

/// What is known of groups in the frame's VLAN.
struct Place {
    /// [`GroupKey::asked`].
    key: GroupKey,
    /// The set of the routers; [`EVERYONE`] where nobody asks.
    routers: u32,
    /// What nobody has spoken of is flooded.
    floods: bool,
}

impl Place {
    #[inline(always)]
    fn of(vlan: u16, family: u16, flags: ConfigFlags, groups: &impl Groups) -> Self {
        let somewhere =
            if family == V4 { ConfigFlags::MCAST_QUERIER_V4 } else { ConfigFlags::MCAST_QUERIER_V6 };
        let key = GroupKey::asked(vlan, family);
        let routers = if flags.has(somewhere) { groups.set(&key) } else { None };
        Self { key, routers: routers.unwrap_or(EVERYONE), floods: flags.has(ConfigFlags::MCAST_UNREGISTERED) }
    }

    /// What only routers want to hear.
    #[inline(always)]
    const fn routers(&self) -> u32 {
        self.routers | self.routers << 16
    }

    /// Where a group's data goes: where the source's own set says, or the group's, or that of the unregistered.
    #[inline(always)]
    fn registered(&self, group: [u32; 4], source: [u32; 4], groups: &impl Groups) -> u32 {
        if self.routers == EVERYONE {
            return EVERYONE;
        }
        let mut key = GroupKey { group, source, ..self.key };
        let mut set = groups.set(&key);
        if set.is_none() {
            key.source = [0; 4];
            set = groups.set(&key);
        }
        match set {
            Some(set) => set | self.routers << 16,
            None if self.floods => EVERYONE,
            None => self.routers(),
        }
    }
}

#[inline(always)]
fn look_v4(packet: &impl Packet, at: u32, ingress: PortId, place: &Place, groups: &impl Groups) -> Look {
    let Some([first, _]) = packet.load(at) else { return Look::FLOODED };
    let Some([next, _]) = packet.load(at + 9) else { return Look::FLOODED };
    let (Some(source), Some(group)) = (packet.load(at + 12), packet.load::<4>(at + 16)) else {
        return Look::FLOODED;
    };
    let source = u32::from_ne_bytes(source);
    if next == protocol::IGMP {
        let Some([kind, _]) = packet.load(at + (first as u32 & 0x0f) * 4) else { return Look::FLOODED };
        return match kind {
            0x11 => Look {
                own_query: ingress.0 == PortId::HOST.0 && source == 0,
                ..Look::shown(SnoopKind::Igmp, EVERYONE)
            },
            0x12 | 0x16 | 0x17 | 0x22 => Look::shown(SnoopKind::Igmp, place.routers()),
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
    let group = [u32::from_ne_bytes(group), 0, 0, 0];
    Look { sets: place.registered(group, [source, 0, 0, 0], groups), ..Look::FLOODED }
}

#[inline(always)]
fn look_v6(packet: &impl Packet, at: u32, ingress: PortId, place: &Place, groups: &impl Groups) -> Look {
    let Some([next, _]) = packet.load(at + 6) else { return Look::FLOODED };
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
                131 | 132 | 143 => return Look::shown(SnoopKind::Mld, place.routers()),
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
    let hello = link && last == 13u32.to_be() && next == protocol::PIM;
    let shown = if hello { SnoopKind::Mld as u32 } else { NOT_SHOWN };
    Look { sets: place.registered(group, source, groups), shown, own_query: false }
}

/// An IPv6 address, as it is in the frame.
#[inline(always)]
fn words(packet: &impl Packet, at: u32) -> Option<[u32; 4]> {
    // SAFETY: plain bytes both, of one size.
    packet.load::<16>(at).map(|bytes| unsafe { core::mem::transmute::<[u8; 16], [u32; 4]>(bytes) })
}
