//! Port flags, quotas, flap damping, storm control and rates.

use Learn::{Move, New, Nothing, Refresh, RefuseFlap, RefuseQuota, RefuseStatic};
use Verdict::{Drop, Flood, Forward};

use super::bridge::*;
use crate::{
    DropReason, FdbEntry, FdbFlags, Frame, Learn, Mac, PortFlags, PortId, Question, Verdict, commit,
    fdb::REFRESH_INTERVAL,
    forward::{Spread, departed, leave},
    frame::Segments,
    model::Model,
    policy::{Guards, Meter, Policy, Rate},
};

fn with(policies: &[(PortId, Policy)]) -> Model {
    let mut model = bridge();
    let stations: std::vec::Vec<_> = model.stations.iter().map(|(key, entry)| (*key, *entry)).collect();
    model.stations.clear();
    stations.into_iter().for_each(|(key, entry)| model.put(key, entry));
    policies.iter().for_each(|(port, policy)| model.set_policy(*port, *policy));
    model
}

fn flags(flags: PortFlags) -> Policy {
    Policy { flags, ..Policy::default() }
}

#[test]
fn what_flags_decide() {
    let isolated = [(VM1, flags(PortFlags::ISOLATED)), (VM2, flags(PortFlags::ISOLATED))];
    let hairpin = [(VM1, flags(PortFlags::HAIRPIN))];
    let locked = [(VM1, flags(PortFlags::LOCKED))];
    let deaf = [(VM1, flags(PortFlags::NO_LEARNING))];
    let both = [(VM1, flags(PortFlags::LOCKED.or(PortFlags::NO_LEARNING)))];
    let at = |port| FdbEntry::new(port, FdbFlags::default(), NOW - REFRESH_INTERVAL);
    let no = |reason| Drop(reason, VM1);
    let rows: &[(_, &[_], _, _, _, _, _)] = &[
        ("isolated from one another", &isolated, A, VM1, B, Drop(DropReason::Isolated, VM2), Refresh),
        ("isolated, to the uplink", &isolated, A, VM1, OUT, Forward(UPLINK), Refresh),
        ("isolated, from the uplink", &isolated, OUT, UPLINK, A, Forward(VM1), Refresh),
        ("isolated, to the host", &isolated, A, VM1, OWN, Forward(HOST), Refresh),
        ("one of two isolated", &isolated[..1], A, VM1, B, Forward(VM2), Refresh),
        ("back to where it came from", &hairpin, A, VM1, FRESH, Forward(VM1), Refresh),
        ("the flag is the ingress's", &hairpin, B, VM2, OLD, Drop(DropReason::SamePort, VM2), Refresh),
        ("locked, known there", &locked, A, VM1, B, Forward(VM2), Refresh),
        ("locked, fresh there", &locked, FRESH, VM1, B, Forward(VM2), Nothing),
        ("locked, a newcomer", &locked, NOBODY, VM1, B, no(DropReason::Locked), Nothing),
        ("locked, known elsewhere", &locked, B, VM1, OUT, no(DropReason::Locked), Nothing),
        ("locked, static elsewhere", &locked, FIXED, VM1, OUT, no(DropReason::Locked), Nothing),
        ("locked, expired", &locked, EXPIRED, VM1, B, no(DropReason::Locked), Nothing),
        ("locked, the way out is open", &locked, B, VM2, A, Forward(VM1), Refresh),
        ("learning off, a newcomer", &deaf, NOBODY, VM1, B, Forward(VM2), Nothing),
        ("learning off, known there", &deaf, A, VM1, B, Forward(VM2), Nothing),
        ("learning off, known elsewhere", &deaf, B, VM1, OUT, Forward(UPLINK), Nothing),
        ("locked and learning off, known there", &both, A, VM1, B, Forward(VM2), Refresh),
        ("locked and learning off, a newcomer", &both, NOBODY, VM1, B, no(DropReason::Locked), Nothing),
        ("no flags", &[], B, VM1, OUT, Forward(UPLINK), Move(at(VM2))),
    ];
    for (what, policies, src, ingress, dst, verdict, learn) in rows {
        let decision = ask(&with(policies), frame(*src, *dst), *ingress);
        assert_eq!((decision.verdict, decision.learn()), (*verdict, *learn), "{what}");
    }
}

/// Where [`VM2`] takes no floods of a kind, the uplink and the host do, and what is known is not flooded.
#[test]
fn each_kind_of_flood_has_a_flag() {
    let kinds = [
        (NOBODY, Spread::Unknown, PortFlags::NO_FLOOD),
        (GROUP, Spread::Multicast, PortFlags::NO_MCAST_FLOOD),
        (Mac::BROADCAST, Spread::Broadcast, PortFlags::NO_BCAST_FLOOD),
    ];
    for (dst, spread, _) in kinds {
        for (_, of, flag) in kinds {
            let model = with(&[(VM2, flags(flag)), (VM1, flags(flag))]);
            let frame = frame(A, dst);
            let decision = ask(&model, frame, VM1);
            assert_eq!(
                (decision.verdict, decision.spread),
                (Flood(VM1), spread),
                "the ingress's flag is none"
            );
            let copy = |egress| leave(&question(&model, frame, VM1), &decision, egress, &model).map(drop);
            let expected = if of == spread { Err(DropReason::NoFlood) } else { Ok(()) };
            assert_eq!(
                (copy(VM2), copy(UPLINK), copy(HOST)),
                (expected, Ok(()), Ok(())),
                "{spread:?} {of:?}"
            );
            assert_eq!(ask(&model, super::bridge::frame(A, B), VM1).verdict, Forward(VM2));
        }
    }
}

#[test]
fn copies_leave_out_isolated_ports_and_go_back_in_a_hairpin() {
    let isolated = PortFlags::ISOLATED;
    let model = with(&[(VM1, flags(isolated.or(PortFlags::HAIRPIN))), (VM2, flags(isolated))]);
    let frame = frame(A, Mac::BROADCAST);
    let decision = ask(&model, frame, VM1);
    let copy = |egress| leave(&question(&model, frame, VM1), &decision, egress, &model).map(drop);
    assert_eq!([HOST, UPLINK, VM2].map(copy), [Ok(()), Ok(()), Err(DropReason::Isolated)]);
    assert_eq!(copy(VM1), Err(DropReason::Isolated), "a hairpin of an isolated port goes nowhere");
    let model = with(&[(VM1, flags(PortFlags::HAIRPIN))]);
    let decision = ask(&model, frame, VM1);
    assert!(leave(&question(&model, frame, VM1), &decision, VM1, &model).is_ok());
}

#[test]
fn a_quota_refuses_newcomers_and_keeps_who_is_there() {
    let quota = |stations_max| Policy { stations_max, ..Policy::default() };
    // A and FRESH are there.
    let rows = [
        ("with room", 3, NOBODY, VM1, New),
        ("without", 2, NOBODY, VM1, RefuseQuota),
        ("one from elsewhere", 2, B, VM1, RefuseQuota),
        ("who is there", 2, A, VM1, Refresh),
        ("who is there, of more than may be", 1, A, VM1, Refresh),
        ("static elsewhere", 2, FIXED, VM1, RefuseStatic(VM2)),
        ("another port's quota", 0, NOBODY, VM2, New),
        ("the host's own address", 2, OWN, HOST, Nothing),
    ];
    for (what, max, src, ingress, learn) in rows {
        let decision = ask(&with(&[(VM1, quota(max))]), frame(src, OUT), ingress);
        assert_eq!((decision.learn(), decision.verdict), (learn, Forward(UPLINK)), "{what}");
    }
    // The newcomer's frame goes on, and an expired station makes room for the next.
    let mut model = with(&[(VM2, quota(2))]);
    assert_eq!(model.learned[&VM2], 3, "B, OLD and EXPIRED; FIXED does not count");
    let config = model.config;
    let question = Question { frame: frame(NOBODY, OUT), ingress: VM2, now: NOW, config: &config };
    let decision = ask(&model, question.frame, VM2);
    assert_eq!(decision.learn(), RefuseQuota);
    commit(&question, &decision, &mut model);
    assert_eq!(model.learned[&VM2], 2);
    model.drop_station(&key(OLD));
    assert_eq!(ask(&model, question.frame, VM2).learn(), New);
}

#[test]
fn a_station_that_moves_too_often_stays_until_the_window_ends() {
    let mut model = with(&[]);
    (model.config.flap_moves, model.config.flap_window) = (2, 10);
    let mut go = |ingress, after| {
        model.now += after;
        let config = model.config;
        let question = Question { frame: frame(NOBODY, OUT), ingress, now: model.now, config: &config };
        let decision = ask(&model, question.frame, ingress);
        commit(&question, &decision, &mut model);
        decision.learn()
    };
    assert_eq!(go(VM1, 0), New);
    assert!(matches!(go(VM2, SECOND), Move(_)));
    assert!(matches!(go(VM1, SECOND), Move(_)));
    assert_eq!(go(VM2, SECOND), RefuseFlap(VM1));
    assert_eq!(go(VM1, 0), Refresh, "where it stays it is heard");
    assert_eq!(go(VM2, 7 * SECOND), RefuseFlap(VM1), "nine seconds after its first move");
    assert!(matches!(go(VM2, SECOND), Move(_)), "ten");
    model.config.flap_moves = 0;
    let moved = ask(&model, frame(NOBODY, OUT), VM1).learn();
    assert!(matches!(moved, Move(_)), "no damping: {moved:?}");
}

#[test]
fn a_sticky_station_ages_and_does_not_move() {
    let mut model = with(&[]);
    let sticky = |age| FdbEntry::new(VM2, FdbFlags::STICKY, NOW - age);
    model.put(key(NOBODY), sticky(REFRESH_INTERVAL));
    assert_eq!(ask(&model, frame(NOBODY, OUT), VM1).learn(), RefuseStatic(VM2));
    assert_eq!(ask(&model, frame(NOBODY, OUT), VM2).learn(), Refresh);
    model.put(key(NOBODY), sticky(AGEING + 1));
    assert_eq!(ask(&model, frame(NOBODY, OUT), VM1).learn(), New);
}

/// Frames and bytes of a frame in three segments.
const FRAMES: Segments = Segments { packets: 3, bytes: 3_000, longest: 1_000 };

fn limited(port: PortId, meter: Meter, rate: Rate) -> Model {
    let mut policy = Policy::default();
    policy.rates[meter as usize] = rate;
    with(&[(port, policy)])
}

/// What becomes of frame after frame, committed, all at once: how many pass before one does not.
fn pass(model: &mut Model, frame: Frame) -> (usize, Verdict) {
    let config = model.config;
    for count in 0..100 {
        let question = Question { frame, ingress: VM1, now: model.now, config: &config };
        let decision = ask(model, frame, VM1);
        commit(&question, &decision, model);
        match decision.verdict {
            Drop(..) => return (count, decision.verdict),
            Forward(egress) => {
                let port = model.ports[&egress];
                departed(&question, egress, port.flags, model);
            }
            Flood(_) => {}
        }
    }
    (100, Flood(VM1))
}

#[test]
fn storms_are_counted_by_kind_in_frames() {
    let kinds = [
        (Mac::BROADCAST, Meter::Broadcast, DropReason::StormBroadcast),
        (GROUP, Meter::Multicast, DropReason::StormMulticast),
        (NOBODY, Meter::Unknown, DropReason::StormUnknown),
    ];
    for (dst, _, reason) in kinds {
        for (_, meter, of) in kinds {
            let mut model = limited(VM1, meter, Rate::frames(10, 7));
            let frame = Frame { frames: FRAMES, ..frame(A, dst) };
            let expected = if reason == of { (2, Drop(reason, VM1)) } else { (100, Flood(VM1)) };
            assert_eq!(pass(&mut model, frame), expected, "{reason:?} {of:?}");
            assert_eq!(ask(&model, super::bridge::frame(A, B), VM1).verdict, Forward(VM2), "what is known");
            // Three frames in 0.3 seconds, less the one that was left over.
            model.now += 200_000_000;
            if reason == of {
                assert_eq!(pass(&mut model, frame), (1, Drop(reason, VM1)));
            }
        }
    }
}

#[test]
fn what_a_storm_drops_teaches_nothing() {
    let mut model = limited(VM1, Meter::Broadcast, Rate::frames(10, 2));
    pass(&mut model, frame(A, Mac::BROADCAST));
    let decision = ask(&model, frame(NOBODY, Mac::BROADCAST), VM1);
    assert_eq!((decision.verdict, decision.learn()), (Drop(DropReason::StormBroadcast, VM1), Nothing));
}

#[test]
fn rates_are_in_bytes_in_either_direction() {
    let rate = Rate::bits(8_000, 10_000);
    for (port, meter, reason) in
        [(VM1, Meter::In, DropReason::RateIn), (VM2, Meter::Out, DropReason::RateOut)]
    {
        for dst in [B, FIXED] {
            let mut model = limited(port, meter, rate);
            let frame = Frame { frames: FRAMES, ..frame(A, dst) };
            assert_eq!(pass(&mut model, frame), (3, Drop(reason, port)));
            model.now += 2 * SECOND;
            assert_eq!(pass(&mut model, frame), (1, Drop(reason, port)));
        }
    }
    // What is dropped on its way in teaches nothing, what has no room on its way out does.
    let mut model = limited(VM1, Meter::In, rate);
    pass(&mut model, Frame { frames: FRAMES, ..frame(A, B) });
    let long = |src, dst| Frame { frames: FRAMES, ..frame(src, dst) };
    assert_eq!(ask(&model, long(NOBODY, B), VM1).learn(), Nothing);
    let mut model = limited(VM2, Meter::Out, rate);
    pass(&mut model, long(A, B));
    let decision = ask(&model, long(NOBODY, B), VM1);
    assert_eq!((decision.verdict, decision.learn()), (Drop(DropReason::RateOut, VM2), New));
    // A flood's copy, too, costs the port where it leaves.
    let frame = long(A, Mac::BROADCAST);
    let decision = ask(&model, frame, VM1);
    let copy = |egress| leave(&question(&model, frame, VM1), &decision, egress, &model).map(drop);
    assert_eq!([VM2, UPLINK].map(copy), [Err(DropReason::RateOut), Ok(())]);
}

#[test]
fn guards_are_asked_of_the_ports_that_have_them() {
    let guards = Guards::MACS.with(Guards::NO_RA, true);
    let model = with(&[(VM1, Policy { guards, ..Policy::default() })]);
    let refused = judge(&model, frame(NOBODY, B), VM1, |asked| {
        assert_eq!(asked, guards);
        Some(DropReason::Ra)
    });
    assert_eq!((refused.verdict, refused.learn()), (Drop(DropReason::Ra, VM1), Nothing));
    let passed = judge(&model, frame(NOBODY, B), VM1, |_| None);
    assert_eq!((passed.verdict, passed.learn()), (Forward(VM2), New));
    // `ask` panics where a guard is asked.
    assert_eq!(ask(&model, frame(B, A), VM2).verdict, Forward(VM1));
    let shut = Policy { guards: Guards::BPDU_SHUT, ..Policy::default() };
    assert_eq!(ask(&with(&[(VM1, shut)]), frame(A, B), VM1).verdict, Forward(VM2), "nothing to look into");
}
