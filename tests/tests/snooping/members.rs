//! Joining and leaving.

use std::net::IpAddr;

use xbr_lab::{GuestKind, Listener, ping, require_privileges, tcp_transfer};

use super::lab::{Lab, groups};

#[test]
fn a_group_reaches_its_members_and_nobody_else() {
    if !require_privileges() {
        return;
    }
    for (igmp, mld) in [(2, 1), (3, 2)] {
        let lab = Lab::asking(igmp, mld, "");
        let (host, outside) = (lab.segment.host(), lab.segment.outside());
        let [one, two, three] = [1, 2, 3].map(|number| lab.segment.guest(number));
        let join =
            |node: &xbr_lab::Node, group: IpAddr| Listener::join(&node.ns, "eth0", group, 7300).unwrap();
        for group in groups() {
            for sender in [two, host, outside] {
                lab.reaches(sender, group, &[]);
            }
            let first = join(one, group);
            lab.wait_ports(group, &["vm1"]);
            for sender in [two, three, host, outside] {
                lab.reaches(sender, group, &["guest1"]);
            }
            // The host is a port as any, and so is the outside.
            let others = [join(host, group), join(outside, group)];
            lab.wait_ports(group, &["eth0", "host", "vm1"]);
            lab.reaches(two, group, &["guest1", "host", "outside"]);
            lab.reaches(outside, group, &["guest1", "host"]);
            lab.reaches(host, group, &["guest1", "outside"]);
            // Longer than a membership is remembered: they are asked, the host too, and answer.
            std::thread::sleep(std::time::Duration::from_secs(3));
            lab.reaches(two, group, &["guest1", "host", "outside"]);
            drop(first);
            lab.wait_ports(group, &["eth0", "host"]);
            lab.reaches(two, group, &["host", "outside"]);
            drop(others);
            lab.wait_ports(group, &[]);
            lab.reaches(two, group, &[]);
        }
        for (a, b) in lab.segment.pairs() {
            ping(&a.ns, b.v4).unwrap();
            ping(&a.ns, b.v6).unwrap();
        }
        tcp_transfer(&one.ns, &outside.ns, outside.v6, 8 << 20).unwrap();
        lab.bridge.stop();
    }
}

#[test]
fn without_snooping_and_without_a_querier_groups_are_flooded() {
    if !require_privileges() {
        return;
    }
    for words in ["", "--mcast-snooping"] {
        let lab = Lab::new(&[(1, GuestKind::Veth), (1, GuestKind::Tap), (1, GuestKind::TapVnetHdr)], words);
        let joined = groups().into_iter().zip(7300..);
        let guest = &lab.segment.guest(1).ns;
        let _joined: Vec<_> =
            joined.map(|(group, port)| Listener::join(guest, "eth0", group, port).unwrap()).collect();
        for group in groups() {
            if words.is_empty() {
                lab.wait_ports(group, &[]);
            } else {
                lab.wait_ports(group, &["vm1"]);
            }
            lab.reaches(lab.segment.outside(), group, &["guest1", "guest2", "guest3", "host"]);
            lab.reaches(lab.segment.guest(1), group, &["guest2", "guest3", "host", "outside"]);
        }
        lab.bridge.stop();
    }
}

#[test]
fn what_the_operator_says_of_groups_holds() {
    if !require_privileges() {
        return;
    }
    let lab = Lab::asking(0, 0, "");
    let outside = lab.segment.outside();
    for (group, source) in groups().into_iter().zip(["192.0.2.1", "2001:db8::1"]) {
        lab.bridge.text(&format!("mdb add dev vm2 grp {group} permanent"));
        lab.bridge.text(&format!("mdb add dev vm3 grp {group} src {source} permanent"));
        lab.reaches(outside, group, &["guest2"]);
        for (again, why) in [
            (format!("mdb add dev vm2 grp {group} permanent"), "is in group"),
            ("mdb add dev vm2 grp 10.0.0.1".into(), "is no group's address"),
            ("mdb add dev vm2 grp 224.0.0.251".into(), "reach every port in any case"),
            ("mdb add dev vm2 grp 239.1.1.1 vid 7".into(), "VLANs are not filtered"),
            ("mdb del dev vm1 grp 239.7.7.7".into(), "is not in group"),
            (format!("mdb add dev vm9 grp {group}"), "is no port"),
        ] {
            let refused = lab.bridge.verb(&again);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(2), "{again}: {said}");
            assert!(said.contains(why) && said.contains("hint:"), "{again}: {said}");
        }
        lab.bridge.text(&format!("mdb del dev vm2 grp {group}"));
        lab.bridge.text(&format!("mdb del dev vm3 grp {group} src {source}"));
        lab.reaches(outside, group, &[]);
        lab.bridge.text("mdb unregistered flood");
        lab.reaches(outside, group, &["guest1", "guest2", "guest3", "host"]);
        lab.bridge.text("mdb unregistered routers");
        lab.bridge.text("port set vm1 mcast_router 2");
        lab.reaches(outside, group, &["guest1"]);
        lab.bridge.text("port set vm1 mcast_router 1");
        lab.reaches(outside, group, &[]);
    }
    let shown = lab.bridge.json("port show -d");
    assert!(shown.to_string().contains("\"mcast_router\":1"), "{shown}");
    lab.bridge.text("mdb snooping off");
    lab.reaches(outside, groups()[0], &["guest1", "guest2", "guest3", "host"]);
    lab.bridge.stop();
}
