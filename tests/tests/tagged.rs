//! Frames with tags, frames too long for where they go, frames with false sources, and no frames at all.

use std::collections::BTreeMap;

use xbr_lab::{Ears, GuestKind, Mac, Node, Segment, Traffic, Xbr, frames, require_privileges, wait_until};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const SOON: std::time::Duration = std::time::Duration::from_secs(3);
const KINDS: [(GuestKind, &str); 5] = [
    (GuestKind::Veth, "tc"),
    (GuestKind::Veth, "xdp"),
    (GuestKind::Tap, "xdp"),
    (GuestKind::TapVnetHdr, "auto"),
    (GuestKind::TapVnetHdr, "xdp"),
];

fn quiet(kind: GuestKind, hook: &str) -> (Segment, Xbr) {
    let mut segment = Segment::builder().quiet().guests(2, kind).build();
    let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook}"));
    (segment, bridge)
}

fn reasons(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(reason, count)| (reason.to_string(), *count)).collect()
}

fn port_of(node: &Node) -> &'static str {
    match node.ns.name() {
        "host" => "host",
        "outside" => "eth0",
        "guest1" => "vm1",
        _ => "vm2",
    }
}

/// An IPv4 frame behind tags, its checksums finished.
fn finished_behind(tags: &[(u16, u16)], to: Mac, from: Mac) -> Vec<u8> {
    let mut frame = frames::finished(to, from, 200);
    let tags: Vec<u8> =
        tags.iter().flat_map(|(tpid, tci)| [tpid.to_be_bytes(), tci.to_be_bytes()].concat()).collect();
    frame.splice(12..12, tags);
    frame
}

#[test]
fn tagged_frames_cross_untouched() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in KINDS {
        let (segment, bridge) = quiet(kind, hook);
        let ears = segment.ears();
        ears.introduce(&segment);
        let tags: [&[(u16, u16)]; 6] = [
            &[(0x8100, 10)],
            // Priority only; with every bit; two tags of either kind.
            &[(0x8100, 0xe000)],
            &[(0x8100, 0xffff)],
            &[(0x88a8, 100), (0x8100, 10)],
            &[(0x8100, 100), (0x8100, 10)],
            &[(0x88a8, 7)],
        ];
        for (from, to) in segment.pairs() {
            // From a packet socket the tag is in the frame; the kernel puts it beside the frame on the way in, before TC sees it.
            let sent: Vec<_> = tags
                .iter()
                .flat_map(|tags| {
                    let unknown = frames::tagged(to.mac, from.mac, tags, frames::EXPERIMENTAL, 46);
                    [finished_behind(tags, to.mac, from.mac), unknown]
                })
                .collect();
            let before = bridge.all_counters();
            sent.iter().for_each(|frame| ears.of(from).send(frame).unwrap());
            ears.hear(&[to], &sent).unwrap_or_else(|e| panic!("{kind:?} {hook}, {from:?} → {to:?}: {e}"));
            // A tag is four of its frame's bytes, wherever it travels.
            let counted = bridge.all_counters().since(&before);
            let (rx, tx) = (counted.of(port_of(from)).rx, counted.of(port_of(to)).tx);
            let mut wanted = Traffic::default();
            sent.iter().for_each(|frame| wanted.add(frame.len()));
            assert_eq!((rx, tx), (wanted, wanted), "{kind:?} {hook}, {from:?} → {to:?}");
        }
        for from in segment.nodes() {
            let others: Vec<_> = segment.nodes().into_iter().filter(|node| node.mac != from.mac).collect();
            let frame = frames::tagged(Mac::BROADCAST, from.mac, tags[0], frames::EXPERIMENTAL, 46);
            ears.send(from, &frame, &others).unwrap();
        }
        // Whoever spoke in a VLAN only is known without one, and found from any.
        let (guest, outside) = (segment.guest(1), segment.outside());
        let new = Mac::numbered(0x777);
        ears.send(guest, &frames::tagged(outside.mac, new, tags[0], frames::EXPERIMENTAL, 46), &[outside])
            .unwrap();
        let station = bridge.station(new).expect("it is learned");
        assert!(station["ifname"] == "vm1" && station.get("vlan").is_none(), "{station}");
        for tags in [&[][..], tags[3]] {
            let back = frames::tagged(new, outside.mac, tags, frames::EXPERIMENTAL, 46);
            ears.send(outside, &back, &[guest]).unwrap();
        }
        assert!(bridge.all_counters().drops().is_empty(), "{kind:?} {hook}: {:?}", bridge.all_counters());
        bridge.stop();
    }
}

#[test]
fn frames_with_false_sources_are_refused() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in KINDS {
        let (segment, bridge) = quiet(kind, hook);
        let ears = segment.ears();
        ears.introduce(&segment);
        let (host, outside, one, two) =
            (segment.host(), segment.outside(), segment.guest(1), segment.guest(2));
        let group = Mac([1, 0, 0x5e, 1, 2, 3]);
        for (from, port) in [(one, "vm1"), (outside, "eth0")] {
            for to in [two.mac, host.mac, Mac::BROADCAST] {
                ears.send(from, &frames::finished(to, host.mac, 60), &[]).unwrap();
                for source in [group, Mac::BROADCAST, Mac([0; 6])] {
                    ears.send(from, &frames::finished(to, source, 60), &[]).unwrap();
                }
            }
            let drops = bridge.counters(port).drops;
            assert_eq!(drops, reasons(&[("host_source", 3), ("bad_source", 9)]), "{kind:?} {hook} {port}");
        }
        ears.send(host, &frames::finished(one.mac, group, 60), &[]).unwrap();
        assert_eq!(bridge.counters("host").drops, reasons(&[("bad_source", 1)]));
        let own = bridge.station(host.mac).expect("permanent");
        assert_eq!((&own["ifname"], &own["state"]), (&"host".into(), &"permanent".into()));
        assert!(bridge.station(group).is_none() && bridge.station(Mac([0; 6])).is_none());
        // And whatever it tried, nobody was harmed.
        ears.send(one, &frames::finished(host.mac, one.mac, 60), &[host]).unwrap();
        bridge.stop();
    }
}

#[test]
fn frames_longer_than_the_way_out_are_dropped_there() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in KINDS {
        let mut segment = Segment::builder().quiet().guests(3, kind).mtu(9300).build();
        let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook}"));
        let ears = segment.ears();
        ears.introduce(&segment);
        let (host, outside, one, two, three) =
            (segment.host(), segment.outside(), segment.guest(1), segment.guest(2), segment.guest(3));
        host.ns.ip("link set vm2 mtu 1500");
        assert!(wait_until(SOON, || bridge.port("vm2")["mtu"] == 1500));
        let mut dropped = 0;
        for from in [one, host, outside] {
            // The longest that fits, with a tag and without.
            ears.send(from, &frames::finished(two.mac, from.mac, 1514), &[two]).unwrap();
            let tagged = frames::tagged(two.mac, from.mac, &[(0x8100, 5)], frames::EXPERIMENTAL, 1500);
            ears.send(from, &tagged, &[two]).unwrap();
            for length in [1519, 4000, 9200] {
                ears.send(from, &frames::finished(two.mac, from.mac, length), &[]).unwrap();
                dropped += 1;
                let others: Vec<_> =
                    [one, host, outside, three].into_iter().filter(|other| other.mac != from.mac).collect();
                ears.send(from, &frames::finished(Mac::BROADCAST, from.mac, length), &others).unwrap();
                dropped += 1;
                let told = || format!("{kind:?} {hook}, {length} from {from:?}");
                assert_eq!(bridge.counters("vm2").drops, reasons(&[("too_big", dropped)]), "{}", told());
            }
        }
        let drops = bridge.all_counters().drops();
        assert_eq!(drops, reasons(&[("too_big", dropped)]), "{kind:?} {hook}: nobody else dropped anything");
        bridge.stop();
    }
}

#[test]
fn garbage_is_counted_and_harms_nobody() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in KINDS {
        let (segment, bridge) = quiet(kind, hook);
        let ears = segment.ears();
        ears.introduce(&segment);
        let ports = [(segment.guest(1), "vm1"), (segment.outside(), "eth0"), (segment.host(), "host")];
        for (from, port) in ports {
            garbage(&ears, &bridge, &segment, from, port, &format!("{kind:?} {hook} {port}"));
        }
        // Nobody was harmed.
        ears.introduce(&segment);
        bridge.stop();
    }
}

/// Frames of every length from nothing on, of zeroes, of ones, and of a header that promises more.
fn garbage(ears: &Ears, bridge: &Xbr, segment: &Segment, from: &Node, port: &str, told: &str) {
    let to = segment.guest(2);
    let before = bridge.counters(port);
    let ear = ears.of(from);
    let (mut whole, mut refused) = (0, 0);
    for length in 0..=60 {
        for fill in [0x00, 0xff] {
            // To the host a drop on its way out is ENOBUFS.
            let _ = ear.send(&vec![fill; length]);
            refused += u64::from(length >= 14);
        }
        for kind in [0x0800u16, 0x86dd, 0x8100, 0x88a8, 0x0806] {
            let mut frame = frames::tagged(to.mac, from.mac, &[], kind, 46);
            frame.truncate(length);
            let sent = ear.send(&frame);
            // The kernel itself drops a tag that is cut off, before TC (`skb_vlan_untag`).
            let cut = matches!(kind, 0x8100 | 0x88a8) && length < 20;
            if length >= 14 && !cut {
                sent.unwrap_or_else(|e| panic!("{told}: {length} bytes: {e:#}"));
                whole += 1;
            }
        }
    }
    let counted = || bridge.counters(port).since(&before);
    // What is shorter than a header, the sender's kernel sends filled up, or not at all, so there may be more.
    let all = || counted().rx.packets >= whole + refused;
    assert!(wait_until(SOON, all), "{told}: {:?}, not {whole} and {refused}", counted());
    assert!(counted().dropped("bad_source") >= refused, "{told}: {:?}", counted());
    ears.forget().unwrap();
}
