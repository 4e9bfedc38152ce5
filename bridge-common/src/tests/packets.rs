//! Packets of a guarded port, [`VM1`](super::bridge::VM1)'s, good and bad ones.

use std::{vec, vec::Vec};

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, IpNumber, PacketBuilder};

use super::bridge::*;
use crate::Mac;

/// What [`VM1`](super::bridge::VM1) may use, and addresses that it may not.
pub const MINE: [u8; 4] = [10, 0, 0, 1];
pub const THEIRS: [u8; 4] = [10, 0, 0, 2];
pub const MINE6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub const THEIRS6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
pub const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub const NOBODY6: [u8; 16] = [0; 16];

/// The link-local address that follows from a MAC address (RFC 4291, appendix A).
pub fn link_local(Mac([a, b, c, d, e, f]): Mac) -> [u8; 16] {
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]
}

pub fn ipv4(source: [u8; 4], next: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let packet = PacketBuilder::ethernet2(A.0, B.0).ipv4(source, [255; 4], 64);
    packet.write(&mut frame, IpNumber(next), payload).unwrap();
    frame
}

pub fn ipv6(source: [u8; 16], next: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let packet = PacketBuilder::ethernet2(A.0, B.0).ipv6(source, ALL_NODES, 255);
    // etherparse wants extension headers as such; here some of them are to be wrong.
    packet.write(&mut frame, IpNumber::IPV6_NO_NEXT_HEADER, payload).unwrap();
    frame[20] = next;
    frame
}

pub fn udp(from: u16, to: u16) -> Vec<u8> {
    [from.to_be_bytes(), to.to_be_bytes(), [0, 12], [0, 0], [1, 2], [3, 4]].concat()
}

pub fn arp(hardware: Mac, source: [u8; 4]) -> Vec<u8> {
    let (kind, protocol) = (ArpHardwareId::ETHERNET, EtherType::IPV4);
    let packet =
        ArpPacket::new(kind, protocol, ArpOperation::REQUEST, &hardware.0, &source, &[0; 6], &THEIRS)
            .unwrap();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(A.0, [0xff; 6]).arp(packet).write(&mut frame).unwrap();
    frame
}

/// ICMPv6 of this kind: so many bytes up to its options, of them a target at 8, and the options.
pub fn icmp(kind: u8, size: usize, target: [u8; 16], options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; size];
    bytes[0] = kind;
    if size >= 24 {
        bytes[8..24].copy_from_slice(&target);
    }
    bytes.extend(options);
    bytes
}

pub fn option(kind: u8, mac: Mac) -> Vec<u8> {
    [&[kind, 1], &mac.0[..]].concat()
}

/// An extension header of eight bytes for each of `kinds`, before `inner`.
pub fn behind(kinds: &[u8], inner: u8, payload: &[u8]) -> (u8, Vec<u8>) {
    let mut bytes = Vec::new();
    for next in kinds.iter().skip(1).copied().chain([inner]).take(kinds.len()) {
        bytes.extend([next, 0, 0, 0, 0, 0, 0, 0]);
    }
    bytes.extend(payload);
    (kinds.first().copied().unwrap_or(inner), bytes)
}
