//! Who asks, and where routers are.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use bridge_user::multicast::{Message, parse};
use xbr_lab::{GuestKind, Listener, RawPort, require_privileges, wait_until};

use super::{
    lab::{Lab, groups},
    said::query,
};

fn is_query(frame: &[u8], like: IpAddr) -> bool {
    matches!(parse(frame), Ok(Message::Query(query)) if query.from.is_ipv4() == like.is_ipv4())
}

fn is_report(frame: &[u8], of: IpAddr) -> bool {
    matches!(parse(frame), Ok(Message::Report(records)) if records.iter().any(|record| record.group == of))
}

#[test]
fn a_router_is_where_queries_come_from_and_hears_reports_and_what_nobody_wants() {
    if !require_privileges() {
        return;
    }
    // No querier of our own: until the router asks, all is flooded.
    let lab = Lab::new(&[(2, GuestKind::Veth), (1, GuestKind::TapVnetHdr)], "--mcast-snooping");
    let (one, outside) = (lab.segment.guest(1), lab.segment.outside());
    let router = RawPort::open(&outside.ns, "eth0");
    for group in groups() {
        lab.reaches(one, group, &["guest2", "guest3", "host", "outside"]);
        router.send(&query(outside, outside.v4, group)).unwrap();
        assert!(wait_until(Duration::from_secs(2), || lab.routers().contains("eth0")));
        lab.reaches(one, group, &["outside"]);

        let ears = [1, 2, 3].map(|number| RawPort::open(&lab.segment.guest(number).ns, "eth0"));
        let _ = router.drain().unwrap();
        let joined = Listener::join(&one.ns, "eth0", group, 7300).unwrap();
        lab.wait_ports(group, &["vm1"]);
        let heard = router.recv_matching(Duration::from_secs(3), |frame| is_report(&frame.bytes, group));
        assert!(heard.unwrap().is_some(), "the router does not hear the report about {group}");
        for ear in &ears {
            let others = ear.drain().unwrap().iter().filter(|frame| is_report(&frame.bytes, group)).count();
            assert_eq!(others, 0, "a guest hears another's report about {group}");
        }
        lab.reaches(lab.segment.guest(2), group, &["guest1", "outside"]);
        drop(joined);
    }
    // A guest behind a TAP is no router, whatever it says; one behind a veth may be, if its address is the lowest.
    for number in [3, 1] {
        let guest = lab.segment.guest(number);
        let lowest = query(guest, Ipv4Addr::new(10, 0, 0, 1), groups()[0]);
        RawPort::open(&guest.ns, "eth0").send(&lowest).unwrap();
    }
    assert!(wait_until(Duration::from_secs(2), || lab.routers().contains("vm1")));
    assert!(!lab.routers().contains("vm3"), "{:?}", lab.routers());
    // Nobody asks any more: nobody is trusted, and no port has a router.
    assert!(wait_until(Duration::from_secs(12), || lab.routers().is_empty()), "{:?}", lab.routers());
    lab.reaches(one, groups()[0], &["guest2", "guest3", "host", "outside"]);
    lab.bridge.stop();
}

#[test]
fn the_bridge_asks_only_while_nobody_else_does() {
    if !require_privileges() {
        return;
    }
    let lab = Lab::asking(0, 0, "");
    let (one, outside) = (lab.segment.guest(1), lab.segment.outside());
    let router = RawPort::open(&outside.ns, "eth0");
    let ear = RawPort::open(&one.ns, "eth0");
    for group in groups() {
        let ours =
            |frame: &xbr_lab::Frame| is_query(&frame.bytes, group) && frame.addresses().1 != outside.mac;
        let asked = ear.recv_matching(Duration::from_secs(4), ours).unwrap();
        assert!(asked.is_some(), "the bridge asks nobody about {group}");
        // A lower address, or any where ours is none: the bridge is silent for as long as the other asks.
        let end = Instant::now() + Duration::from_secs(3);
        router.send(&query(outside, outside.v4, group)).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        let _ = ear.drain().unwrap();
        let mut heard = 0;
        while Instant::now() < end {
            router.send(&query(outside, outside.v4, group)).unwrap();
            std::thread::sleep(Duration::from_millis(250));
            heard += ear.drain().unwrap().iter().filter(|frame| ours(frame)).count();
        }
        assert_eq!(heard, 0, "the bridge asks on beside another");
        let asked = ear.recv_matching(Duration::from_secs(8), ours).unwrap();
        assert!(asked.is_some(), "the bridge is silent although the other is");
    }
    lab.bridge.stop();
}
