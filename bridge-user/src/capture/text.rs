//! Packets as lines and as JSON.

use bridge_common::{Mac, Packet as _, capture::Direction, frame::ether};
use serde::Serialize;

use super::Packet;

/// What is told of a packet, with the keys of the other verbs where they have them.
#[derive(Debug, Serialize)]
struct Told<'a> {
    /// Seconds since 1970, with nine digits behind the point: a float would lose some.
    time: String,
    ifname: &'a str,
    direction: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    src: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dst: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ethertype: Option<String>,
    length: u32,
    verdict: &'a str,
}

impl<'a> Told<'a> {
    fn of(packet: &'a Packet) -> Self {
        let bytes = &packet.bytes[..];
        let mac = |at| bytes.load::<6>(at).map(|mac| Mac(mac).to_string());
        let outermost = bytes.load::<2>(12).map(u16::from_be_bytes);
        let tagged = outermost.is_some_and(|kind| kind == ether::VLAN || kind == ether::QINQ);
        let vlan = bytes.load::<2>(14).map(|tci| u16::from_be_bytes(tci) & 0x0fff);
        Self {
            time: format!("{}.{:09}", packet.time.as_secs(), packet.time.subsec_nanos()),
            ifname: &packet.ifname,
            direction: match packet.direction {
                Direction::In => "in",
                Direction::Out => "out",
            },
            dst: mac(0),
            src: mac(6),
            vlan: vlan.filter(|_| tagged),
            ethertype: ether::network(&bytes).map(|(kind, _)| name(kind)),
            length: packet.length,
            verdict: &packet.verdict,
        }
    }
}

fn name(kind: u16) -> String {
    match kind {
        ether::IPV4 => "ipv4".into(),
        ether::ARP => "arp".into(),
        ether::IPV6 => "ipv6".into(),
        // IEEE 802.3: a length, behind which LLC says what it is.
        0..0x0600 => "802.3".into(),
        other => format!("0x{other:04x}"),
    }
}

/// A packet as a line.
pub fn line(packet: &Packet) -> String {
    let told = Told::of(packet);
    let day = packet.time.as_secs() % 86_400;
    let (hours, minutes, seconds) = (day / 3600, day / 60 % 60, day % 60);
    let time = format!("{hours:02}:{minutes:02}:{seconds:02}.{:09}", packet.time.subsec_nanos());
    let mut text = format!("{time} {} {}", told.ifname, told.direction);
    if let (Some(src), Some(dst)) = (&told.src, &told.dst) {
        text += &format!(" {src} > {dst}");
    }
    if let Some(vlan) = told.vlan {
        text += &format!(" vlan {vlan}");
    }
    if let Some(kind) = &told.ethertype {
        text += &format!(" {kind}");
    }
    text + &format!(" length {}: {}\n", packet.length, packet.verdict)
}

/// A packet as a value for JSON.
pub fn json(packet: &Packet) -> impl Serialize + '_ {
    Told::of(packet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::packet::tests::{EPOCH, interfaces, record};
    use bridge_common::{
        DropReason, PortId,
        capture::{Path, Sight},
    };

    fn packets() -> Vec<Packet> {
        let macs = [0x52, 0x54, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 1];
        let frames = [&[8, 6, 0, 0][..], &[0x81, 0, 0x20, 10, 0x88, 0xcc], &[0, 4, 1, 1]];
        let sight = Sight::dropped(PortId(2), PortId(2), Path::Tc, DropReason::LinkLocal);
        let mut records: Vec<_> = frames.map(|rest| record(sight, &[&macs[..], rest].concat())).into();
        records.push(record(sight, &[1, 2]));
        records.into_iter().map(|record| interfaces(&["vm1"]).packet(record, EPOCH).unwrap()).collect()
    }

    #[test]
    fn packets_as_lines() {
        insta::assert_snapshot!(packets().iter().map(line).collect::<String>(), @r"
        22:13:20.000000005 vm1 in 52:54:00:00:00:01 > 52:54:00:00:00:02 arp length 16: dropped: link_local (tc)
        22:13:20.000000005 vm1 in 52:54:00:00:00:01 > 52:54:00:00:00:02 vlan 10 0x88cc length 18: dropped: link_local (tc)
        22:13:20.000000005 vm1 in 52:54:00:00:00:01 > 52:54:00:00:00:02 802.3 length 16: dropped: link_local (tc)
        22:13:20.000000005 vm1 in length 2: dropped: link_local (tc)
        ");
    }

    #[test]
    fn packets_as_json() {
        let texts: Vec<_> = packets()
            .iter()
            .skip(1)
            .step_by(2)
            .map(|packet| serde_json::to_string(&json(packet)).unwrap())
            .collect();
        insta::assert_snapshot!(texts.join("\n"), @r#"
        {"time":"1700000000.000000005","ifname":"vm1","direction":"in","src":"52:54:00:00:00:01","dst":"52:54:00:00:00:02","vlan":10,"ethertype":"0x88cc","length":18,"verdict":"dropped: link_local (tc)"}
        {"time":"1700000000.000000005","ifname":"vm1","direction":"in","length":2,"verdict":"dropped: link_local (tc)"}
        "#);
    }
}
