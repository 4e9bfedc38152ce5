//! Queries as frames.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bridge_common::Mac;

use super::bytes::{add, sum};

/// A query to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// With this tag, or with none.
    pub vlan: Option<u16>,
    /// About this group only; the family's unspecified address for all.
    pub group: IpAddr,
    /// About these sources of it only.
    pub sources: Vec<IpAddr>,
    /// Hosts answer within so many milliseconds.
    pub response: u32,
    /// Seconds between general queries, which hosts and other queriers may go by.
    pub interval: u32,
}

/// The most sources that fit into a query of an MTU of 1280, which every IPv6 link has.
pub const MOST_SOURCES: usize = 64;

/// A query in the newest version, which the older ones understand as one of theirs: (IGMPv3 or MLDv2) with the robustness of 2.
///
/// `from` is the sender's link-local address, for IPv6. IPv4 has the address of nobody, 0.0.0.0, as a switch that is no router
/// shall (RFC 4541, section 2.1.1): such a query wins no election, so the real querier of a segment never falls silent for it.
pub fn frame(question: &Question, mac: Mac, from: Ipv6Addr) -> Vec<u8> {
    let (kind, to, packet) = match question.group {
        IpAddr::V4(group) => {
            let to = if group.is_unspecified() { Ipv4Addr::new(224, 0, 0, 1) } else { group };
            let [_, b, c, d] = to.octets();
            (0x0800_u16, [0x01, 0x00, 0x5e, b & 0x7f, c, d], ipv4(to, igmp(question, group)))
        }
        IpAddr::V6(group) => {
            let to = if group.is_unspecified() { Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1) } else { group };
            let [.., a, b, c, d] = to.octets();
            (0x86dd, [0x33, 0x33, a, b, c, d], ipv6(from, to, mld(question, group)))
        }
    };
    let mut frame = [to, mac.0].concat();
    if let Some(vlan) = question.vlan {
        frame.extend([0x81, 0x00]);
        frame.extend(vlan.to_be_bytes());
    }
    frame.extend(kind.to_be_bytes());
    frame.extend(packet);
    frame.resize(frame.len().max(60), 0);
    frame
}

fn listed(question: &Question) -> &[IpAddr] {
    question.sources.get(..MOST_SOURCES).unwrap_or(&question.sources)
}

fn igmp(question: &Question, group: Ipv4Addr) -> Vec<u8> {
    let tenths = (question.response / 100).clamp(1, 127) as u8;
    let mut message = vec![0x11, tenths, 0, 0];
    message.extend(group.octets());
    message.extend(tail(question));
    for source in listed(question) {
        if let IpAddr::V4(source) = source {
            message.extend(source.octets());
        }
    }
    let sum = !sum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// Robustness, interval and number of sources. Of the interval's code, what is beyond 127 s is rounded down to it.
fn tail(question: &Question) -> [u8; 4] {
    let [high, low] = (listed(question).len() as u16).to_be_bytes();
    [2, question.interval.min(127) as u8, high, low]
}

fn ipv4(to: Ipv4Addr, payload: Vec<u8>) -> Vec<u8> {
    let length = 24 + payload.len() as u16;
    // Internetwork control, and the router alert option.
    let mut header = vec![0x46, 0xc0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0];
    header.extend(to.octets());
    header.extend([0x94, 4, 0, 0]);
    header[2..4].copy_from_slice(&length.to_be_bytes());
    let sum = !sum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header.extend(payload);
    header
}

fn mld(question: &Question, group: Ipv6Addr) -> Vec<u8> {
    let response = question.response.clamp(1, 0x7fff) as u16;
    let mut message = vec![130, 0, 0, 0];
    message.extend(response.to_be_bytes());
    message.extend([0, 0]);
    message.extend(group.octets());
    message.extend(tail(question));
    for source in listed(question) {
        if let IpAddr::V6(source) = source {
            message.extend(source.octets());
        }
    }
    message
}

fn ipv6(from: Ipv6Addr, to: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    const ICMPV6: u8 = 58;
    let addresses = [from.octets(), to.octets()].concat();
    let length = (message.len() as u32).to_be_bytes();
    let pseudo = add(sum(&addresses), add(sum(&length), ICMPV6.into()));
    let sum = !add(pseudo, sum(&message));
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((message.len() as u16 + 8).to_be_bytes());
    packet.extend([0, 1]);
    packet.extend(addresses);
    // Hop-by-hop, with the router alert for listener discovery, and padding.
    packet.extend([ICMPV6, 0, 5, 2, 0, 0, 1, 0]);
    packet.extend(message);
    packet
}
