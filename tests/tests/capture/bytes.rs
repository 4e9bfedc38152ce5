//! Every byte of TCP and every echo is in a capture, and once, whoever takes it.

use std::collections::BTreeMap;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use xbr_lab::{GuestKind, Node, Offloads, Segment, Shot, Xbr, ping, require_privileges, tcp_transfer};

use super::{IN, OUT, XBR, brief};

const MIB: u64 = 1 << 20;

/// For each TCP connection and direction how many payload bytes were captured, and whether each exactly once.
fn payloads(shots: &[Shot], direction: u32) -> BTreeMap<u16, Vec<(u32, u32)>> {
    let mut flows = BTreeMap::<u16, Vec<(u32, u32)>>::new();
    for shot in shots.iter().filter(|shot| shot.direction == direction) {
        assert_eq!(shot.bytes.len(), shot.length, "nothing is cut off");
        let packet = SlicedPacket::from_ethernet(&shot.bytes).unwrap();
        let (Some(TransportSlice::Tcp(tcp)), Some(net)) = (packet.transport, packet.net) else { continue };
        // A segmented packet's own length may be 0 or stale: the frame's counts.
        let headers = match net {
            NetSlice::Ipv4(ip) => usize::from(ip.header().ihl()) * 4,
            _ => 40,
        };
        let length = shot.length - 14 - headers - usize::from(tcp.data_offset()) * 4;
        if length > 0 {
            flows.entry(tcp.source_port()).or_default().push((tcp.sequence_number(), length as u32));
        }
    }
    flows
}

/// Bytes that are there, and bytes that are there again: what TCP sends anew is there as often as it was sent.
fn whole(mut parts: Vec<(u32, u32)>) -> (u64, u64) {
    let base = parts.first().map_or(0, |part| part.0);
    parts.sort_by_key(|(sequence, _)| sequence.wrapping_sub(base) as i32);
    let (mut end, mut once, mut again) = (None::<u32>, 0u64, 0u64);
    for (sequence, length) in parts {
        let new = end.map_or(length as i32, |end| (sequence.wrapping_add(length).wrapping_sub(end)) as i32);
        let gap = end.map_or(0, |end| sequence.wrapping_sub(end) as i32);
        assert!(gap <= 0, "{gap} bytes are missing before {sequence}");
        once += new.max(0) as u64;
        again += (length as i32 - new.max(0)) as u64;
        end = Some(end.map_or(sequence.wrapping_add(length), |end| {
            if new > 0 { sequence.wrapping_add(length) } else { end }
        }));
    }
    (once, again)
}

fn tcp_and_ping(kind: GuestKind, offloads: Offloads, hook: &str) {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(2, kind).offloads(offloads).build();
    let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook}"));
    let (one, two) = (segment.guest(1), segment.guest(2));
    ping(&one.ns, two.v4).unwrap();
    let film = bridge.film("vm1");
    for (from, to) in [(one, two), (two, one)] {
        tcp_transfer(&from.ns, &to.ns, to.v4, MIB).unwrap();
    }
    ping(&one.ns, two.v6).unwrap();
    let shots = film.cut();
    assert!(shots.iter().all(|shot| shot.port == "vm1"));
    assert!(shots.is_sorted_by_key(|shot| shot.time), "in the order of time");
    for (direction, mac) in [(IN, one.mac), (OUT, two.mac)] {
        let flows = payloads(&shots, direction);
        let sums: Vec<_> = flows.into_values().map(whole).collect();
        let most = sums.iter().max().copied().unwrap_or_default();
        eprintln!("{kind:?} {hook} {direction}: {sums:?}");
        assert!(most.0 == MIB, "every byte of the transfer is there: {sums:?}");
        assert!(most.1 * 10 < MIB, "and only what was sent again is there twice: {sums:?}");
        assert!(shots.iter().any(|shot| shot.direction == direction && shot.bytes[6..12] == mac.0));
    }
    pings_are_there_once(&shots, one, two);
    // Each side of the hook at work was seen.
    let ways = |way: &str| shots.iter().filter(|shot| shot.verdict.contains(way)).count();
    eprintln!("{kind:?} {hook}: {} xdp, {} tc", ways("(xdp)"), ways("(tc)"));
    assert_eq!(ways("(xdp)") > 0, hook == "xdp", "{:?}", brief(&shots[..20]));
    // Finished checksums are XDP's, unfinished ones TC's.
    let mostly = hook == "xdp" && offloads == Offloads::Off;
    assert_eq!(ways("(xdp)") > ways("(tc)"), mostly, "{:?}", brief(&shots[..20]));
    assert!(ways("forwarded to vm2") > 0 && ways("forwarded from vm2") > 0);
    if kind == GuestKind::TapVnetHdr {
        let long =
            shots.iter().find(|shot| shot.verdict.contains("segments of")).expect("a segmented packet");
        assert!(long.length > 1514, "{long:?}");
    }
    readable(&film.file, shots.len());
    bridge.stop();
}

fn pings_are_there_once(shots: &[Shot], one: &Node, two: &Node) {
    for (direction, source, kind) in [(IN, one, 128), (OUT, two, 129)] {
        let mut numbers: Vec<_> = shots
            .iter()
            .filter(|shot| shot.direction == direction && shot.bytes[6..12] == source.mac.0)
            // ICMPv6 directly behind IPv6.
            .filter(|shot| {
                shot.bytes.get(12..14) == Some(&[0x86, 0xdd])
                    && shot.bytes[20] == 58
                    && shot.bytes[54] == kind
            })
            .map(|shot| u16::from_be_bytes([shot.bytes[60], shot.bytes[61]]))
            .collect();
        numbers.sort();
        assert_eq!(numbers, [1, 2, 3], "echoes of type {kind}");
    }
}

/// tcpdump reads the file too, where it is installed, and finds as many packets.
fn readable(file: &std::path::Path, packets: usize) {
    let output = match std::process::Command::new("tcpdump").arg("-nr").arg(file).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => panic!("tcpdump: {error}"),
    };
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tcpdump: {text}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), packets, "{text}");
}

#[test]
fn tcp_and_ping_by_tc() {
    tcp_and_ping(GuestKind::TapVnetHdr, Offloads::Default, "tc");
}

#[test]
fn tcp_and_ping_by_xdp() {
    tcp_and_ping(GuestKind::Veth, Offloads::Off, "xdp");
}

#[test]
fn tcp_and_ping_that_xdp_leaves_to_tc() {
    tcp_and_ping(GuestKind::Veth, Offloads::Default, "xdp");
}
