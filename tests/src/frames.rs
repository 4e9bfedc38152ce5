//! Frames to be sent by packet sockets.

use etherparse::PacketBuilder;

use crate::Mac;

/// The EtherType for local experiments (IEEE 802), which no kernel answers.
pub const EXPERIMENTAL: u16 = 0x88b5;

/// A frame with these tags (TPID and TCI), outermost first, EtherType, and a payload that counts upwards.
pub fn tagged(to: Mac, from: Mac, tags: &[(u16, u16)], kind: u16, payload: usize) -> Vec<u8> {
    let mut frame = [to.0, from.0].concat();
    for (tpid, tci) in tags {
        frame.extend(tpid.to_be_bytes());
        frame.extend(tci.to_be_bytes());
    }
    frame.extend(kind.to_be_bytes());
    frame.extend((0..payload).map(|at| at as u8));
    frame
}

/// A frame without tags, `length` bytes long with its header, of a protocol that no kernel answers.
pub fn frame(to: Mac, from: Mac, length: usize) -> Vec<u8> {
    tagged(to, from, &[], EXPERIMENTAL, length - 14)
}

/// A frame of `length` bytes that XDP can prove finished: UDP over IPv4 with its checksum, between addresses
/// that nobody has.
pub fn finished(to: Mac, from: Mac, length: usize) -> Vec<u8> {
    let packet = PacketBuilder::ethernet2(from.0, to.0).ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64).udp(9, 9);
    let payload: Vec<u8> = (1..).take(length - packet.size(0)).map(|at: u32| at as u8).collect();
    let mut frame = Vec::with_capacity(length);
    packet.write(&mut frame, &payload).expect("a Vec takes everything");
    frame
}

/// Whether it is one of the controller's probes for loops, with a tag or without.
pub fn is_probe(frame: &[u8]) -> bool {
    [12, 16].iter().any(|at| frame.get(*at..at + 2) == Some(&[0x88, 0xb6]))
}
