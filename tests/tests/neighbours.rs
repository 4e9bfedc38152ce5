//! Stations that share the host's uplink, addresses that move, and an uplink that is off.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use xbr_lab::{
    GuestKind, Mac, Namespace, Ping, RawPort, Segment, Xbr, frames, is_running, ping, require_privileges,
    tcp_transfer, wait_until,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const MIB: u64 = 1 << 20;
const SOON: Duration = Duration::from_secs(3);

fn is_at(bridge: &Xbr, mac: Mac, port: &str) -> bool {
    bridge.station(mac).is_some_and(|station| station["ifname"] == port)
}

/// A macvlan on the host's uplink, as containers have.
fn container(segment: &Segment, mac: Mac, v4: Ipv4Addr) -> Namespace {
    let ns = Namespace::new("container");
    ns.sysctl("net/ipv6/conf/default/accept_dad", "0");
    let place = ns.path();
    segment.host().ns.ip(&format!(
        "link add mv0 link eth0 address {mac} netns {} type macvlan mode bridge",
        place.display()
    ));
    ns.ip_batch(&[
        "link set mv0 up".to_owned(),
        format!("addr add {v4}/24 dev mv0"),
        "addr add fd77::40/64 dev mv0 nodad".to_owned(),
    ]);
    ns
}

#[test]
fn a_macvlan_on_the_uplink_is_a_station_of_the_host() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in [(GuestKind::Veth, "auto"), (GuestKind::Veth, "xdp"), (GuestKind::TapVnetHdr, "auto")]
    {
        let mut segment = Segment::builder().guests(1, kind).build();
        let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook}"));
        let (mac, v4) = (Mac::numbered(0x40), Ipv4Addr::new(10, 77, 0, 64));
        let ns = container(&segment, mac, v4);
        let v6: IpAddr = "fd77::40".parse().unwrap();
        for node in [segment.guest(1), segment.outside()] {
            for (to, back) in [(IpAddr::from(v4), IpAddr::from(node.v4)), (v6, node.v6.into())] {
                ping(&node.ns, to).unwrap();
                ping(&ns, back).unwrap();
                tcp_transfer(&node.ns, &ns, to, 4 * MIB).unwrap();
                tcp_transfer(&ns, &node.ns, back, 4 * MIB).unwrap();
            }
        }
        let station = bridge.station(mac).expect("it is known");
        assert_eq!((&station["ifname"], &station["state"]), (&"host".into(), &"".into()), "{station}");
        let own = bridge.station(segment.host().mac).expect("the host itself");
        assert_eq!((&own["ifname"], &own["state"]), (&"host".into(), &"permanent".into()), "{own}");
        bridge.stop();
    }
}

/// An address as VRRP moves it: with a MAC address of its own, by gratuitous ARP.
struct Virtual {
    mac: Mac,
    v4: Ipv4Addr,
}

impl Virtual {
    /// The machine that has it takes it up, or leaves it, on a macvlan, as keepalived does with `use_vmac`.
    fn take(&self, ns: &Namespace) {
        // Answers must leave with the virtual MAC address, so its own table routes them; and `eth0` must not answer ARP for it.
        ns.sysctl("net/ipv4/conf/all/arp_ignore", "1");
        ns.sysctl("net/ipv4/conf/eth0/arp_filter", "1");
        ns.sysctl("net/ipv6/conf/default/disable_ipv6", "1");
        ns.ip_batch(&[
            format!("link add vrrp link eth0 address {} type macvlan mode private", self.mac),
            "link set vrrp up".into(),
            format!("addr add {}/32 dev vrrp", self.v4),
            "route add 10.77.0.0/24 dev vrrp table 77".into(),
            format!("rule add from {} table 77", self.v4),
        ]);
        // The first frame from there: without IPv6 the device has had nothing to say.
        RawPort::open(ns, "vrrp").send(&self.gratuitous_arp()).unwrap();
    }

    fn leave(&self, ns: &Namespace) {
        ns.ip_batch(&[format!("rule del from {} table 77", self.v4), "link del vrrp".into()]);
    }

    fn gratuitous_arp(&self) -> Vec<u8> {
        let mut frame = frames::tagged(Mac::BROADCAST, self.mac, &[], 0x0806, 0);
        frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend(self.mac.0);
        frame.extend(self.v4.octets());
        frame.extend([0; 6]);
        frame.extend(self.v4.octets());
        frame
    }
}

#[test]
fn a_vrrp_address_moves_between_host_and_outside() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in [(GuestKind::Veth, "auto"), (GuestKind::Veth, "xdp"), (GuestKind::Tap, "auto")] {
        let mut segment = Segment::builder().guests(2, kind).build();
        let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook}"));
        let address = Virtual { mac: Mac([0, 0, 0x5e, 0, 1, 7]), v4: Ipv4Addr::new(10, 77, 0, 77) };
        let places = [(segment.host(), "host"), (segment.outside(), "eth0")];
        let moved = |port: &str| bridge.counters(port).moved;
        for turn in 0..4 {
            let (owner, port) = places[turn % 2];
            let before = moved(port);
            address.take(&owner.ns);
            // One frame has left.
            assert!(
                wait_until(SOON, || is_at(&bridge, address.mac, port)),
                "turn {turn}: {:?}",
                bridge.station(address.mac)
            );
            assert_eq!(moved(port) - before, u64::from(turn > 0), "turn {turn}");
            for guest in segment.guests() {
                ping(&guest.ns, address.v4).unwrap();
                tcp_transfer(&guest.ns, &owner.ns, address.v4, MIB).unwrap();
            }
            assert!(is_at(&bridge, address.mac, port), "it stays");
            let other = places[(turn + 1) % 2].0;
            ping(&other.ns, address.v4).unwrap();
            address.leave(&owner.ns);
        }
        bridge.stop();
    }
}

/// Whether duplicate address detection found this address of `eth0` taken.
fn failed_address(ns: &Namespace, address: &str) -> bool {
    ns.output("ip -6 addr show dev eth0")
        .lines()
        .any(|line| line.contains(address) && line.contains("dadfailed"))
}

#[test]
fn duplicate_addresses_are_found_between_host_and_guests() {
    if !require_privileges() {
        return;
    }
    for kind in GuestKind::ALL {
        let mut segment = Segment::builder().dad().guests(2, kind).build();
        let bridge = Xbr::on(XBR, &mut segment, "");
        let tentative = |ns: &Namespace| ns.output("ip -6 addr show dev eth0 tentative").contains("inet6");
        let settled = || segment.nodes().iter().all(|node| !tentative(&node.ns));
        assert!(wait_until(Duration::from_secs(8), settled), "addresses stay tentative");
        for node in segment.nodes() {
            let own = format!("{}", node.v6);
            assert!(!failed_address(&node.ns, &own), "{node:?}: {}", node.ns.output("ip -6 addr"));
        }
        // Owner and latecomer: each pair of kinds of participants, both ways.
        let (host, one, two) = (segment.host(), segment.guest(1), segment.guest(2));
        let outside = segment.outside();
        let mut late = Vec::new();
        for (owner, other) in [(host, one), (one, host), (one, two), (outside, two), (two, outside)] {
            late.push((owner, other, owner.v6.to_string()));
            other.ns.ip(&format!("addr add {}/64 dev eth0", owner.v6));
        }
        for (owner, other, address) in late {
            assert!(
                wait_until(SOON, || failed_address(&other.ns, &address)),
                "{other:?} took the address of {owner:?}:\n{}",
                other.ns.output("ip -6 addr show dev eth0")
            );
            // Its owner keeps it.
            assert!(!failed_address(&owner.ns, &address), "{owner:?} lost its address");
        }
        bridge.stop();
    }
}

#[test]
fn host_and_guests_need_no_carrier_on_the_uplink() {
    if !require_privileges() {
        return;
    }
    for kind in GuestKind::ALL {
        let mut segment = Segment::builder().guests(2, kind).build();
        let bridge = Xbr::on(XBR, &mut segment, "");
        let (host, outside) = (segment.host(), segment.outside());
        let inside = [host, segment.guest(1), segment.guest(2)];
        let all_talk = || {
            for from in inside {
                for to in inside.into_iter().filter(|to| to.mac != from.mac) {
                    for node in [from, to] {
                        node.ns.ip("neigh flush all");
                    }
                    ping(&from.ns, to.v4).unwrap();
                    ping(&from.ns, to.v6).unwrap();
                    tcp_transfer(&from.ns, &to.ns, to.v4, MIB).unwrap();
                }
            }
        };
        for _ in 0..2 {
            outside.ns.ip("link set eth0 down");
            assert!(wait_until(SOON, || !is_running(&host.ns, "eth0")));
            assert!(wait_until(SOON, || bridge.port("eth0")["carrier"] == false));
            all_talk();
            let lost = Ping::from(&host.ns).count(1).timeout(Duration::from_millis(200)).report(outside.v4);
            assert_eq!(lost.unwrap().received, 0, "the outside is off");
            outside.ns.ip("link set eth0 up");
            assert!(wait_until(SOON, || is_running(&host.ns, "eth0")));
            bridge.wait_forwarding();
            all_talk();
            for node in inside {
                outside.ns.ip("neigh flush all");
                ping(&node.ns, outside.v4).unwrap();
                ping(&outside.ns, node.v4).unwrap();
            }
        }
        bridge.stop();
    }
}

#[test]
fn link_local_groups_stay_between_host_and_wire() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in [(GuestKind::Veth, "auto"), (GuestKind::Veth, "xdp"), (GuestKind::Tap, "auto")] {
        let mut segment = Segment::builder().quiet().guests(2, kind).build();
        let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook}"));
        let ears = segment.ears();
        let (host, outside, guest) = (segment.host(), segment.outside(), segment.guest(1));
        let mut dropped = 0;
        // Spanning tree, LACP, PAUSE's, and LLDP.
        for (last, kind) in [(0, 0x0069), (2, 0x8809), (1, 0x8808), (14, 0x88cc), (15, 0x88cc)] {
            let group = Mac([1, 0x80, 0xc2, 0, 0, last]);
            let frame = |from: Mac| frames::tagged(group, from, &[], kind, 105);
            // From a source of its own each, which must not be learned.
            let from = |number: u32| frame(Mac::numbered(0x500 + number));
            ears.send(outside, &from(1), &[host]).unwrap();
            ears.send(host, &frame(host.mac), &[outside]).unwrap();
            ears.send(host, &from(2), &[outside]).unwrap();
            ears.send(guest, &from(3), &[]).unwrap();
            // Spanning tree's own has a reason of its own.
            dropped += u64::from(last != 0);
            let drops = bridge.counters("vm1");
            assert_eq!((drops.dropped("link_local"), drops.dropped("bpdu")), (dropped, 1), "{hook}");
            assert!((1..4).all(|number| bridge.station(Mac::numbered(0x500 + number)).is_none()));
        }
        let drops = bridge.all_counters().drops();
        assert_eq!(
            drops.into_iter().collect::<Vec<_>>(),
            [("bpdu".to_owned(), 1), ("link_local".to_owned(), dropped)],
            "{kind:?} {hook}"
        );
        // The next address is no such group.
        let others = [host, outside, segment.guest(2)];
        ears.send(guest, &frames::frame(Mac([1, 0x80, 0xc2, 0, 0, 0x10]), guest.mac, 60), &others).unwrap();
        bridge.stop();
    }
}
