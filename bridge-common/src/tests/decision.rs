//! Each verdict, reason and lesson once.

use Learn::{Move, New, Nothing, Refresh, RefuseFlap, RefuseQuota, RefuseStatic};
use Verdict::{Drop, Flood, Forward};

use super::bridge::*;
use crate::{
    DropReason, FdbEntry, FdbEventKind, FdbFlags, Frame, Learn, Mac, Question, Verdict, commit,
    fdb::REFRESH_INTERVAL, forward::Report, frame::Segments, model::Model, vlan::Retag,
};

#[test]
fn each_verdict_and_each_lesson() {
    let model = bridge();
    let bad = |port| Drop(DropReason::BadSource, port);
    let own = |port| Drop(DropReason::HostSource, port);
    let down = |port| Drop(DropReason::PortDown, port);
    let at = |port| FdbEntry::new(port, FdbFlags::default(), NOW - REFRESH_INTERVAL);
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
        ("one that moved", A, VM2, OUT, Forward(UPLINK), Move(at(VM1))),
        ("one that moved out of the host", MACVLAN, UPLINK, A, Forward(VM1), Move(at(HOST))),
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
        ("a BPDU of a guest", A, VM1, STP, Drop(DropReason::Bpdu, VM1), Nothing),
        ("a BPDU of the outside", NOBODY, UPLINK, STP, Forward(HOST), Nothing),
        ("LLDP of the outside", NOBODY, UPLINK, LLDP, Forward(HOST), Nothing),
        ("LLDP of the host", OWN, HOST, LLDP, Forward(UPLINK), Nothing),
    ];
    for (what, src, ingress, dst, verdict, learn) in rows {
        let decision = ask(&model, frame(src, dst), ingress);
        assert_eq!((decision.verdict, decision.learn()), (verdict, learn), "{what}");
        assert_eq!((decision.vlan, decision.retag), (0, Retag::Keep), "{what}");
    }
}

#[test]
fn what_fits_is_the_mtu_with_header_and_tag() {
    let model = bridge();
    let verdict = |dst, ingress, length| {
        ask(&model, Frame { frames: Segments::one(length), ..frame(NOBODY, dst) }, ingress).verdict
    };
    assert_eq!(verdict(B, VM1, 1518), Forward(VM2));
    assert_eq!(verdict(B, VM1, 1519), Drop(DropReason::TooBig, VM2));
    assert_eq!(verdict(LLDP, HOST, 1519), Drop(DropReason::TooBig, UPLINK));
}

#[test]
fn without_ageing_nothing_expires() {
    let mut model = bridge();
    (model.config.ageing, model.now) = (0, u64::MAX);
    assert_eq!(ask(&model, frame(A, EXPIRED), VM1).verdict, Forward(VM2));
}

#[test]
fn a_clock_behind_the_entry_s_is_no_age() {
    let mut model = bridge();
    model.now = 0;
    let decision = ask(&model, frame(FRESH, B), VM1);
    assert_eq!((decision.verdict, decision.learn()), (Forward(VM2), Nothing));
}

#[test]
fn what_each_lesson_writes_and_reports() {
    let report = |kind, from| Some(Report { kind, from });
    let entry = |port| FdbEntry::new(port, FdbFlags::default(), NOW - REFRESH_INTERVAL);
    let rows = [
        (Nothing, A, None, Some((VM1, NOW - REFRESH_INTERVAL))),
        (Refresh, A, None, Some((VM1, NOW))),
        (Refresh, NOBODY, None, None),
        (New, NOBODY, report(FdbEventKind::Learned, VM1), Some((VM1, NOW))),
        (New, EXPIRED, report(FdbEventKind::Learned, VM1), Some((VM1, NOW))),
        (Move(entry(VM2)), B, report(FdbEventKind::Moved, VM2), Some((VM1, NOW))),
        (RefuseStatic(VM2), FIXED, report(FdbEventKind::RefusedStatic, VM2), Some((VM2, NOW - 2 * AGEING))),
        (RefuseFlap(VM2), B, report(FdbEventKind::RefusedFlap, VM2), Some((VM2, NOW - REFRESH_INTERVAL))),
        (RefuseQuota, NOBODY, report(FdbEventKind::RefusedQuota, VM1), None),
        // Became static between decision and commit.
        (Move(entry(VM2)), FIXED, report(FdbEventKind::Moved, VM2), Some((VM2, NOW - 2 * AGEING))),
    ];
    for (learn, mac, expected, entry) in rows {
        let mut model = bridge();
        assert_eq!(write(&mut model, learn, mac), expected, "{learn:?}");
        let found = model.stations.get(&key(mac)).map(|entry| (entry.port(), entry.last_seen));
        assert_eq!(found, entry, "{learn:?} {mac}");
    }
}

/// Commits a lesson about a sender at [`VM1`].
fn write(model: &mut Model, learn: Learn, mac: Mac) -> Option<Report> {
    let config = model.config;
    let question = Question { frame: frame(mac, OUT), ingress: VM1, now: model.now, config: &config };
    let decision = ask(model, frame(A, OUT), VM1).teaching(learn);
    commit(&question, &decision, model)
}

#[test]
fn a_full_table_refuses_until_something_expires() {
    let mut model = bridge();
    model.capacity = model.stations.len();
    model.stations.remove(&key(EXPIRED));
    let learn = |model: &mut Model, number| write(model, New, mac(number)).unwrap().kind;
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

/// It is reported, although nothing is learned.
#[test]
fn a_guest_s_bpdu_is_reported() {
    let mut model = bridge();
    let question = Question { config: &model.config.clone(), ..question(&model, frame(A, STP), VM1) };
    let decision = ask(&model, question.frame, VM1);
    let report = commit(&question, &decision, &mut model);
    assert_eq!(report, Some(Report { kind: FdbEventKind::Bpdu, from: VM1 }));
    assert_eq!(model.stations, bridge().stations);
}
