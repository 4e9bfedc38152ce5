//! While VLANs are filtered: broadcasts of a VLAN that the host is not in are XDP's too, and tags are changed on the way.

use xbr_lab::{Mac, frames, require_privileges};

use super::{KINDS, Node, all_xdp};

const VLAN: (u16, u16) = (0x8100, 10);

/// A frame whose checksums are finished, behind these tags.
fn tagged(to: Mac, from: Mac, tags: &[(u16, u16)]) -> Vec<u8> {
    let mut frame = frames::finished(to, from, 100);
    let tags: Vec<u8> =
        tags.iter().flat_map(|(tpid, tci)| [tpid.to_be_bytes(), tci.to_be_bytes()].concat()).collect();
    frame.splice(12..12, tags);
    frame
}

#[test]
fn a_vlan_without_the_host_is_flooded_in_xdp() {
    if !require_privileges() {
        return;
    }
    for kind in KINDS {
        let (segment, bridge) = all_xdp(kind);
        let ears = segment.ears();
        ears.introduce(&segment);
        for port in ["vm1", "vm2", "vm3"] {
            bridge.text(&format!("vlan add dev {port} vid 10 pvid untagged"));
        }
        let outside = segment.outside();
        let guests: Vec<&Node> = segment.guests().collect();
        let [one, two, three] = [guests[0], guests[1], guests[2]];
        // To each its frame, and whether XDP took it.
        let check = |from: &Node, frame: &[u8], hearers: &[(&Node, Vec<Vec<u8>>)], by_xdp: bool| {
            let before = bridge.all_counters();
            ears.of(from).send(frame).unwrap();
            ears.hear_each(hearers).unwrap_or_else(|e| panic!("{kind:?} {from:?}: {e}"));
            let counted = bridge.all_counters().since(&before);
            for (node, heard) in hearers {
                let tx = counted.of(super::port_of(node)).tx;
                assert_eq!((tx.packets, tx.bytes), (1, heard[0].len() as u64), "{node:?}");
            }
            assert_eq!(counted.of(super::port_of(from)).by_xdp(), u64::from(by_xdp), "{from:?} {counted:?}");
        };
        let to = Mac::BROADCAST;
        for to in [to, super::GROUP, super::NOBODY] {
            let plain = tagged(to, one.mac, &[]);
            // Access ports alone: each copy as it came.
            check(one, &plain, &[(two, vec![plain.clone()]), (three, vec![plain.clone()])], true);
            // One that says its VLAN, where that is allowed: the copies leave without.
            check(
                one,
                &tagged(to, one.mac, &[VLAN]),
                &[(two, vec![plain.clone()]), (three, vec![plain])],
                true,
            );
            // In other forms TC has a look.
            let hop = tagged(to, one.mac, &[VLAN, (0x8100, 20)]);
            let before = bridge.all_counters();
            ears.send(one, &hop, &[]).unwrap();
            let counted = bridge.all_counters().since(&before);
            assert_eq!(counted.of("vm2").dropped("double_tag"), 1, "no hop into another VLAN");
        }
        // The uplink is a trunk: what comes in with a tag leaves without, and the other way round copies differ.
        bridge.text("vlan add dev eth0 vid 10");
        let (came, leaves) = (tagged(to, outside.mac, &[VLAN]), tagged(to, outside.mac, &[]));
        let all = |frame: &[u8]| guests.iter().map(|node| (*node, vec![frame.to_vec()])).collect::<Vec<_>>();
        check(outside, &came, &all(&leaves), true);
        let (plain, trunk) = (tagged(to, one.mac, &[]), tagged(to, one.mac, &[VLAN]));
        let hearers =
            [(two, vec![plain.clone()]), (three, vec![plain.clone()]), (outside, vec![trunk.clone()])];
        check(one, &plain, &hearers, false);
        // Trunks and nobody else: the tag is put on. (An isolated port is none that could get a copy of what one like it sends.)
        bridge.text("port set vm1 isolated on");
        for port in ["vm2", "vm3"] {
            bridge.text(&format!("vlan add dev {port} vid 10"));
        }
        let hearers = [two, three, outside].map(|node| (node, vec![trunk.clone()]));
        check(one, &plain, &hearers, true);
        bridge.stop();
    }
}
