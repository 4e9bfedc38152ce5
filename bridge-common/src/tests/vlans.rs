//! VLANs: the way in, the table, the way out, and the tag that a frame leaves with.

use Learn::{Move, New, Nothing, Refresh, RefuseStatic};
use Verdict::{Drop, Flood, Forward};

use super::bridge::*;
use crate::{
    Config, DropReason, FdbEntry, FdbFlags, FdbKey, Frame, Learn, Mac, PortFlags, PortId, Verdict, Vlan,
    commit,
    config::ConfigFlags,
    fdb::REFRESH_INTERVAL,
    forward::leave,
    model::Model,
    policy::Policy,
    vlan::{ANY_VLAN, PortSet, Retag, Tag},
};

/// The bridge with VLANs: [`VM1`] is an access port of 10, [`VM2`] a trunk of 10 and 20 whose native VLAN is 20, the uplink a
/// trunk of 10 and 20 without a native VLAN, the host in 20 untagged. [`A`] and [`OUT`] are in 10, [`B`] in 20.
fn vlans() -> Model {
    let mut model = bridge();
    model.stations.clear();
    model.config.flags = ConfigFlags::VLAN_FILTERING;
    let set = |ports: &[PortId]| ports.iter().fold(PortSet::default(), |set, port| set.with(*port, true));
    model.vlans.insert(10, Vlan { members: set(&[VM1, VM2, UPLINK, DOWN]), untagged: set(&[VM1]) });
    model.vlans.insert(20, Vlan { members: set(&[VM2, UPLINK, HOST]), untagged: set(&[VM2, HOST]) });
    for (port, pvid) in [(VM1, 10), (VM2, 20), (HOST, 20)] {
        model.set_policy(port, Policy { flags: PortFlags::default().with_pvid(pvid), ..Policy::default() });
    }
    for (mac, vlan, port) in [(A, 10, VM1), (OUT, 10, UPLINK), (B, 20, VM2), (MACVLAN, 20, HOST)] {
        let entry = FdbEntry::new(port, FdbFlags::default(), NOW - REFRESH_INTERVAL);
        model.put(FdbKey { vlan, mac }, entry);
    }
    model
}

const NONE: Tag = Tag::NONE;
const fn tag(vid: u16) -> Tag {
    // With a priority, which decides nothing.
    Tag::new(0xa000 | vid, false)
}
const fn double(vid: u16) -> Tag {
    Tag::new(vid, true)
}

fn tagged(src: Mac, dst: Mac, tag: Tag) -> Frame {
    Frame { tag, ..frame(src, dst) }
}

#[test]
fn the_way_in_the_table_and_the_way_out() {
    let model = vlans();
    let not_in = |port| Drop(DropReason::VlanIngress, port);
    let at = |port| FdbEntry::new(port, FdbFlags::default(), NOW - REFRESH_INTERVAL);
    let rows = [
        // from whom, through which port, with which tag, to whom; its VLAN, what becomes of it, and of its tag
        ("access to trunk", A, VM1, NONE, OUT, 10, Forward(UPLINK), Retag::Push, Refresh),
        ("trunk to access", OUT, UPLINK, tag(10), A, 10, Forward(VM1), Retag::Pop, Refresh),
        ("trunk to trunk", NOBODY, VM2, tag(10), OUT, 10, Forward(UPLINK), Retag::Keep, New),
        ("native to trunk", B, VM2, NONE, mac(7), 20, Flood(VM2), Retag::Keep, Refresh),
        ("native to native", B, VM2, NONE, MACVLAN, 20, Forward(HOST), Retag::Keep, Refresh),
        ("native, but tagged", B, VM2, tag(20), MACVLAN, 20, Forward(HOST), Retag::Pop, Refresh),
        ("trunk to native", NOBODY, UPLINK, tag(20), B, 20, Forward(VM2), Retag::Pop, New),
        ("priority only, to tagged", A, VM1, tag(0), OUT, 10, Forward(UPLINK), Retag::Rewrite, Refresh),
        ("priority only, to untagged", B, VM2, tag(0), MACVLAN, 20, Forward(HOST), Retag::Pop, Refresh),
        ("its own VLAN in a tag, to access", A, VM1, tag(10), OUT, 10, Forward(UPLINK), Retag::Keep, Refresh),
        ("to the host by its own address", B, VM2, NONE, OWN, 20, Forward(HOST), Retag::Keep, Refresh),
        ("the host's own, out", OWN, HOST, NONE, B, 20, Forward(VM2), Retag::Keep, Nothing),
        (
            "to the host from where it is not",
            A,
            VM1,
            NONE,
            OWN,
            10,
            Drop(DropReason::VlanEgress, HOST),
            Retag::Keep,
            Refresh,
        ),
        ("a station of another VLAN", A, VM1, NONE, B, 10, Flood(VM1), Retag::Keep, Refresh),
        (
            "one that is elsewhere in another VLAN",
            A,
            VM2,
            NONE,
            B,
            20,
            Drop(DropReason::SamePort, VM2),
            Retag::Keep,
            New,
        ),
        (
            "one that moved within its VLAN",
            A,
            VM2,
            tag(10),
            OUT,
            10,
            Forward(UPLINK),
            Retag::Keep,
            Move(at(VM1)),
        ),
        ("into a VLAN that the port is not in", A, VM1, tag(20), B, 0, not_in(VM1), Retag::Keep, Nothing),
        ("into a VLAN that nobody is in", A, VM2, tag(30), B, 0, not_in(VM2), Retag::Keep, Nothing),
        (
            "without a tag where there is no native VLAN",
            OUT,
            UPLINK,
            NONE,
            A,
            0,
            not_in(UPLINK),
            Retag::Keep,
            Nothing,
        ),
        ("of priority only there", OUT, UPLINK, tag(0), A, 0, not_in(UPLINK), Retag::Keep, Nothing),
        ("the reserved VLAN", A, VM1, tag(4095), OUT, 0, not_in(VM1), Retag::Keep, Nothing),
        ("two tags, out with both", NOBODY, VM2, double(10), OUT, 10, Forward(UPLINK), Retag::Keep, New),
        (
            "two tags, the outer one taken off",
            NOBODY,
            UPLINK,
            double(10),
            A,
            10,
            Drop(DropReason::DoubleTag, VM1),
            Retag::Keep,
            New,
        ),
        (
            "two tags, the outer one of priority",
            A,
            VM1,
            double(0),
            OUT,
            10,
            Forward(UPLINK),
            Retag::Rewrite,
            Refresh,
        ),
        (
            "the same, to untagged",
            B,
            VM2,
            double(0),
            MACVLAN,
            20,
            Drop(DropReason::DoubleTag, HOST),
            Retag::Keep,
            Refresh,
        ),
        // Protocols of one link have no VLAN.
        (
            "LLDP of the outside, in a tag of no VLAN",
            NOBODY,
            UPLINK,
            tag(99),
            LLDP,
            0,
            Forward(HOST),
            Retag::Keep,
            Nothing,
        ),
        ("LLDP of the host", OWN, HOST, NONE, LLDP, 0, Forward(UPLINK), Retag::Keep, Nothing),
    ];
    for (what, src, ingress, tag, dst, vlan, verdict, retag, learn) in rows {
        let decision = ask(&model, tagged(src, dst, tag), ingress);
        assert_eq!((decision.verdict, decision.retag), (verdict, retag), "{what}");
        assert_eq!((decision.vlan, decision.learn()), (vlan, learn), "{what}");
    }
}

/// As a number of a VLAN, the reserved one is none even where a set says so.
#[test]
fn the_reserved_vlan_has_no_members() {
    let mut model = vlans();
    let all = model.vlans[&10];
    model.vlans.insert(4095, all);
    model.vlans.insert(0, all);
    let refused = Drop(DropReason::VlanIngress, VM2);
    assert_eq!(ask(&model, tagged(A, OUT, tag(4095)), VM2).verdict, refused);
    model.set_policy(VM2, Policy { flags: PortFlags::default().with_pvid(4095), ..Policy::default() });
    assert_eq!(ask(&model, tagged(A, OUT, NONE), VM2).verdict, refused);
    model.set_policy(VM2, Policy::default());
    assert_eq!(ask(&model, tagged(A, OUT, NONE), VM2).verdict, refused);
}

#[test]
fn each_copy_has_a_tag_of_its_own() {
    let model = vlans();
    let copies = |src, ingress, tag| {
        let frame = tagged(src, Mac::BROADCAST, tag);
        let decision = ask(&model, frame, ingress);
        assert_eq!(decision.verdict, Flood(ingress));
        let question = question(&model, frame, ingress);
        [HOST, UPLINK, VM1, VM2, DOWN]
            .map(|egress| leave(&question, &decision, egress, &model).map(|(_, retag)| retag))
    };
    use DropReason::{DoubleTag, PortDown, SamePort, VlanEgress};
    use Retag::{Keep, Pop, Push, Rewrite};
    let down = Err(PortDown);
    assert_eq!(copies(A, VM1, NONE), [Err(VlanEgress), Ok(Push), Err(SamePort), Ok(Push), down]);
    assert_eq!(copies(A, VM1, tag(0)), [Err(VlanEgress), Ok(Rewrite), Err(SamePort), Ok(Rewrite), down]);
    assert_eq!(copies(OUT, UPLINK, tag(10)), [Err(VlanEgress), Err(SamePort), Ok(Pop), Ok(Keep), down]);
    assert_eq!(copies(OUT, UPLINK, tag(20)), [Ok(Pop), Err(SamePort), Err(VlanEgress), Ok(Pop), down]);
    assert_eq!(
        copies(OUT, UPLINK, double(10)),
        [Err(VlanEgress), Err(SamePort), Err(DoubleTag), Ok(Keep), down]
    );
    assert_eq!(copies(OWN, HOST, NONE), [Err(SamePort), Ok(Push), Err(VlanEgress), Ok(Keep), down]);
}

#[test]
fn a_vlan_is_a_table_of_its_own() {
    let mut model = vlans();
    let config = model.config;
    let frame = tagged(A, OUT, tag(20));
    let question = crate::Question { frame, ingress: UPLINK, now: NOW, config: &config };
    let decision = ask(&model, frame, UPLINK);
    commit(&question, &decision, &mut model);
    assert_eq!(model.stations[&FdbKey { vlan: 20, mac: A }].port(), UPLINK);
    assert_eq!(model.stations[&FdbKey { vlan: 10, mac: A }].port(), VM1);
}

#[test]
fn a_static_station_is_learned_nowhere_else_in_any_vlan() {
    let mut model = vlans();
    let fixed = |port| FdbEntry::new(port, FdbFlags::STATIC, 0);
    for vlan in [20, ANY_VLAN] {
        model.put(FdbKey { vlan, mac: FIXED }, fixed(VM2));
    }
    let learn = |ingress, tag| ask(&model, tagged(FIXED, NOBODY, tag), ingress).learn();
    assert_eq!(learn(VM1, NONE), RefuseStatic(VM2), "in another VLAN");
    assert_eq!(learn(UPLINK, tag(20)), RefuseStatic(VM2), "in its own");
    assert_eq!(learn(VM2, tag(10)), New, "at its own port");
    assert_eq!(learn(VM2, NONE), Refresh, "at its own port, in its own");
    // Nobody asks while VLAN filtering is off.
    model.config = Config { flags: ConfigFlags::default(), ..model.config };
    assert_eq!(ask(&model, frame(FIXED, NOBODY), VM1).learn(), New);
}

#[test]
fn while_filtering_is_off_tags_mean_nothing() {
    let mut model = vlans();
    model.config.flags = ConfigFlags::default();
    model.stations.insert(key(B), FdbEntry::new(VM2, FdbFlags::default(), NOW));
    let decision = ask(&model, tagged(A, B, NONE), VM1);
    assert_eq!((decision.verdict, decision.retag, decision.vlan), (Forward(VM2), Retag::Keep, 0));
}
