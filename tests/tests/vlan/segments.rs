//! Segments of guests, which are longer than any frame, whose tag is put on and taken off.

use etherparse::PacketBuilder;
use xbr_lab::{Mac, Namespace, Tap, TapMode, Xbr, require_privileges, veth, wait_until};

use crate::lab::XBR;

const SOON: std::time::Duration = std::time::Duration::from_secs(3);
const HEADER: usize = 10;
/// `VIRTIO_NET_HDR_F_NEEDS_CSUM` and `VIRTIO_NET_HDR_GSO_TCPV4`.
const UNFINISHED: u8 = 1;
const TCPV4: u8 = 1;
const SEGMENT: u16 = 1400;

/// A TCP segment as a guest with all offloads hands it over: some 40 frames in one, with the virtio header before it.
fn segment(to: Mac, from: Mac, tag: Option<u16>) -> Vec<u8> {
    let packet =
        PacketBuilder::ethernet2(from.0, to.0).ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64).tcp(1, 2, 3, 4);
    let payload: Vec<u8> = (0..56_000u32).map(|at| (at % 251) as u8).collect();
    let mut frame = Vec::new();
    packet.write(&mut frame, &payload).unwrap();
    let tag: Vec<u8> = tag.map_or(Vec::new(), |vid| [0x8100u16.to_be_bytes(), vid.to_be_bytes()].concat());
    let transport = 14 + tag.len() as u16 + 20;
    frame.splice(12..12, tag);
    let mut bytes = vec![UNFINISHED, TCPV4];
    for field in [transport + 20, SEGMENT, transport, 16] {
        bytes.extend(field.to_ne_bytes());
    }
    bytes.extend(frame);
    bytes
}

#[track_caller]
fn read(tap: &Tap, told: &str) -> Vec<u8> {
    let (mut buffer, mut length) = (vec![0; 70_000], 0);
    wait_until(SOON, || {
        length = tap.read(&mut buffer).unwrap_or(0);
        // The kernel's own frames go elsewhere than to a VLAN, but TAPs say hello to IPv6 when they come up.
        length > 1000
    });
    assert!(length > 1000, "{told}: nothing came");
    buffer.truncate(length);
    buffer
}

#[test]
fn segments_stay_whole_when_tags_come_and_go() {
    if !require_privileges() {
        return;
    }
    let (host, outside) = (Namespace::new("host"), Namespace::new("outside"));
    veth(&outside, "eth0", &host, "eth0");
    let bridge = Xbr::run(XBR, &host, "--uplink eth0 --tap vm1 --tap vm2");
    let open = |port| Tap::open(&host, port, TapMode::VnetHdr).unwrap();
    let (access, trunk) = (open("vm1"), open("vm2"));
    bridge.wait_forwarding();
    bridge.text("vlan add dev vm1 vid 10 pvid untagged");
    bridge.text("vlan add dev vm2 vid 10");
    let (one, two) = (Mac::numbered(1), Mac::numbered(2));
    // The first is flooded; the others know where to go.
    for round in ["flooded", "known"] {
        access.write(&segment(two, one, None)).unwrap();
        assert_same(&read(&trunk, round), &segment(two, one, Some(10)), round);
        trunk.write(&segment(one, two, Some(10))).unwrap();
        assert_same(&read(&access, round), &segment(one, two, None), round);
    }
    let counted = bridge.all_counters();
    assert!(counted.drops().is_empty(), "{counted:?}");
    // As the frames that it becomes on the wire.
    let vlan = bridge.json("vlan show -s vid 10")[0]["vlans"][0].clone();
    assert_eq!((&vlan["rx_packets"], &vlan["tx_packets"]), (&160.into(), &160.into()), "{vlan}");
    bridge.stop();
}

#[track_caller]
fn assert_same(got: &[u8], wanted: &[u8], told: &str) {
    assert_eq!(got[HEADER..].len(), wanted[HEADER..].len(), "{told}: it was cut, or its tag is not right");
    assert!(got[HEADER..] == wanted[HEADER..], "{told}: other bytes");
    let fields = |bytes: &[u8]| (bytes[0] & UNFINISHED, bytes[1], bytes[4..HEADER].to_vec());
    assert_eq!(fields(got), fields(wanted), "{told}: unfinished, kind, and size, start and offset");
}
