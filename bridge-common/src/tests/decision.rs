//! Each verdict, reason and lesson once.

use Learn::{Move, New, Nothing, Refresh, RefuseStatic};
use Verdict::{Drop, Flood, Forward};

use crate::{
    DropReason, FdbEntry, FdbEventKind, FdbFlags, FdbKey, Frame, Learn, Mac, Port, PortFlags, PortId,
    Verdict, commit, decide,
    forward::{REFRESH_INTERVAL, Report},
    model::Model,
};

const HOST: PortId = PortId::HOST;
const UPLINK: PortId = PortId::UPLINK;
const VM1: PortId = PortId(2);
const VM2: PortId = PortId(3);
/// A guest's port that is down.
const DOWN: PortId = PortId(4);
/// A number that no port has.
const FREE: PortId = PortId(9);
/// A number that none can have.
const BEYOND: PortId = PortId(999);

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_000 * SECOND;
const AGEING: u64 = 300 * SECOND;

const OWN: Mac = Mac([2, 0, 0, 0, 0xff, 1]);
const fn mac(number: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, number])
}
/// Behind [`VM1`], [`VM2`], the uplink, [`HOST`] and [`DOWN`].
const A: Mac = mac(1);
const B: Mac = mac(2);
const OUT: Mac = mac(3);
const MACVLAN: Mac = mac(4);
const MUTE: Mac = mac(5);
/// Static behind [`VM2`].
const FIXED: Mac = mac(6);
/// Behind [`VM2`], silent for exactly the ageing time, and for a nanosecond more.
const OLD: Mac = mac(7);
const EXPIRED: Mac = mac(8);
/// Behind [`VM1`], silent for just less than the refresh interval.
const FRESH: Mac = mac(9);
const NOBODY: Mac = mac(99);
const GROUP: Mac = Mac([1, 0, 0x5e, 0, 0, 1]);
const LLDP: Mac = Mac([1, 0x80, 0xc2, 0, 0, 0x0e]);

const fn key(mac: Mac) -> FdbKey {
    FdbKey { vlan: 0, mac }
}

fn bridge() -> Model {
    let mut model = Model::new(NOW, 16, 1, OWN);
    model.config.ageing = AGEING;
    for (id, flags) in [(VM1, PortFlags::UP), (VM2, PortFlags::UP), (DOWN, PortFlags::default())] {
        model.set_port(id, Port { ifindex: 10 + id.index(), mtu: 1500, flags });
    }
    let mut station = |mac, port, flags, age| {
        model.stations.insert(key(mac), FdbEntry::new(port, flags, NOW - age));
    };
    let learned = FdbFlags::default();
    station(A, VM1, learned, REFRESH_INTERVAL);
    station(B, VM2, learned, REFRESH_INTERVAL);
    station(OUT, UPLINK, learned, REFRESH_INTERVAL);
    station(MACVLAN, HOST, learned, REFRESH_INTERVAL);
    station(MUTE, DOWN, learned, REFRESH_INTERVAL);
    station(FIXED, VM2, FdbFlags::STATIC, 2 * AGEING);
    station(OLD, VM2, learned, AGEING);
    station(EXPIRED, VM2, learned, AGEING + 1);
    station(FRESH, VM1, learned, REFRESH_INTERVAL - 1);
    model
}

#[test]
fn each_verdict_and_each_lesson() {
    let model = bridge();
    let bad = |port| Drop(DropReason::BadSource, port);
    let own = |port| Drop(DropReason::HostSource, port);
    let down = |port| Drop(DropReason::PortDown, port);
    let rows = [
        // from whom, through which port, to whom, and what becomes of it
        ("guest to guest", A, VM1, B, Forward(VM2), Refresh),
        ("guest to outside", A, VM1, OUT, Forward(UPLINK), Refresh),
        ("guest to host", A, VM1, OWN, Forward(HOST), Refresh),
        ("guest to a macvlan", A, VM1, MACVLAN, Forward(HOST), Refresh),
        ("outside to guest", OUT, UPLINK, A, Forward(VM1), Refresh),
        ("outside to host", OUT, UPLINK, OWN, Forward(HOST), Refresh),
        ("host to guest", OWN, HOST, A, Forward(VM1), Nothing),
        ("host to outside", OWN, HOST, OUT, Forward(UPLINK), Nothing),
        ("macvlan to guest", MACVLAN, HOST, A, Forward(VM1), Refresh),
        ("to nobody known", A, VM1, NOBODY, Flood(VM1), Refresh),
        ("to an expired entry", A, VM1, EXPIRED, Flood(VM1), Refresh),
        ("to an entry on the brink", A, VM1, OLD, Forward(VM2), Refresh),
        ("to a static entry, however old", A, VM1, FIXED, Forward(VM2), Refresh),
        ("to all", A, VM1, Mac::BROADCAST, Flood(VM1), Refresh),
        ("to a group", OWN, HOST, GROUP, Flood(HOST), Nothing),
        ("a newcomer", NOBODY, VM1, B, Forward(VM2), New),
        ("an expired one, at its old port", EXPIRED, VM2, A, Forward(VM1), New),
        ("an expired one, elsewhere", EXPIRED, VM1, B, Forward(VM2), New),
        ("one heard just now", FRESH, VM1, B, Forward(VM2), Nothing),
        ("one that moved", A, VM2, OUT, Forward(UPLINK), Move(VM1)),
        ("one that moved out of the host", MACVLAN, UPLINK, A, Forward(VM1), Move(HOST)),
        ("a static one at its port", FIXED, VM2, A, Forward(VM1), Refresh),
        ("a static one elsewhere", FIXED, VM1, B, Forward(VM2), RefuseStatic(VM2)),
        ("to a station behind the same port", A, VM1, FRESH, Drop(DropReason::SamePort, VM1), Refresh),
        ("from the host to itself", MACVLAN, HOST, OWN, Drop(DropReason::SamePort, HOST), Refresh),
        ("to a station behind a port that is down", A, VM1, MUTE, down(DOWN), Refresh),
        ("from a group", GROUP, VM1, B, bad(VM1), Nothing),
        ("from all", Mac::BROADCAST, UPLINK, B, bad(UPLINK), Nothing),
        ("from zero", Mac::ZERO, HOST, B, bad(HOST), Nothing),
        ("a guest as the host", OWN, VM1, B, own(VM1), Nothing),
        ("the outside as the host", OWN, UPLINK, Mac::BROADCAST, own(UPLINK), Nothing),
        ("through a port that is down", NOBODY, DOWN, A, down(DOWN), Nothing),
        ("through a free number", NOBODY, FREE, A, down(FREE), Nothing),
        ("through a number out of range", NOBODY, BEYOND, A, down(BEYOND), Nothing),
        ("LLDP of a guest", NOBODY, VM1, LLDP, Drop(DropReason::LinkLocal, VM1), Nothing),
        ("LLDP of the outside", NOBODY, UPLINK, LLDP, Forward(HOST), Nothing),
        ("LLDP of the host", OWN, HOST, LLDP, Forward(UPLINK), Nothing),
    ];
    for (what, src, ingress, dst, verdict, learn) in rows {
        let frame = Frame { dst, src, vlan: 0, length: 100 };
        let decision = decide(&frame, ingress, NOW, &model.config, &model);
        assert_eq!((decision.verdict, decision.learn), (verdict, learn), "{what}");
    }
}

#[test]
fn what_fits_is_the_mtu_with_header_and_tag() {
    let model = bridge();
    let verdict = |dst, ingress, length| {
        decide(&Frame { dst, src: NOBODY, vlan: 0, length }, ingress, NOW, &model.config, &model).verdict
    };
    assert_eq!(verdict(B, VM1, 1518), Forward(VM2));
    assert_eq!(verdict(B, VM1, 1519), Drop(DropReason::TooBig, VM2));
    assert_eq!(verdict(LLDP, HOST, 1519), Drop(DropReason::TooBig, UPLINK));
}

#[test]
fn without_ageing_nothing_expires() {
    let mut model = bridge();
    model.config.ageing = 0;
    let frame = Frame { dst: EXPIRED, src: A, vlan: 0, length: 100 };
    assert_eq!(decide(&frame, VM1, u64::MAX, &model.config, &model).verdict, Forward(VM2));
}

#[test]
fn a_clock_behind_the_entry_s_is_no_age() {
    let model = bridge();
    let frame = Frame { dst: B, src: FRESH, vlan: 0, length: 100 };
    let decision = decide(&frame, VM1, 0, &model.config, &model);
    assert_eq!((decision.verdict, decision.learn), (Forward(VM2), Nothing));
}

#[test]
fn a_vlan_is_a_table_of_its_own() {
    let mut model = bridge();
    let frame = Frame { dst: B, src: A, vlan: 10, length: 100 };
    let decision = decide(&frame, VM1, NOW, &model.config, &model);
    assert_eq!((decision.verdict, decision.learn), (Flood(VM1), New));
    let config = model.config;
    commit(decision.learn, &frame.source(), VM1, NOW, &config, &mut model);
    assert_eq!(model.stations[&FdbKey { vlan: 10, mac: A }].port(), VM1);
    assert_eq!(model.stations.len(), bridge().stations.len() + 1);
}

#[test]
fn what_each_lesson_writes_and_reports() {
    let report = |kind, from| Some(Report { kind, from });
    let rows = [
        (Nothing, A, None, Some((VM1, NOW - REFRESH_INTERVAL))),
        (Refresh, A, None, Some((VM1, NOW))),
        (Refresh, NOBODY, None, None),
        (New, NOBODY, report(FdbEventKind::Learned, VM1), Some((VM1, NOW))),
        (New, EXPIRED, report(FdbEventKind::Learned, VM1), Some((VM1, NOW))),
        (Move(VM2), B, report(FdbEventKind::Moved, VM2), Some((VM1, NOW))),
        (RefuseStatic(VM2), FIXED, report(FdbEventKind::RefusedStatic, VM2), Some((VM2, NOW - 2 * AGEING))),
        // Became static between decision and commit.
        (Move(VM2), FIXED, report(FdbEventKind::Moved, VM2), Some((VM2, NOW - 2 * AGEING))),
    ];
    for (learn, mac, expected, entry) in rows {
        let mut model = bridge();
        let config = model.config;
        assert_eq!(commit(learn, &key(mac), VM1, NOW, &config, &mut model), expected, "{learn:?}");
        let found = model.stations.get(&key(mac)).map(|entry| (entry.port(), entry.last_seen));
        assert_eq!(found, entry, "{learn:?} {mac}");
    }
}

#[test]
fn a_full_table_refuses_until_something_expires() {
    let mut model = bridge();
    let config = model.config;
    model.capacity = model.stations.len();
    model.stations.remove(&key(EXPIRED));
    let learn = |model: &mut Model, number| {
        commit(New, &key(mac(number)), VM1, model.now, &config, model).unwrap().kind
    };
    assert_eq!(learn(&mut model, 50), FdbEventKind::Learned);
    assert_eq!(learn(&mut model, 51), FdbEventKind::RefusedFull);
    // All but the static one have gone silent, but a search was made within the second.
    model.now += SECOND - 1;
    model.stations.values_mut().for_each(|entry| entry.last_seen -= AGEING);
    assert_eq!(learn(&mut model, 52), FdbEventKind::RefusedFull);
    model.now += 1;
    assert_eq!(learn(&mut model, 52), FdbEventKind::Learned);
    let left: std::vec::Vec<_> = model.stations.keys().map(|key| key.mac).collect();
    assert_eq!(left, [FIXED, mac(52)]);
}
