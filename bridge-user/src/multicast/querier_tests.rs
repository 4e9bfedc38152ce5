//! Who asks, in which VLAN, and where routers are.

use bridge_common::{
    PortId,
    config::ConfigFlags,
    multicast::{GroupPolicy, RouterMode},
};

use super::{
    parse::RecordKind,
    tests::{A, B, NOW, ask, ports, query, record, seen, snooping},
    *,
};

#[test]
fn the_lowest_address_asks() {
    let mut snooping = snooping();
    let (v4, v6) = (ConfigFlags::MCAST_QUERIER_V4, ConfigFlags::MCAST_QUERIER_V6);
    let general = |snooping: &mut Snooping, now: u64| {
        snooping.tick(now);
        let questions = snooping.work(NOW).questions;
        questions.iter().filter(|q| q.group.is_unspecified()).map(|q| q.group.is_ipv4()).collect::<Vec<_>>()
    };
    assert_eq!(general(&mut snooping, NOW), [true, false]);
    assert_eq!(snooping.known(NOW), ConfigFlags(0), "hosts have ten seconds to answer");
    assert_eq!(general(&mut snooping, NOW + 32 * SECOND), [true, false], "soon again, in the beginning");
    assert!(snooping.known(NOW + 32 * SECOND).has(ConfigFlags(v4.0 | v6.0)));
    // Ours is 0.0.0.0 by IGMP, which loses to everybody, and fe80::1 by MLD, which does not lose to fe80::2.
    let at = NOW + 40 * SECOND;
    for (from, port) in [("10.0.0.9", A), ("fe80::2", B)] {
        snooping.query(at, port, 0, &query("", &[], from));
    }
    assert_eq!(general(&mut snooping, at + 150 * SECOND), [false]);
    assert_eq!(ports(snooping.routers().ports), [2], "who is not believed is no router");
    // A lower one takes over, a higher one does not.
    snooping.query(at, B, 0, &query("", &[], "10.0.0.1"));
    snooping.query(at + 100 * SECOND, A, 0, &query("", &[], "10.0.0.9"));
    snooping.query(at + 100 * SECOND, A, 0, &query("", &[], "fe80::0"));
    assert!(general(&mut snooping, at + 254 * SECOND).is_empty());
    assert_eq!(general(&mut snooping, at + 255 * SECOND), [true], "the other is silent");
    assert!(snooping.known(at + 255 * SECOND).has(v4), "the table was never wrong");
    assert_eq!(general(&mut snooping, at + 355 * SECOND), [false]);
    // Without an address of its own the bridge does not ask, and nobody does.
    ask(&mut snooping, None);
    snooping.tick(at + 1000 * SECOND);
    assert_eq!(snooping.known(at + 1000 * SECOND), v4);
}

#[test]
fn our_own_query_and_that_of_a_port_without_routers_is_nobodys() {
    let mut snooping = snooping();
    snooping.query(NOW, PortId::HOST, 0, &query("", &[], "0.0.0.0"));
    snooping.query(NOW, PortId::HOST, 0, &query("", &[], "fe80::1"));
    snooping.set_policy(A, GroupPolicy { router: RouterMode::Disabled as u16, ..GroupPolicy::default() });
    snooping.query(NOW, A, 0, &query("", &[], "10.0.0.1"));
    snooping.router(NOW, A, 0);
    assert!(snooping.routers().ports.is_empty());
    snooping.tick(NOW);
    assert_eq!(snooping.work(NOW).questions.len(), 2, "the bridge goes on asking");
    snooping.set_policy(B, GroupPolicy { router: RouterMode::Permanent as u16, ..GroupPolicy::default() });
    assert_eq!(ports(snooping.routers().permanent), [3]);
    snooping.query(NOW, PortId::UPLINK, 0, &query("", &[], "10.0.0.1"));
    assert_eq!(ports(snooping.routers().ports), [1, 3]);
    snooping.tick(NOW + 255 * SECOND);
    assert_eq!(ports(snooping.routers().ports), [3]);
}

/// Another switch that is no router asks with the source 0.0.0.0 (RFC 4541, section 2.1.1), and whoever is one goes before it.
#[test]
fn who_has_no_address_keeps_no_router_from_being_heard() {
    let mut snooping = snooping();
    snooping.query(NOW, A, 0, &query("", &[], "0.0.0.0"));
    snooping.query(NOW + SECOND, B, 0, &query("", &[], "10.0.0.9"));
    assert_eq!(ports(snooping.routers().ports), [2, 3]);
    // Once there is a router, it is nobody's any more.
    snooping.query(NOW + 200 * SECOND, A, 0, &query("", &[], "0.0.0.0"));
    snooping.query(NOW + 201 * SECOND, B, 0, &query("", &[], "10.0.0.9"));
    snooping.tick(NOW + 256 * SECOND);
    assert_eq!(ports(snooping.routers().ports), [3]);
}

/// RFC 3376, section 6.6.1.
#[test]
fn a_query_that_says_so_ends_nothing() {
    for suppressed in [false, true] {
        let mut snooping = snooping();
        snooping.query(NOW, PortId::UPLINK, 0, &query("", &[], "10.0.0.1"));
        snooping.report(NOW, A, 0, &record(RecordKind::ToEx, "239.1.2.3", &[]));
        let asked = Query { response: 1000, suppressed, ..query("239.1.2.3", &[], "10.0.0.1") };
        snooping.query(NOW, PortId::UPLINK, 0, &asked);
        snooping.tick(NOW + 10 * SECOND);
        assert_eq!(seen(&snooping, "239.1.2.3").is_empty(), !suppressed);
    }
}

#[test]
fn each_vlan_has_queriers_and_routers_of_its_own() {
    let mut snooping = snooping();
    // The host is in VLAN 10 and not in VLAN 20, where it cannot ask.
    snooping.set_vlans(NOW, &[(10, true), (20, false)].into(), Some("fe80::1".parse().unwrap()));
    let trusted = |snooping: &Snooping, now: u64| {
        let asked = snooping.asked(now).into_iter().filter(|(id, _)| id.group.is_ipv4());
        asked.map(|(id, routers)| (id.vlan, ports(routers.ports))).collect::<Vec<_>>()
    };
    let asks = |snooping: &mut Snooping, now: u64| {
        snooping.tick(now);
        let questions = snooping.work(now).questions.into_iter().filter(|question| question.group.is_ipv4());
        questions.map(|question| question.vlan).collect::<Vec<_>>()
    };
    assert_eq!(asks(&mut snooping, NOW), [Some(10)]);
    let at = NOW + 20 * SECOND;
    assert_eq!(trusted(&snooping, at), [(10, vec![])]);
    // A router in VLAN 20 silences nobody in VLAN 10.
    snooping.query(at, A, 20, &query("", &[], "10.0.0.1"));
    assert_eq!(trusted(&snooping, at + 10 * SECOND), [(10, vec![]), (20, vec![2])]);
    assert_eq!(asks(&mut snooping, at + 125 * SECOND), [Some(10)]);
    // Nor is it believed for longer than it asks.
    let silent = at + 256 * SECOND;
    asks(&mut snooping, silent);
    assert_eq!(trusted(&snooping, silent), [(10, vec![])]);
    // A VLAN that is no more takes with it what was known of it.
    snooping.query(silent, A, 20, &query("", &[], "10.0.0.1"));
    snooping.report(silent, A, 20, &record(RecordKind::ToEx, "239.1.2.3", &[]));
    snooping.set_vlans(silent, &[(10, true)].into(), None);
    assert!(snooping.groups.ids().is_empty() && snooping.routers().ports.is_empty());
    snooping.query(silent, A, 20, &query("", &[], "10.0.0.1"));
    assert_eq!(trusted(&snooping, silent + 20 * SECOND), [(10, vec![])]);
}
