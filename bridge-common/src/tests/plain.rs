//! What is seen at once is what is decided, whatever is true of two ports.

use super::bridge::{
    B, EXPIRED, FIXED, GROUP, HOST, NOBODY, NOW, OWN, UPLINK, VM1, VM2, bridge, key, mac, question,
};
use crate::{
    DropReason, FdbEntry, FdbFlags, Frame, Mac, Port, PortFlags, PortId, decide, frame::Segments,
    model::Model, plain::at_once, vlan::Tag,
};

const PORTS: [PortId; 4] = [HOST, UPLINK, VM1, VM2];

/// A station behind each, heard just now.
const HEARD: [Mac; 4] = [mac(40), mac(41), mac(42), mac(43)];

/// Up and no other flag; each of the others; down.
const FLAGS: u32 = 18;

fn flags(which: u32) -> PortFlags {
    let one = if which == 0 { PortFlags(0) } else { PortFlags(1 << (which - 1)) };
    if one == PortFlags::UP { PortFlags(0) } else { PortFlags::UP.or(one) }
}

fn model() -> Model {
    let mut model = bridge();
    for (id, mac) in PORTS.into_iter().zip(HEARD) {
        model.stations.insert(key(mac), FdbEntry::new(id, FdbFlags(0), NOW));
    }
    // None is ever learned, and if there were one, it would be a group all the same.
    model.stations.insert(key(GROUP), FdbEntry::new(VM2, FdbFlags::STATIC, NOW));
    model
}

/// How many of the frames were plain, and seen at once.
#[derive(Default)]
struct Counts {
    plain: u32,
    seen: u32,
}

fn compare(model: &Model, ingress: PortId, src: Mac, dst: Mac, length: u32, counts: &mut Counts) {
    let frames = Segments::one(length);
    let frame = Frame { dst: dst.address(), src: src.address(), tag: Tag::NONE, frames };
    let (question, port) = (question(model, frame, ingress), model.ports.get(&ingress).copied().unwrap());
    let decided = decide(&question, Some(&port), model, model, |_| Some(DropReason::MacGuard)).plain();
    let seen = at_once(&question, &port, model, model);
    counts.plain += u32::from(decided.is_some());
    counts.seen += u32::from(seen.is_some());
    assert!(seen.is_none() || seen == decided, "{question:?} {port:?}: {seen:?}, not {decided:?}");
}

#[test]
fn what_is_seen_at_once_is_decided() {
    let mut counts = Counts::default();
    let stations = [&HEARD[..], &[OWN, B, FIXED, EXPIRED, NOBODY, GROUP, Mac([0; 6])]].concat();
    for (from, to) in (0..FLAGS).flat_map(|from| (0..FLAGS).map(move |to| (from, to))) {
        for (ingress, egress) in PORTS.into_iter().flat_map(|one| PORTS.map(|other| (one, other))) {
            let mut model = model();
            for (id, which) in [(egress, to), (ingress, from)] {
                model.set_port(id, Port { ifindex: 10 + id.index(), mtu: 1500, flags: flags(which) });
            }
            for (src, dst) in stations.iter().flat_map(|src| stations.iter().map(move |dst| (*src, *dst))) {
                compare(&model, ingress, src, dst, 100, &mut counts);
                if from == to {
                    compare(&model, ingress, src, dst, 1600, &mut counts);
                }
            }
        }
    }
    assert!(counts.plain > 20_000 && counts.seen * 2 > counts.plain, "{} of {}", counts.seen, counts.plain);
}

#[test]
fn nothing_is_seen_at_once_in_a_vlan() {
    let mut model = model();
    model.config.flags = model.config.flags.with(crate::config::ConfigFlags::VLAN_FILTERING, true);
    let mut counts = Counts::default();
    for (src, dst) in HEARD.into_iter().flat_map(|src| HEARD.map(|dst| (src, dst))) {
        compare(&model, VM1, src, dst, 100, &mut counts);
    }
    assert_eq!(counts.seen, 0);
}
