//! The checksum guard: proof that a frame's checksums are finished.
//!
//! virtio-net and veth hand over frames whose transport checksum is still to be filled in
//! (`CHECKSUM_PARTIAL`); XDP does not see the flag, and after a redirect it is gone, so the receiver drops
//! the segment. An unfinished field holds exactly the folded sum of the pseudo-header
//! (`tcp_v4_send_check`, `udp4_hwcsum`): a frame whose field holds something else is finished. Whatever the
//! guard cannot prove takes the TC path, which keeps the flag; a wrong suspicion costs time, never a frame.

use crate::{
    SlowReason,
    frame::{HEADER, Ipv4, Packet, ether, protocol},
};

/// UDP ports whose payload can be a frame or packet with a checksum of its own: VXLAN (IANA's and Linux's
/// old default), VXLAN-GPE, Geneve, GUE, FOU's usual port, L2TP, GTP-U, Teredo and MPLS.
#[inline(always)]
const fn is_tunnel(port: u16) -> bool {
    matches!(port, 4789 | 8472 | 4790 | 6081 | 6080 | 5555 | 1701 | 2152 | 3544 | 6635)
}

/// `Ok` if every checksum in the frame is proved finished, else why not.
#[inline(always)]
pub fn prove(packet: &impl Packet) -> Result<(), SlowReason> {
    // Most frames are of this kind, and are read at one go.
    if let Some(ip) = packet.ipv4() {
        return ipv4(packet, (HEADER, 20), &ip);
    }
    let (kind, network) = ether::network(packet).ok_or(SlowReason::Protocol)?;
    match kind {
        ether::ARP => Ok(()),
        ether::IPV4 => any_ipv4(packet, network),
        ether::IPV6 => ipv6(packet, network),
        _ => Err(SlowReason::Protocol),
    }
}

/// With whatever options.
#[inline(always)]
fn any_ipv4(packet: &impl Packet, network: u32) -> Result<(), SlowReason> {
    let header: [u8; 20] = packet.load(network).ok_or(SlowReason::Protocol)?;
    let [first, _, l0, l1, _, _, f0, f1, _, next, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = header;
    let header_bytes = (first as u32 & 0x0f) * 4;
    if first >> 4 != 4 || header_bytes < 20 {
        return Err(SlowReason::Protocol);
    }
    let ip = Ipv4 {
        total: u16::from_be_bytes([l0, l1]),
        fragment: u16::from_be_bytes([f0, f1]),
        next,
        source: u32::from_ne_bytes([s0, s1, s2, s3]),
        destination: u32::from_ne_bytes([d0, d1, d2, d3]),
        rest: 0,
    };
    ipv4(packet, (network, header_bytes), &ip)
}

#[inline(always)]
fn ipv4(packet: &impl Packet, (network, header): (u32, u32), ip: &Ipv4) -> Result<(), SlowReason> {
    let total = ip.total as u32;
    if total == 0 {
        return Err(SlowReason::TooLong);
    }
    if total < header {
        return Err(SlowReason::Protocol);
    }
    // More-fragments or an offset: the transport header is elsewhere, or its sum spans frames.
    if ip.fragment & 0x3fff != 0 {
        return Err(SlowReason::Fragment);
    }
    match ip.next {
        protocol::ICMP | protocol::IGMP => Ok(()),
        protocol::TCP | protocol::UDP => {
            let addresses = halves(ip.source) + halves(ip.destination);
            transport(packet, network + header, ip.next, total - header, addresses)
        }
        _ => Err(SlowReason::Protocol),
    }
}

#[inline(always)]
fn ipv6(packet: &impl Packet, network: u32) -> Result<(), SlowReason> {
    let [first, _, _, _, l0, l1, next, _]: [u8; 8] = packet.load(network).ok_or(SlowReason::Protocol)?;
    let payload = u16::from_be_bytes([l0, l1]) as u32;
    if payload == 0 {
        return Err(SlowReason::TooLong);
    }
    if first >> 4 != 6 {
        return Err(SlowReason::Protocol);
    }
    match next {
        protocol::TCP | protocol::UDP | protocol::ICMPV6 => {
            let mut addresses = 0;
            // Four reads of eight bytes rather than one of 32: the BPF stack is 512 bytes.
            let mut offset = network + 8;
            while offset < network + 40 {
                let [a, b, c, d, e, f, g, h] = packet.load(offset).ok_or(SlowReason::Protocol)?;
                addresses +=
                    halves(u32::from_ne_bytes([a, b, c, d])) + halves(u32::from_ne_bytes([e, f, g, h]));
                offset += 8;
            }
            transport(packet, network + 40, next, payload, addresses)
        }
        _ => Err(SlowReason::Protocol),
    }
}

/// `length` is the transport's, from the IP header: the frame may be padded. `addresses` is their sum as this machine reads them: in one's
/// complement the order of bytes is the sum's and nobody's else (RFC 1071, section 2).
#[inline(always)]
fn transport(
    packet: &impl Packet,
    start: u32,
    next: u8,
    length: u32,
    addresses: u32,
) -> Result<(), SlowReason> {
    let (field, length) = match next {
        protocol::UDP => {
            let [_, _, p0, p1, l0, l1, c0, c1] = packet.load(start).ok_or(SlowReason::Protocol)?;
            if is_tunnel(u16::from_be_bytes([p0, p1])) {
                return Err(SlowReason::Tunnel);
            }
            // No sum at all: legal over IPv4, and what a tunnel on a port of its own choice does while the
            // sum of the packet inside it is unfinished.
            if c0 | c1 == 0 {
                return Err(SlowReason::NoChecksum);
            }
            (u16::from_ne_bytes([c0, c1]), u16::from_be_bytes([l0, l1]))
        }
        protocol::TCP => {
            (u16::from_ne_bytes(packet.load(start + 16).ok_or(SlowReason::Protocol)?), length as u16)
        }
        _ => (u16::from_ne_bytes(packet.load(start + 2).ok_or(SlowReason::Protocol)?), length as u16),
    };
    let pseudo = fold(addresses + (next as u16).to_be() as u32 + length.to_be() as u32);
    // One's complement has two zeroes, 0 and 0xffff.
    let unfinished = pseudo == field || pseudo ^ field == 0xffff && (pseudo == 0 || field == 0);
    if unfinished { Err(SlowReason::Unfinished) } else { Ok(()) }
}

/// The sum of both.
#[inline(always)]
const fn halves(word: u32) -> u32 {
    (word >> 16) + (word & 0xffff)
}

#[inline(always)]
const fn fold(sum: u32) -> u16 {
    halves(halves(sum)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{NetSlice, PacketBuilder, SlicedPacket};
    use proptest::prelude::*;
    use std::vec::Vec;

    #[derive(Clone, Copy, Debug)]
    enum Kind {
        Tcp4,
        Tcp6,
        Udp4,
        Udp6,
        Icmp6,
    }

    /// A finished frame, and where its transport header starts.
    fn build(kind: Kind, tags: u8, payload: &[u8], ends: (u32, u32)) -> (Vec<u8>, usize) {
        let (a, b) = (ends.0.to_be_bytes(), ends.1.to_be_bytes());
        let six = |x: [u8; 4]| {
            let mut address = [0xfd; 16];
            address[12..].copy_from_slice(&x);
            address
        };
        let ether = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let link = match tags {
            0 => ether,
            _ => return tagged(build(kind, tags - 1, payload, ends)),
        };
        let mut bytes = Vec::new();
        match kind {
            Kind::Tcp4 => link.ipv4(a, b, 9).tcp(7, 9, 1, 2).write(&mut bytes, payload).unwrap(),
            Kind::Udp4 => link.ipv4(a, b, 9).udp(7, 9).write(&mut bytes, payload).unwrap(),
            Kind::Tcp6 => link.ipv6(six(a), six(b), 9).tcp(7, 9, 1, 2).write(&mut bytes, payload).unwrap(),
            Kind::Udp6 => link.ipv6(six(a), six(b), 9).udp(7, 9).write(&mut bytes, payload).unwrap(),
            Kind::Icmp6 => {
                link.ipv6(six(a), six(b), 9).icmpv6_echo_request(1, 2).write(&mut bytes, payload).unwrap()
            }
        }
        let start = 14 + if matches!(kind, Kind::Tcp4 | Kind::Udp4) { 20 } else { 40 };
        (bytes, start)
    }

    fn tagged((mut frame, start): (Vec<u8>, usize)) -> (Vec<u8>, usize) {
        frame.splice(12..12, [0x81, 0x00, 0x00, 0x0a]);
        (frame, start + 4)
    }

    fn field_of(kind: Kind, start: usize) -> usize {
        start
            + match kind {
                Kind::Tcp4 | Kind::Tcp6 => 16,
                Kind::Udp4 | Kind::Udp6 => 6,
                Kind::Icmp6 => 2,
            }
    }

    /// What the kernel leaves in the field: the folded pseudo-header sum, by an independent sum over the
    /// frame as etherparse sees it.
    fn unfinish(frame: &mut [u8], kind: Kind, start: usize) {
        let copy = frame.to_vec();
        let sliced = SlicedPacket::from_ethernet(&copy).unwrap();
        let (mut bytes, next, length) = match sliced.net.unwrap() {
            NetSlice::Ipv4(ip) => {
                let header = ip.header();
                let ends = [header.source(), header.destination()].concat();
                (ends, header.protocol().0, header.total_len() - 20)
            }
            NetSlice::Ipv6(ip) => {
                let header = ip.header();
                let ends = [header.source(), header.destination()].concat();
                (ends, header.next_header().0, header.payload_length())
            }
            NetSlice::Arp(_) => unreachable!(),
        };
        bytes.extend([0, next]);
        bytes.extend(length.to_be_bytes());
        let mut sum = bytes.chunks(2).map(|w| u64::from(u16::from_be_bytes([w[0], w[1]]))).sum::<u64>();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        let field = field_of(kind, start);
        frame[field..field + 2].copy_from_slice(&(sum as u16).to_be_bytes());
    }

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![Just(Kind::Tcp4), Just(Kind::Tcp6), Just(Kind::Udp4), Just(Kind::Udp6), Just(Kind::Icmp6)]
    }

    proptest! {
        /// The one that breaks guests when it fails: no unfinished frame passes, whatever it carries.
        #[test]
        fn an_unfinished_checksum_never_passes(
            kind in kinds(), tags in 0u8..=2, payload in proptest::collection::vec(any::<u8>(), 0..200),
            ends in any::<(u32, u32)>(), padding in 0usize..40,
        ) {
            let (mut frame, start) = build(kind, tags, &payload, ends);
            unfinish(&mut frame, kind, start);
            frame.resize(frame.len() + padding, 0);
            prop_assert!(prove(&&frame[..]).is_err());
        }

        /// A finished one passes unless its sum happens to equal the pseudo-header's (1 in 65,535).
        #[test]
        fn a_finished_checksum_passes(
            kind in kinds(), tags in 0u8..=2, payload in proptest::collection::vec(any::<u8>(), 0..200),
            ends in any::<(u32, u32)>(), padding in 0usize..40,
        ) {
            let (mut frame, start) = build(kind, tags, &payload, ends);
            let field = field_of(kind, start);
            let whole = [frame[field], frame[field + 1]];
            let mut other = frame.clone();
            unfinish(&mut other, kind, start);
            let same = u16::from_be_bytes(whole) % 0xffff
                == u16::from_be_bytes([other[field], other[field + 1]]) % 0xffff;
            frame.resize(frame.len() + padding, 0);
            prop_assert_eq!(prove(&&frame[..]).is_err(), same);
        }

        #[test]
        fn no_bytes_make_it_panic(frame in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = prove(&&frame[..]);
        }
    }

    #[test]
    fn what_it_cannot_judge_goes_to_tc() {
        let (frame, start) = build(Kind::Udp4, 0, b"hello", (1, 2));
        let with = |at: usize, bytes: &[u8]| {
            let mut copy = frame.clone();
            copy[at..at + bytes.len()].copy_from_slice(bytes);
            prove(&&copy[..])
        };
        assert_eq!(with(0, &[]), Ok(()));
        assert_eq!(with(start + 2, &4789u16.to_be_bytes()), Err(SlowReason::Tunnel));
        assert_eq!(with(start + 6, &[0, 0]), Err(SlowReason::NoChecksum));
        assert_eq!(with(20, &[0x20, 0]), Err(SlowReason::Fragment));
        assert_eq!(with(20, &[0x40, 0]), Ok(()), "don't-fragment is no fragment");
        assert_eq!(with(16, &[0, 0]), Err(SlowReason::TooLong));
        assert_eq!(with(23, &[47]), Err(SlowReason::Protocol));
        assert_eq!(with(12, &[0x88, 0xcc]), Err(SlowReason::Protocol));
    }

    #[test]
    fn ipv4_options_are_stepped_over() {
        let (mut frame, start) = build(Kind::Tcp4, 0, b"x", (1, 2));
        frame.splice(start..start, [1, 1, 1, 1]);
        frame[14] = 0x46;
        let total = u16::from_be_bytes([frame[16], frame[17]]) + 4;
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        assert_eq!(prove(&&frame[..]), Ok(()));
        let mut unfinished = frame.clone();
        // src + dst + protocol + TCP length (20 + 1)
        unfinished[start + 4 + 16..start + 4 + 18].copy_from_slice(&(1u16 + 2 + 6 + 21).to_be_bytes());
        assert_eq!(prove(&&unfinished[..]), Err(SlowReason::Unfinished));
    }

    #[test]
    fn one_s_complement_has_two_zeroes() {
        // 0 + 0xffe5 + protocol 6 + TCP length 20 is 0xffff
        let (mut frame, start) = build(Kind::Tcp4, 0, b"", (0, 0xffe5));
        for zero in [[0, 0], [0xff, 0xff]] {
            frame[start + 16..start + 18].copy_from_slice(&zero);
            assert_eq!(prove(&&frame[..]), Err(SlowReason::Unfinished), "{zero:?}");
        }
    }
}
