//! What a frame says of neighbours.

use super::NeighbourKey;
use crate::{
    Mac, Packet,
    frame::{ether, protocol},
};

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
pub(super) const REPLY: u8 = 2;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
pub(super) const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
pub(super) const SOURCE_LINK: u8 = 1;
pub(super) const TARGET_LINK: u8 = 2;
/// Bytes of a solicitation, and of an advertisement, with one link-layer address: the only ones that are read, and answered in place.
pub(super) const DISCOVERY: u8 = 32;

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
