//! Source filters, by IGMPv3 and MLDv2.

use std::net::IpAddr;

use xbr_lab::{Listener, Node, require_privileges};

use super::lab::{Lab, groups};

fn address(node: &Node, like: IpAddr) -> IpAddr {
    if like.is_ipv4() { node.v4.into() } else { node.v6.into() }
}

#[test]
fn a_source_reaches_those_who_want_it() {
    if !require_privileges() {
        return;
    }
    let lab = Lab::asking(3, 2, "");
    let (one, two, three) = (lab.segment.guest(1), lab.segment.guest(2), lab.segment.guest(3));
    let outside = lab.segment.outside();
    for group in groups() {
        let wanted = address(outside, group);
        let only = Listener::join_source(&one.ns, "eth0", group, wanted, 7300).unwrap();
        lab.wait_ports(group, &["vm1"]);
        lab.reaches(outside, group, &["guest1"]);
        lab.reaches(two, group, &[]);
        let but = Listener::join_without(&three.ns, "eth0", group, wanted, 7300).unwrap();
        lab.wait_ports(group, &["vm1", "vm3"]);
        lab.reaches(outside, group, &["guest1"]);
        lab.reaches(two, group, &["guest3"]);
        lab.reaches(one, group, &["guest3"]);
        let shown = lab.bridge.text(&format!("mdb show grp {group}"));
        let bridge = &lab.bridge.name;
        for line in [
            format!("dev {bridge} port vm1 grp {group} src {wanted} temp\n"),
            format!("dev {bridge} port vm3 grp {group} temp\n"),
            format!("dev {bridge} port vm3 grp {group} src {wanted} temp blocked\n"),
        ] {
            assert!(shown.contains(&line), "no {line} in {shown}");
        }
        // Whoever wants only a source stops to: nobody is left who wants it.
        drop(only);
        lab.wait_ports(group, &["vm3"]);
        lab.reaches(outside, group, &[]);
        lab.reaches(two, group, &["guest3"]);
        drop(but);
        lab.wait_ports(group, &[]);
    }
    lab.bridge.stop();
}
