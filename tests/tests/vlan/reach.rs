//! Access ports, trunks and the native VLAN: frames reach whom they should, with the tag that they should have.

use std::collections::BTreeMap;

use xbr_lab::{
    Direction, GuestKind, Mac, Offloads, Segment, TapsBy, Xbr, ping, require_privileges, tcp_transfer,
};

use crate::lab::{Batch, KINDS, XBR, expected, introduce, numbered, port_of, untagged, with_vlans};

const MIB: u64 = 1 << 20;
/// Priority 3.
const PRIORITY: u16 = 0x6000;

#[test]
fn frames_reach_their_vlan_and_no_other() {
    if !require_privileges() {
        return;
    }
    for (kinds, hook) in KINDS {
        let (segment, bridge) = with_vlans(kinds, hook);
        let ears = segment.ears();
        introduce(&ears, &segment);
        // No tag, one of priority only, each VLAN with and without a priority, one of nobody's, and what is no VLAN.
        let tags = [None, Some(PRIORITY), Some(1), Some(10), Some(PRIORITY | 20), Some(30), Some(4095)];
        for from in segment.nodes() {
            let told = format!("{kinds:?} {hook}, from {from:?}");
            let before = bridge.all_counters();
            let mut batch = Batch::new(&segment);
            for tci in tags {
                batch.send(&ears, from, Mac::BROADCAST, tci);
                for to in segment.nodes().into_iter().filter(|to| to.mac != from.mac) {
                    batch.send(&ears, from, to.mac, tci);
                }
            }
            let refused = batch.refused;
            batch.hear(&ears, &told);
            let counted = bridge.all_counters().since(&before);
            assert_eq!(counted.of(&port_of(from)).dropped("vlan_ingress"), refused, "{told}");
            // What is for the host, from where the host is not.
            let mut others = counted.drops();
            others.remove("vlan_ingress");
            others.remove("vlan_egress");
            assert!(others.is_empty(), "{told}: {others:?}");
        }
        for (kind, number) in kinds.iter().zip(1..) {
            // What is for a port with XDP is taken there, whether its tag stays, goes or comes.
            let counters = bridge.counters(&format!("vm{number}"));
            let by_xdp = expected(*kind, hook) == "xdp";
            assert_eq!(counters.by_xdp() > 0 && by_xdp, by_xdp, "{kinds:?} {hook} vm{number}: {counters:?}");
            assert_eq!(counters.slowed("retag"), 0, "{kinds:?} {hook} vm{number}");
        }
        bridge.stop();
    }
}

#[test]
fn no_frame_hops_by_a_second_tag() {
    if !require_privileges() {
        return;
    }
    for (kinds, hook) in KINDS {
        let (segment, bridge) = with_vlans(kinds, hook);
        let ears = segment.ears();
        introduce(&ears, &segment);
        let mut number = 0;
        for outer in [0x8100, 0x88a8] {
            // From an access port, from a trunk, and from the native VLAN of that trunk.
            for (from, vid, inner) in
                [(segment.guest(1), 10, 20), (segment.guest(4), 10, 20), (segment.guest(4), 1, 20)]
            {
                number += 1;
                let told = format!("{kinds:?} {hook}, {outer:x} {vid} and {inner} from {from:?}");
                let before = bridge.all_counters();
                let frame = numbered(Mac::BROADCAST, from.mac, &[(outer, vid), (0x8100, inner)], number);
                ears.of(from).send(&frame).unwrap();
                let others = segment.nodes().into_iter().filter(|node| node.mac != from.mac);
                let members: Vec<_> = others.filter_map(|node| Some((node, untagged(node, vid)?))).collect();
                let tagged = members.iter().filter(|(_, untagged)| !untagged);
                let heard: Vec<_> = tagged.map(|(node, _)| (*node, vec![frame.clone()])).collect();
                ears.hear_each(&heard).unwrap_or_else(|e| panic!("{told}: {e}"));
                let refused = members.iter().filter(|(_, untagged)| *untagged).count() as u64;
                let drops = bridge.all_counters().since(&before).drops();
                assert_eq!(drops, BTreeMap::from([("double_tag".to_string(), refused)]), "{told}");
                // To one station alone, which XDP may take.
                for (to, untagged) in members {
                    let frame = numbered(to.mac, from.mac, &[(outer, vid), (0x8100, inner)], number);
                    let before = bridge.counters(&port_of(to));
                    let sent = ears.of(from).send(&frame);
                    let heard = if untagged { Vec::new() } else { vec![sent.map(|()| frame).unwrap()] };
                    ears.hear_each(&[(to, heard)]).unwrap_or_else(|e| panic!("{told} to {to:?}: {e}"));
                    let drops = bridge.counters(&port_of(to)).since(&before).dropped("double_tag");
                    assert_eq!(drops, u64::from(untagged), "{told} to {to:?}");
                }
            }
        }
        bridge.stop();
    }
}

#[test]
fn the_host_is_in_vlan_1_and_nowhere_else() {
    if !require_privileges() {
        return;
    }
    for (kind, offloads, hook) in [
        (GuestKind::TapVnetHdr, Offloads::Default, "auto"),
        (GuestKind::Tap, Offloads::Off, "xdp"),
        (GuestKind::Veth, Offloads::Default, "tc"),
    ] {
        let mut segment = Segment::builder().guests(4, kind).offloads(offloads).build();
        let start = |segment: &Segment| Xbr::start(XBR, segment, &format!("--hook {hook}"));
        let bridge = segment.start(TapsBy::Switch, start);
        bridge.wait_forwarding();
        for vlan in ["dev vm3 vid 10 pvid untagged", "dev vm4 vid 10 pvid untagged"] {
            bridge.text(&format!("vlan add {vlan}"));
        }
        let (host, outside) = (segment.host(), segment.outside());
        let [one, two, three, four] = [1, 2, 3, 4].map(|number| segment.guest(number));
        for (from, to) in [(one, host), (one, two), (two, outside), (three, four), (host, outside)] {
            ping(&from.ns, to.v6).unwrap();
            tcp_transfer(&from.ns, &to.ns, to.v4, 8 * MIB)
                .unwrap_or_else(|e| panic!("{kind:?} {hook}: {e:#}"));
        }
        for (from, to) in [(three, host), (three, one), (outside, four), (host, three)] {
            let reached = xbr_lab::Ping::from(&from.ns).count(1).timeout(std::time::Duration::from_secs(1));
            assert!(reached.to(to.v4).is_err(), "{kind:?} {hook}: {from:?} reaches {to:?}");
        }
        if kind == GuestKind::TapVnetHdr {
            let crossed = segment.crossed(4, Direction::ToGuest);
            let average = crossed.bytes / crossed.frames.max(1);
            assert!(crossed.gso > 100 && average > 10_000, "segments were cut: {crossed:?}");
        }
        bridge.stop();
    }
}
