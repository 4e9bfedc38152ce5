//! The classic of a host with VLANs: access guests, a trunk guest, the wire as trunk, and the host itself on `eth0.10`. What should reach
//! each other does, by ping and TCP, and what should not does not.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use xbr_lab::{
    GuestKind::{TapVnetHdr, Veth},
    Namespace, Node, Segment, Xbr,
    dhcp::Server,
    ping, require_privileges, tcp_transfer, wait_until,
};

use crate::XBR;

/// Guests 1 and 3 are in VLAN 10, 2 and 4 in VLAN 20, and 5 has both with tags.
const ACCESS: [(usize, u16); 4] = [(1, 10), (2, 20), (3, 10), (4, 20)];

fn give(ns: &Namespace, dev: &str, vid: u16, last: u8) -> IpAddr {
    ns.ip_batch(&[format!("addr add 10.99.{vid}.{last}/24 dev {dev}"), format!("link set {dev} up")]);
    [10, 99, vid as u8, last].into()
}

fn tagged(ns: &Namespace, vid: u16, last: u8) -> IpAddr {
    ns.ip(&format!("link add link eth0 name eth0.{vid} type vlan id {vid}"));
    give(ns, &format!("eth0.{vid}"), vid, last)
}

fn all_who_should_reach_each_other(hook: &str) {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(2, Veth).guests(3, TapVnetHdr).build();
    let xbr = Xbr::on(XBR, &mut segment, hook);
    for (guest, vid) in ACCESS {
        xbr.text(&format!("vlan add dev vm{guest} vid {vid} pvid untagged"));
    }
    for words in ["dev vm5 vid 10", "dev vm5 vid 20", "dev eth0 vid 10", "dev eth0 vid 20", "dev host vid 10"]
    {
        xbr.text(&format!("vlan add {words}"));
    }
    let mut seats: Vec<(&Node, u16, IpAddr)> = Vec::new();
    for (guest, vid) in ACCESS {
        let node = segment.guest(guest);
        seats.push((node, vid, give(&node.ns, "eth0", vid, 10 + guest as u8)));
    }
    seats.push((segment.host(), 10, tagged(&segment.host().ns, 10, 1)));
    for vid in [10, 20] {
        seats.push((segment.outside(), vid, tagged(&segment.outside().ns, vid, 2)));
        seats.push((segment.guest(5), vid, tagged(&segment.guest(5).ns, vid, 15)));
    }
    for (from, vid, _) in &seats {
        for (to, other, address) in &seats {
            if from.ns.name() == to.ns.name() {
                continue;
            }
            if vid == other {
                assert!(
                    wait_until(Duration::from_secs(5), || ping(&from.ns, *address).is_ok()),
                    "{from:?} to {address}"
                );
                tcp_transfer(&from.ns, &to.ns, *address, 256 << 10)
                    .unwrap_or_else(|e| panic!("{from:?} to {address}: {e:#}"));
            }
        }
    }
    // Beyond its own VLANs nobody is heard: not with a wrong address, not with a tag of its own.
    for (from, to) in [(1, 2), (2, 1), (3, 4)] {
        let (from, to) = (segment.guest(from), seats[to - 1]);
        give(&from.ns, "eth0", to.1, 200);
        assert!(ping(&from.ns, to.2).is_err(), "{from:?} reaches {:?}", to.0);
        tagged(&from.ns, to.1, 201);
        from.ns.ip(&format!("addr del 10.99.{}.200/24 dev eth0", to.1));
        assert!(ping(&from.ns, to.2).is_err(), "{from:?} hops to {:?} with a tag", to.0);
    }
    leases(&segment);
    let dropped = xbr.counters("vm1").drops["vlan_ingress"];
    assert!(dropped > 0, "a tag of another VLAN is dropped and counted: {:?}", xbr.counters("vm1"));
    xbr.stop();
}

/// In VLAN 10 the host serves one guest, behind a veth, and the outside another, at the trunk. Only one of them serves at a time. What
/// asks is busybox' own client, which reads raw frames and checks UDP's sums.
fn leases(segment: &Segment) {
    let servers = [(segment.host(), 1, 1, 100), (segment.outside(), 2, 5, 200)];
    for (server, own, guest, first) in servers {
        let first = Ipv4Addr::new(10, 99, 10, first);
        let _server = Server::at(&server.ns, "eth0.10", Ipv4Addr::new(10, 99, 10, own), first);
        let dev = if guest == 5 { "eth0.10" } else { "eth0" };
        let guest = segment.guest(guest);
        guest.ns.output(&format!("/bin/busybox udhcpc -f -q -n -t 10 -T 2 -i {dev} -s /sbin/lease"));
        let lease = std::fs::read_to_string(format!("/run/lease.{dev}")).expect("a lease");
        assert_eq!(lease.trim(), first.to_string(), "{guest:?} from {server:?}");
        tcp_transfer(&server.ns, &guest.ns, first, 256 << 10).unwrap();
    }
}

#[test]
#[ignore = "run inside guests"]
fn the_host_has_a_vlan_on_tc() {
    all_who_should_reach_each_other("--hook tc");
}

#[test]
#[ignore = "run inside guests"]
fn the_host_has_a_vlan_on_xdp() {
    all_who_should_reach_each_other("--hook auto --hook vm1=xdp --hook vm2=xdp --hook eth0=xdp");
}
