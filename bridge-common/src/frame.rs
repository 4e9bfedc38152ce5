//! What the decision knows of a frame, and how it is read.

use crate::{
    FdbKey,
    mac::Address,
    vlan::{Retag, Tag},
};

/// Bytes of an Ethernet header without tags.
pub const HEADER: u32 = 14;

/// A frame's bytes. Reads are checked against the end of the frame; there is no other way to read it.
pub trait Packet {
    /// The `N` bytes at `offset` from the destination address, if the frame has them. `N` is at least 2: for
    /// the verifier, a byte before the end of a frame is none (`find_good_pkt_pointers` learns no range from
    /// `pointer < end`).
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;

    /// The Ethernet header, if the frame has a whole one.
    #[inline(always)]
    fn header(&self) -> Option<Header> {
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, k0, k1] = self.load(0)?;
        Some(Header {
            dst: Address::from_word(u64::from_le_bytes([0, 0, d0, d1, d2, d3, d4, d5])),
            src: Address::from_word(u64::from_le_bytes([0, 0, s0, s1, s2, s3, s4, s5])),
            kind: u16::from_be_bytes([k0, k1]),
        })
    }

    /// The IPv4 header right behind that, if there is one without options, and four bytes more.
    #[inline(always)]
    fn ipv4(&self) -> Option<Ipv4> {
        let bytes: [u8; 26] = self.load(12)?;
        let [8, 0, 0x45, _, l0, l1, _, _, f0, f1, _, next, _, _, a, b, c, d, e, f, g, h, rest @ ..] = bytes
        else {
            return None;
        };
        Some(Ipv4 {
            total: u16::from_be_bytes([l0, l1]),
            fragment: u16::from_be_bytes([f0, f1]),
            next,
            source: u32::from_ne_bytes([a, b, c, d]),
            destination: u32::from_ne_bytes([e, f, g, h]),
            rest: u32::from_be_bytes(rest),
        })
    }
}

/// What of an IPv4 packet is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4 {
    /// Bytes of header and payload.
    pub total: u16,
    /// Flags and offset.
    pub fragment: u16,
    /// The protocol's number.
    pub next: u8,
    /// Where it is from: the address, in the order of the wire.
    pub source: u32,
    /// Where it goes, likewise.
    pub destination: u32,
    /// What comes behind: of UDP, the source port in the upper half, and the destination's.
    pub rest: u32,
}

impl Packet for &[u8] {
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let start = offset as usize;
        self.get(start..start.checked_add(N)?)?.try_into().ok()
    }
}

/// An Ethernet header without tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Destination.
    pub dst: Address,
    /// Source.
    pub src: Address,
    /// The EtherType, or a tag's.
    pub kind: u16,
}

/// The facts of a frame that the decision needs.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Destination.
    pub dst: Address,
    /// Source.
    pub src: Address,
    /// Its outermost tag; [`Tag::NONE`] while VLAN filtering is off, whatever it has.
    pub tag: Tag,
    /// What it is on the wire.
    pub frames: Segments,
}

impl Frame {
    /// Reads addresses and, if `tagged` asks for it, the tag. `aside` is the TCI of a tag that the kernel keeps beside the
    /// frame's bytes. `None` if there is no whole Ethernet header, or no whole tag.
    #[inline(always)]
    pub fn parse(packet: &impl Packet, frames: Segments, aside: Option<u16>, tagged: bool) -> Option<Self> {
        let Header { dst, src, kind } = packet.header()?;
        let tag = if tagged { tag(packet, kind, aside)? } else { Tag::NONE };
        Some(Self { dst, src, tag, frames })
    }

    /// The key of the station that sent it, in its VLAN.
    #[inline(always)]
    pub const fn source(&self, vlan: u16) -> FdbKey {
        FdbKey::of(vlan, self.src)
    }

    /// The key of the station that it is for.
    #[inline(always)]
    pub const fn destination(&self, vlan: u16) -> FdbKey {
        FdbKey::of(vlan, self.dst)
    }
}

/// The outermost tag of a frame whose first EtherType is `first`.
#[inline(always)]
fn tag(packet: &impl Packet, first: u16, aside: Option<u16>) -> Option<Tag> {
    if let Some(tci) = aside {
        return Some(Tag::new(tci, ether::is_tag(first)));
    }
    if !ether::is_tag(first) {
        return Some(Tag::NONE);
    }
    let [c0, c1, t0, t1] = packet.load::<4>(HEADER)?;
    Some(Tag::new(u16::from_be_bytes([c0, c1]), ether::is_tag(u16::from_be_bytes([t0, t1]))))
}

/// EtherTypes and where the network header starts.
pub mod ether {
    use super::Packet;

    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// 802.1Q.
    pub const VLAN: u16 = 0x8100;
    /// 802.1ad.
    pub const QINQ: u16 = 0x88a8;

    /// Whether a tag follows.
    #[inline(always)]
    pub const fn is_tag(kind: u16) -> bool {
        kind == VLAN || kind == QINQ
    }

    /// The EtherType after at most two tags, and the offset of what follows it.
    #[inline(always)]
    pub fn network(packet: &impl Packet) -> Option<(u16, u32)> {
        let mut offset = 12;
        let mut kind = u16::from_be_bytes(packet.load(offset)?);
        if is_tag(kind) {
            offset += 4;
            kind = u16::from_be_bytes(packet.load(offset)?);
            if is_tag(kind) {
                offset += 4;
                kind = u16::from_be_bytes(packet.load(offset)?);
            }
        }
        Some((kind, offset + 2))
    }
}

/// IP protocol numbers.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// PIM.
    pub const PIM: u8 = 103;
}

/// Frames and bytes that a segmented (GSO) packet becomes on the wire.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// How many frames.
    pub packets: u64,
    /// Their bytes together.
    pub bytes: u64,
    /// Bytes of the longest.
    pub longest: u32,
}

impl Segments {
    /// One frame of so many bytes.
    #[inline(always)]
    pub const fn one(length: u32) -> Self {
        Self { packets: 1, bytes: length as u64, longest: length }
    }

    /// The same after a change of their tags.
    #[inline(always)]
    pub const fn retagged(&self, retag: Retag) -> Self {
        match retag {
            Retag::Keep | Retag::Rewrite => *self,
            Retag::Push => Self { bytes: self.bytes + (self.packets << 2), ..*self },
            Retag::Pop => Self { bytes: self.bytes - (self.packets << 2), ..*self },
        }
    }

    /// `length` bytes of one packet, whose payload is to be cut into pieces of `gso_size` bytes (0 for one
    /// that is not). `gso_segs` is 0 for what a guest sends, so the headers are parsed; a tunnel counts by
    /// its outer headers.
    #[inline(always)]
    pub fn of(packet: &impl Packet, length: u32, gso_size: u32) -> Self {
        if gso_size == 0 {
            return Self::one(length);
        }
        Self::cut(length, gso_size, header_length(packet).unwrap_or(0))
    }

    /// The same, where the length of the headers is known; 0 if it is not: then it counts as one.
    #[inline(always)]
    pub const fn cut(length: u32, gso_size: u32, headers: u32) -> Self {
        let one = Self::one(length);
        if gso_size == 0 || headers == 0 {
            return one;
        }
        let payload = length.saturating_sub(headers);
        if payload <= gso_size {
            return one;
        }
        let packets = payload.div_ceil(gso_size) as u64;
        Self {
            packets,
            bytes: length as u64 + (packets - 1) * headers as u64,
            longest: headers.saturating_add(gso_size),
        }
    }
}

/// Bytes before the payload of TCP or UDP over IPv4 or IPv6.
#[inline(always)]
pub fn header_length(packet: &impl Packet) -> Option<u32> {
    let (kind, network) = ether::network(packet)?;
    let (next, transport) = match kind {
        ether::IPV4 => {
            let [first, _] = packet.load(network)?;
            let [next, _] = packet.load(network + 9)?;
            (next, network + (first as u32 & 0x0f) * 4)
        }
        ether::IPV6 => {
            let [next, _] = packet.load(network + 6)?;
            (next, network + 40)
        }
        _ => return None,
    };
    match next {
        protocol::TCP => {
            let [offset, _] = packet.load(transport + 12)?;
            Some(transport + (offset as u32 >> 4) * 4)
        }
        protocol::UDP => Some(transport + 8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mac;
    use etherparse::PacketBuilder;
    use std::vec::Vec;

    fn tcp(payload: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .tcp(1, 2, 3, 4)
            .write(&mut bytes, &std::vec![0; payload])
            .unwrap();
        bytes
    }

    #[test]
    fn a_segmented_packet_counts_as_its_segments() {
        let frame = tcp(3001);
        let segments = Segments::of(&&frame[..], frame.len() as u32, 1000);
        assert_eq!(segments, Segments { packets: 4, bytes: 3001 + 4 * 54, longest: 1054 });
        let whole = Segments::of(&&frame[..], frame.len() as u32, 0);
        assert_eq!(whole, Segments { packets: 1, bytes: 3055, longest: 3055 });
        let one = Segments::of(&&frame[..], frame.len() as u32, 3001);
        assert_eq!(one.packets, 1);
    }

    #[test]
    fn a_short_frame_has_no_facts() {
        let frame = tcp(0);
        assert!(Frame::parse(&&frame[..13], Segments::one(13), None, false).is_none());
        let facts = Frame::parse(&&frame[..14], Segments::one(14), None, true).unwrap();
        assert_eq!((facts.src.mac(), facts.dst.mac()), (Mac([2; 6]), Mac([4; 6])));
    }

    #[test]
    fn the_outermost_tag_is_found_in_the_frame_and_beside_it() {
        let mut frame = tcp(0);
        let read = |frame: &[u8], aside| {
            Frame::parse(&frame, Segments::one(frame.len() as u32), aside, true).map(|frame| frame.tag)
        };
        assert_eq!(read(&frame, None), Some(Tag::NONE));
        assert_eq!(read(&frame, Some(0xe00a)), Some(Tag::new(10, false)));
        frame.splice(12..12, [0x81, 0x00, 0x20, 0x14]);
        assert_eq!(read(&frame, None), Some(Tag::new(20, false)));
        assert_eq!(read(&frame, Some(10)), Some(Tag::new(10, true)));
        assert_eq!(read(&frame[..17], None), None, "half a tag");
        frame.splice(12..12, [0x88, 0xa8, 0x00, 0x1e]);
        assert_eq!(read(&frame, None), Some(Tag::new(30, true)));
    }
}
