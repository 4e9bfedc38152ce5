//! Frames in which somebody claims to be somebody.

use etherparse::{PacketBuilder, PacketBuilderStep, UdpHeader};

use crate::Mac;

/// To whom packets of IPv4 go.
const TO_V4: [u8; 4] = [10, 77, 0, 2];
/// To whom those of IPv6 go.
const TO_V6: [u8; 16] = [0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x99];

fn built(packet: PacketBuilderStep<UdpHeader>, payload: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    packet.write(&mut frame, &vec![7; payload]).expect("a Vec takes everything");
    frame
}

/// UDP over IPv4 from an address, between these ports.
pub fn udp4(to: Mac, from: Mac, source: [u8; 4], ports: (u16, u16)) -> Vec<u8> {
    let packet = PacketBuilder::ethernet2(from.0, to.0).ipv4(source, TO_V4, 64);
    built(packet.udp(ports.0, ports.1), 40)
}

/// UDP over IPv6 from an address, between these ports.
pub fn udp6(to: Mac, from: Mac, source: [u8; 16], ports: (u16, u16)) -> Vec<u8> {
    let packet = PacketBuilder::ethernet2(from.0, to.0).ipv6(source, TO_V6, 64);
    built(packet.udp(ports.0, ports.1), 40)
}

/// A gratuitous answer of ARP to everyone: `source` is at `hardware`.
pub fn arp(from: Mac, hardware: Mac, source: [u8; 4]) -> Vec<u8> {
    let mut frame = [Mac::BROADCAST.0, from.0].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
    frame.extend(hardware.0);
    frame.extend(source);
    frame.extend([0xff; 6]);
    frame.extend(source);
    frame.resize(60, 0);
    frame
}

/// ICMPv6 of one type, with a target (advertisements of neighbours have one) and no options.
pub fn icmp6(to: Mac, from: Mac, source: [u8; 16], kind: u8, target: [u8; 16]) -> Vec<u8> {
    let packet = PacketBuilder::ethernet2(from.0, to.0).ipv6(source, TO_V6, 255);
    let mut frame = Vec::new();
    packet.icmpv6_raw(kind, 0, [0x60, 0, 0, 0]).write(&mut frame, &target).expect("a Vec takes everything");
    frame
}
