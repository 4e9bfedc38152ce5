//! Groups in VLANs: each VLAN has members, queriers and routers of its own.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use serde_json::{Value, json};
use xbr_lab::{GuestKind, Listener, Node, RawPort, patience, require_privileges, tcp_transfer, wait_until};

use super::{
    lab::{Lab, groups},
    said::{datagram, query, report, tagged},
};

/// Two guests in VLAN 10, one in VLAN 20, a trunk with both, an uplink with both, and a host that is in VLAN 10 and not in VLAN 20.
const VLANS: [&str; 8] = [
    "dev vm1 vid 10 pvid untagged",
    "dev vm2 vid 10 pvid untagged",
    "dev vm3 vid 20 pvid untagged",
    "dev vm4 vid 10",
    "dev vm4 vid 20",
    "dev eth0 vid 10",
    "dev eth0 vid 20",
    "dev host vid 10",
];
/// A router is believed for 4 s, and a membership as well.
const WORDS: &str = "--mcast-snooping --mcast-querier --lab-mcast-speed 60";

fn with_vlans() -> Lab {
    use GuestKind::{Tap, TapVnetHdr, Veth};
    let lab = Lab::new(&[(1, Veth), (1, TapVnetHdr), (1, Tap), (1, Veth)], WORDS);
    VLANS.iter().for_each(|vlan| drop(lab.bridge.text(&format!("vlan add {vlan}"))));
    lab
}

/// Who beside the host a datagram of one to a group reaches, sent with this tag or with none.
fn reached(lab: &Lab, from: &Node, vid: Option<u16>, group: IpAddr) -> BTreeSet<String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let marker = format!("to {group}, number {:08}", NUMBER.fetch_add(1, Relaxed));
    let host = lab.segment.host().mac;
    let others = lab.segment.nodes().into_iter().filter(|node| node.mac != from.mac && node.mac != host);
    let ears: Vec<_> = others.map(|node| (node.ns.name(), RawPort::open(&node.ns, "eth0"))).collect();
    let frame = datagram(from, group, marker.as_bytes());
    let frame = vid.map_or(frame.clone(), |vid| tagged(frame, vid));
    RawPort::open(&from.ns, "eth0").send(&frame).unwrap();
    std::thread::sleep(patience(Duration::from_millis(60)));
    let hears = |ear: &RawPort| {
        let heard = ear.drain().unwrap();
        heard.iter().any(|frame| frame.bytes.windows(marker.len()).any(|part| part == marker.as_bytes()))
    };
    ears.iter().filter(|(_, ear)| hears(ear)).map(|(name, _)| name.to_string()).collect()
}

/// Exactly these hear it, once what is said before each try has been heard.
#[track_caller]
fn reaches(lab: &Lab, (from, vid): (&Node, Option<u16>), group: IpAddr, say: &dyn Fn(), names: &[&str]) {
    let wanted: BTreeSet<String> = names.iter().map(|name| name.to_string()).collect();
    let mut who = BTreeSet::new();
    let right = wait_until(Duration::from_secs(8), || {
        say();
        who = reached(lab, from, vid, group);
        who == wanted
    });
    let from = from.ns.name();
    assert!(right, "{from}, {vid:?}, to {group}: {who:?}, not {wanted:?}\n{}", lab.bridge.text("mdb show"));
}

/// The members of a group, and the routers, in one VLAN.
fn shown(lab: &Lab, group: IpAddr, vid: u16) -> (Vec<Value>, Vec<Value>) {
    let shown = lab.bridge.json(&format!("mdb show grp {group} vid {vid}"));
    let rows = |value: &Value| value.as_array().expect("a list").clone();
    (rows(&shown[0]["mdb"]), rows(&shown[0]["router"][&lab.bridge.name]))
}

#[test]
fn each_vlan_has_members_queriers_and_routers_of_its_own() {
    if !require_privileges() {
        return;
    }
    let lab = with_vlans();
    let [one, two, three, four] = [1, 2, 3, 4].map(|number| lab.segment.guest(number));
    let outside = lab.segment.outside();
    let (trunk, uplink) = (RawPort::open(&four.ns, "eth0"), RawPort::open(&outside.ns, "eth0"));
    let nothing = || ();
    let unregistered = ["239.77.7.7", "ff05::77"].map(|group| group.parse::<IpAddr>().unwrap());
    for (group, other) in groups().into_iter().zip(unregistered) {
        // In VLAN 10 the bridge asks as the host. In VLAN 20 it cannot, and nobody else does: all is flooded there.
        reaches(&lab, (two, None), group, &nothing, &[]);
        reaches(&lab, (three, None), group, &nothing, &["guest4", "outside"]);
        let joined = Listener::join(&one.ns, "eth0", group, 7300).unwrap();
        for from in [(two, None), (four, Some(10)), (outside, Some(10))] {
            reaches(&lab, from, group, &nothing, &["guest1"]);
        }
        // A router in VLAN 20, and a member there whose port is in VLAN 10 as well.
        let said = || {
            uplink.send(&tagged(query(outside, outside.v4, group), 20)).unwrap();
            trunk.send(&tagged(report(four, group), 20)).unwrap();
        };
        reaches(&lab, (three, None), other, &said, &["outside"]);
        reaches(&lab, (three, None), group, &said, &["guest4", "outside"]);
        reaches(&lab, (outside, Some(20)), group, &said, &["guest4"]);
        said();
        let (members, routers) = shown(&lab, group, 20);
        assert_eq!(routers, [json!({"port": "eth0", "type": "temp", "vid": 20})]);
        let index = members[0]["index"].clone();
        let member = json!({
            "index": index, "dev": lab.bridge.name, "port": "vm4", "grp": group.to_string(), "state": "temp",
            "filter_mode": "exclude", "flags": [], "vid": 20,
        });
        assert_eq!(members, [member], "the keys of bridge -d -j mdb");
        let (members, routers) = shown(&lab, group, 10);
        assert!(
            routers.is_empty() && members.len() == 1 && members[0]["port"] == "vm1",
            "{members:?} {routers:?}"
        );
        // Nothing of that changes anything in VLAN 10.
        for (from, group, who) in [(two, group, &["guest1"][..]), (two, other, &[])] {
            reaches(&lab, (from, None), group, &said, who);
        }
        drop(joined);
        reaches(&lab, (two, None), group, &said, &[]);
        reaches(&lab, (outside, Some(20)), group, &said, &["guest4"]);
    }
    // The router is silent: VLAN 20 is flooded again, and VLAN 10 is as it was.
    for group in unregistered {
        reaches(&lab, (three, None), group, &nothing, &["guest4", "outside"]);
        reaches(&lab, (two, None), group, &nothing, &[]);
    }
    tcp_transfer(&one.ns, &two.ns, two.v4, 1 << 20).unwrap();
    tcp_transfer(&two.ns, &one.ns, one.v6, 1 << 20).unwrap();
    lab.bridge.stop();
}

#[test]
fn what_the_operator_says_of_a_group_is_said_of_vlans() {
    if !require_privileges() {
        return;
    }
    let lab = with_vlans();
    let (two, three) = (lab.segment.guest(2), lab.segment.guest(3));
    let nothing = || ();
    for group in groups() {
        let vids = |port: &str| -> Vec<Value> {
            let shown = lab.bridge.json(&format!("mdb show dev {port} grp {group}"));
            shown[0]["mdb"].as_array().unwrap().iter().map(|row| row["vid"].clone()).collect()
        };
        for (words, why) in [("dev vm3", "vid 10"), ("dev host", "vid 20")] {
            let refused = lab.bridge.verb(&format!("mdb add {words} grp {group} {why}"));
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(2), "{said}");
            assert!(said.contains("is not in VLAN") && said.contains("hint:"), "{said}");
        }
        // Without a VLAN, in each that the port is in.
        lab.bridge.text(&format!("mdb add dev vm4 grp {group} permanent"));
        assert_eq!(vids("vm4"), [1, 10, 20]);
        lab.bridge.text(&format!("mdb del dev vm4 grp {group} vid 20"));
        assert_eq!(vids("vm4"), [1, 10]);
        reaches(&lab, (two, None), group, &nothing, &["guest4"]);
        reaches(&lab, (three, None), group, &nothing, &["guest4", "outside"]);
        lab.bridge.text(&format!("mdb del dev vm4 grp {group}"));
        reaches(&lab, (two, None), group, &nothing, &[]);
    }
    // Without filtering there is one segment, with members of its own.
    lab.bridge.text("vlan filtering off");
    let everyone = ["guest1", "guest3", "guest4", "outside"];
    assert_eq!(reached(&lab, two, None, groups()[0]), everyone.map(String::from).into());
    reaches(&lab, (two, None), groups()[0], &nothing, &[]);
    tcp_transfer(&two.ns, &three.ns, three.v4, 1 << 20).unwrap();
    lab.bridge.stop();
}
