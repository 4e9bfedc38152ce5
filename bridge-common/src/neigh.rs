//! Neighbours: which station has which IP address, what their requests say, and what is answered for them (`neigh_suppress`).
//!
//! The rule of who has an address: who says so first, for as long as it is alive in the FDB. Another station that says so, too, changes no
//! answer: it only has requests for that address flooded again, until the one that has it speaks and a minute has passed. So an address
//! that moves to another station works at once, as without us, and a guest that lies gains nothing by us.

mod answer;

pub use answer::{ARP_ANSWER, advertisement, arp_answer, link_option};

use crate::{
    Address, Config, FdbKey, Mac, Packet, PortFlags, PortId, Ports, Stations, Vlans,
    frame::{ether, protocol},
    vlan::Membership,
};

/// The most neighbours of a bridge: as many as all ports together may have.
pub const NEIGHBOURS_MAX: u32 = 20_480;
/// The most that one guest's port may have.
pub const NEIGHBOURS_OF_GUEST: u64 = 64;
/// The most that the host, or the outside, may have.
pub const NEIGHBOURS_OF_UPLINK: u64 = 1_024;
/// A neighbour that says nothing of its address for so many ageing times has it no longer.
pub const AGEING_TIMES: u64 = 4;
/// So many nanoseconds after another station has said that it has an address, its holder is not believed.
pub const DOUBT: u64 = 60_000_000_000;
/// A neighbour's time is written at most once in so many nanoseconds.
const REFRESH: u64 = 1_000_000_000;

/// An address in a VLAN.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NeighbourKey {
    /// The VLAN; 0 while VLANs are not filtered.
    pub vlan: u16,
    /// 4 or 6.
    pub family: u16,
    /// The address, in the order of the wire; an IPv4 one is padded with zeroes.
    pub address: [u8; 16],
}

const _: () = assert!(size_of::<NeighbourKey>() == 20);

/// Who has an address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Neighbour {
    /// MAC address in bits 0 to 47 as [`Mac`] lies in memory, port number in bits 48 to 55, flags above.
    pub place: u64,
    /// When it last said so, in nanoseconds of `CLOCK_MONOTONIC`.
    pub last_seen: u64,
    /// When another station last said that it has the address; 0 for never.
    pub doubted: u64,
}

const _: () = assert!(size_of::<Neighbour>() == 24);

impl Neighbour {
    const STATIC: u64 = 1 << 56;
    const ROUTER: u64 = 1 << 57;

    /// No neighbour. (A value and no `Option`, of whose `None` LLVM copies words that nobody wrote.)
    pub const NOBODY: Self = Self { place: 0, last_seen: 0, doubted: 0 };

    /// [`Self::NOBODY`].
    #[inline(always)]
    pub const fn is_nobody(&self) -> bool {
        self.place == 0
    }

    /// A neighbour that was heard just now.
    #[inline(always)]
    pub const fn new(mac: Mac, port: PortId, router: bool, now: u64) -> Self {
        let place = mac.address().word() >> 16 | ((port.0 & 0xff) as u64) << 48;
        Self { place: place | if router { Self::ROUTER } else { 0 }, last_seen: now, doubted: 0 }
    }

    /// One that the operator has set: it neither ages nor is doubted.
    pub const fn fixed(mac: Mac, port: PortId) -> Self {
        let learned = Self::new(mac, port, false, 0);
        Self { place: learned.place | Self::STATIC, ..learned }
    }

    /// Its MAC address.
    #[inline(always)]
    pub const fn mac(&self) -> Mac {
        Address::from_word(self.place << 16).mac()
    }

    /// The port behind which it is.
    #[inline(always)]
    pub const fn port(&self) -> PortId {
        PortId((self.place >> 48 & 0xff) as u16)
    }

    /// Set by the operator.
    #[inline(always)]
    pub const fn is_static(&self) -> bool {
        self.place & Self::STATIC != 0
    }

    /// It has said that it is a router.
    #[inline(always)]
    pub const fn is_router(&self) -> bool {
        self.place & Self::ROUTER != 0
    }

    /// It has not spoken of its address for too long. `ageing` is the FDB's, in nanoseconds; 0 is for ever.
    #[inline(always)]
    pub const fn is_expired(&self, now: u64, ageing: u64) -> bool {
        !self.is_static()
            && ageing != 0
            && now.saturating_sub(self.last_seen) > ageing.saturating_mul(AGEING_TIMES)
    }

    /// Another station says that it has the address.
    #[inline(always)]
    pub const fn is_doubted(&self) -> bool {
        self.doubted != 0 && self.last_seen < self.doubted.saturating_add(DOUBT)
    }

    /// Whether the FDB has it where it was heard, or nothing else is to be asked.
    #[inline(always)]
    pub fn is_alive(&self, vlan: u16, now: u64, config: &Config, fdb: &impl Stations) -> bool {
        if self.is_static() {
            return true;
        }
        if self.is_expired(now, config.ageing) {
            return false;
        }
        if self.mac().address().is(config.uplink) {
            return self.port() == PortId::HOST;
        }
        match fdb.station(&FdbKey { vlan, mac: self.mac() }) {
            Some(entry) => entry.port() == self.port() && !entry.is_expired(now, config.ageing),
            None => false,
        }
    }

    /// What is to be written when a station at a port says that it has an address, [`Self::NOBODY`] for nothing; `known` is who has it, if
    /// anybody is alive that does.
    #[inline(always)]
    pub fn after_claim(known: Self, heard: &Heard, port: PortId, now: u64) -> Self {
        let router = heard.is(Heard::ROUTER);
        if known.is_nobody() {
            // Whether it is a router nobody has said yet: see `Heard::WEAK`.
            return if heard.is(Heard::WEAK) {
                Self::NOBODY
            } else {
                Self::new(heard.mac, port, router, now)
            };
        }
        if known.is_static() {
            return Self::NOBODY;
        }
        let same = known.mac().is(heard.mac);
        if same || known.port() == port && port.is_guest() {
            let router = router || same && heard.is(Heard::WEAK | Heard::ASKS) && known.is_router();
            let new = Self { doubted: known.doubted, ..Self::new(heard.mac, port, router, now) };
            let fresh = now.saturating_sub(known.last_seen) < REFRESH;
            return if fresh && new.place == known.place { Self::NOBODY } else { new };
        }
        let fresh = known.doubted != 0 && now.saturating_sub(known.doubted) < REFRESH;
        if fresh { Self::NOBODY } else { Self { doubted: now, ..known } }
    }
}

/// What a frame says of neighbours.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The address that its sender says to have, as in [`NeighbourKey`].
    pub sender: [u8; 16],
    /// The address that it asks for.
    pub target: [u8; 16],
    /// The sender.
    pub mac: Mac,
    /// 4 or 6.
    pub family: u16,
    /// Where the ARP or IPv6 header begins.
    pub at: u32,
    /// The constants of this type.
    pub bits: u32,
}

const _: () = assert!(size_of::<Heard>() == 48);

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const SOURCE_LINK: u8 = 1;
const TARGET_LINK: u8 = 2;
/// Bytes of a solicitation, and of an advertisement, with one link-layer address: the only ones that are read, and answered in place.
const DISCOVERY: u8 = 32;

impl Heard {
    /// It asks who has `target`, and waits for an answer.
    pub const ASKS: u32 = 1;
    /// It asks nobody: an announcement, or the question whether anybody has the sender's own address.
    pub const ANNOUNCES: u32 = 1 << 1;
    /// Its sender says to have `sender`.
    pub const CLAIMS: u32 = 1 << 2;
    /// It does not say whether a link-local address is a router's. An answer that denies it would cost hosts their default route
    /// (RFC 4861, section 7.2.5), so nothing begins with that.
    pub const WEAK: u32 = 1 << 3;
    /// Its sender says to be a router.
    pub const ROUTER: u32 = 1 << 4;

    /// Some of `bits` are set.
    #[inline(always)]
    pub const fn is(&self, bits: u32) -> bool {
        self.bits & bits != 0
    }

    /// The key of an address of its kind.
    #[inline(always)]
    pub const fn key(&self, vlan: u16, address: [u8; 16]) -> NeighbourKey {
        NeighbourKey { vlan, family: self.family, address }
    }

    /// Reads a frame. `aside` is whether the kernel keeps a tag beside its bytes. While VLANs are not filtered a frame with a tag is
    /// another network's, as in the Linux bridge.
    #[inline(always)]
    pub fn read(packet: &impl Packet, src: Mac, aside: bool, filters: bool) -> Option<Self> {
        let (mut kind, mut at) = (u16::from_be_bytes(packet.load(12)?), 14);
        let tagged = ether::is_tag(kind);
        if (aside || tagged) && !filters || aside && tagged {
            return None;
        }
        if tagged {
            (kind, at) = (u16::from_be_bytes(packet.load(16)?), 18);
        }
        match kind {
            ether::ARP => Self::arp(packet, src, at),
            ether::IPV6 => Self::ipv6(packet, src, at),
            _ => None,
        }
    }

    #[inline(always)]
    fn arp(packet: &impl Packet, src: Mac, at: u32) -> Option<Self> {
        let [0, 1, 8, 0, 6, 4, 0, operation] = packet.load(at)? else { return None };
        let [h0, h1, h2, h3, h4, h5, s0, s1, s2, s3] = packet.load(at + 8)?;
        let [t0, t1, t2, t3] = packet.load(at + 24)?;
        let (hardware, sender, target) = (Mac([h0, h1, h2, h3, h4, h5]), [s0, s1, s2, s3], [t0, t1, t2, t3]);
        if !hardware.is(src) {
            return None;
        }
        let nobody = s0 == 0;
        let mut bits = match operation {
            REQUEST | REPLY if nobody || sender == target => Self::ANNOUNCES,
            REQUEST => Self::ASKS,
            REPLY => 0,
            _ => return None,
        };
        // A group's address, and those that are nobody's, are no neighbour's.
        if !nobody && s0 < 224 && s0 != 127 {
            bits |= Self::CLAIMS;
        }
        let [sender, target] =
            [sender, target].map(|[a, b, c, d]| [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        Some(Self { sender, target, mac: src, family: 4, at, bits })
    }

    #[inline(always)]
    fn ipv6(packet: &impl Packet, src: Mac, at: u32) -> Option<Self> {
        let [version, _, _, _, _, length, next, hops] = packet.load(at)?;
        if version >> 4 != 6 || next != protocol::ICMPV6 || hops != 255 {
            return None;
        }
        let [kind, code, _, _, flags, _, _, _] = packet.load(at + 40)?;
        if code != 0 {
            return None;
        }
        let sender = packet.load::<16>(at + 8)?;
        let nobody = sender == [0; 16];
        let [f, e, ..] = sender;
        let link_local = f == 0xfe && e & 0xc0 == 0x80;
        let heard = Self { sender, mac: src, family: 6, at, ..Self::default() };
        if kind == ROUTER_ADVERTISEMENT {
            return link_local.then_some(Self { bits: Self::CLAIMS | Self::ROUTER, ..heard });
        }
        let target = packet.load::<16>(at + 48)?;
        if kind == NEIGHBOUR_SOLICITATION && (nobody || sender == target) {
            return Some(Self { target, bits: Self::ANNOUNCES, ..heard });
        }
        // Solicited ones that are for many answer who asked without an address.
        let unasked = if flags & 0x40 == 0 { Self::ANNOUNCES } else { 0 };
        if length != DISCOVERY {
            let announces = kind == NEIGHBOUR_ADVERTISEMENT && unasked != 0;
            return announces.then_some(Self { target, bits: unasked, ..heard });
        }
        let [option, words, a, b, c, d, e, f] = packet.load(at + 64)?;
        if words != 1 || !Mac([a, b, c, d, e, f]).is(src) {
            return None;
        }
        // A group's address, and nobody's, are no neighbour's.
        let claimed = if kind == NEIGHBOUR_SOLICITATION { sender } else { target };
        if claimed == [0; 16] || claimed[0] == 0xff {
            return None;
        }
        match (kind, option) {
            (NEIGHBOUR_SOLICITATION, SOURCE_LINK) => {
                let weak = if link_local { Self::WEAK } else { 0 };
                Some(Self { target, bits: Self::ASKS | Self::CLAIMS | weak, ..heard })
            }
            (NEIGHBOUR_ADVERTISEMENT, TARGET_LINK) => {
                let router = if flags & 0x80 != 0 { Self::ROUTER } else { 0 };
                Some(Self { sender: target, target, bits: unasked | Self::CLAIMS | router, ..heard })
            }
            _ => None,
        }
    }
}

/// What becomes of a frame that speaks of neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Outcome {
    /// It is flooded as ever.
    Flood,
    /// It is flooded, but not to ports with `neigh_suppress`.
    Withhold,
    /// The same, and it is answered for the neighbour.
    Answer,
}

/// Decides about a frame that `from`, the word of its port, lets in at `ingress`; `known` is who has its target, if
/// anybody.
#[inline(always)]
pub fn outcome<T: Stations + Ports + Vlans>(
    heard: &Heard,
    known: &Neighbour,
    (ingress, from): (PortId, PortFlags),
    (vlan, now): (u16, u64),
    config: &Config,
    tables: &T,
) -> Outcome {
    if from.has(PortFlags::NEIGH_SUPPRESS) {
        return Outcome::Flood;
    }
    if heard.is(Heard::ANNOUNCES) {
        return Outcome::Withhold;
    }
    if !heard.is(Heard::ASKS)
        || known.is_nobody()
        || known.is_doubted()
        || !known.is_alive(vlan, now, config, tables)
    {
        return Outcome::Flood;
    }
    let Some(port) = tables.port(known.port()).filter(crate::Port::is_up) else { return Outcome::Flood };
    let apart = from.has(PortFlags::ISOLATED) && port.flags.has(PortFlags::ISOLATED);
    let elsewhere = config.filters_vlans() && tables.membership(vlan, known.port()) == Membership::None;
    if apart || elsewhere {
        return Outcome::Flood;
    }
    let answers = port.flags.has(PortFlags::NEIGH_SUPPRESS) && known.port() != ingress;
    if answers { Outcome::Answer } else { Outcome::Withhold }
}

#[cfg(test)]
#[path = "tests/neigh.rs"]
mod tests;
