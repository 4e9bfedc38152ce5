//! What hosts and routers say, as frames.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bridge_common::Mac;
use bridge_user::multicast::{Question, frame};
use etherparse::PacketBuilder;
use xbr_lab::Node;

/// The Internet checksum of these bytes, with what is known of the sum already.
fn checksum(bytes: &[u8], known: u32) -> [u8; 2] {
    let pairs =
        bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])));
    let sum = known + pairs.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    (!(((sum & 0xffff) + (sum >> 16)) as u16)).to_be_bytes()
}

/// The address of a group's frames.
fn group_mac(group: IpAddr) -> [u8; 6] {
    match group {
        IpAddr::V4(v4) => {
            let [_, b, c, d] = v4.octets();
            [1, 0, 0x5e, b & 0x7f, c, d]
        }
        IpAddr::V6(v6) => {
            let [.., a, b, c, d] = v6.octets();
            [0x33, 0x33, a, b, c, d]
        }
    }
}

/// The frame with a tag.
pub fn tagged(mut frame: Vec<u8>, vid: u16) -> Vec<u8> {
    let [high, low] = vid.to_be_bytes();
    frame.splice(12..12, [0x81, 0, high, low]);
    frame
}

/// A general query of somebody else, whose IPv4 address is this.
pub fn query(of: &Node, from: Ipv4Addr, like: IpAddr) -> Vec<u8> {
    let all: IpAddr =
        if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let question = Question { vlan: None, group: all, sources: Vec::new(), response: 100, interval: 125 };
    let mut frame = frame(&question, Mac(of.mac.0), "fe80::1".parse().unwrap());
    if like.is_ipv4() {
        // A router's own address, where a switch has none.
        let header = &mut frame[14..14 + 24];
        header[12..16].copy_from_slice(&from.octets());
        header[10..12].fill(0);
        let sum = checksum(header, 0);
        header[10..12].copy_from_slice(&sum);
    }
    frame
}

/// A report of IGMPv2 or MLDv1: the node is in the group.
pub fn report(of: &Node, group: IpAddr) -> Vec<u8> {
    let (kind, packet): (u16, _) = match group {
        IpAddr::V4(group) => (0x0800, igmp_report(of.v4, group)),
        IpAddr::V6(group) => (0x86dd, mld_report(group)),
    };
    let mut frame = [&group_mac(group), &of.mac.0[..], &kind.to_be_bytes(), &packet].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

fn igmp_report(from: Ipv4Addr, group: Ipv4Addr) -> Vec<u8> {
    let mut message = [&[0x16, 0, 0, 0][..], &group.octets()].concat();
    let sum = checksum(&message, 0);
    message[2..4].copy_from_slice(&sum);
    let mut header = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 1, 2, 0, 0];
    header.extend([from.octets(), group.octets()].concat());
    let sum = checksum(&header, 0);
    header[10..12].copy_from_slice(&sum);
    [header, message].concat()
}

fn mld_report(group: Ipv6Addr) -> Vec<u8> {
    let from: Ipv6Addr = "fe80::77".parse().unwrap();
    let addresses = [from.octets(), group.octets()].concat();
    let mut message = [&[131, 0, 0, 0, 0, 0, 0, 0][..], &group.octets()].concat();
    let pseudo = [&addresses[..], &message, &[0, message.len() as u8, 0, 58]].concat();
    let sum = checksum(&pseudo, 0);
    message[2..4].copy_from_slice(&sum);
    // Hop-by-hop, with the router alert for listener discovery, and padding.
    let length = message.len() as u8 + 8;
    [&[0x60, 0, 0, 0, 0, length, 0, 1][..], &addresses, &[58, 0, 5, 2, 0, 0, 1, 0], &message].concat()
}

/// A datagram of the node to the group.
pub fn datagram(of: &Node, group: IpAddr, payload: &[u8]) -> Vec<u8> {
    let link = PacketBuilder::ethernet2(of.mac.0, group_mac(group));
    let packet = match group {
        IpAddr::V4(group) => link.ipv4(of.v4.octets(), group.octets(), 1),
        IpAddr::V6(group) => link.ipv6(of.v6.octets(), group.octets(), 1),
    };
    let mut frame = Vec::new();
    packet.udp(7300, 7300).write(&mut frame, payload).expect("a Vec takes everything");
    frame
}
