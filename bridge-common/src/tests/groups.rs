//! Groups: what a frame is to a bridge that snoops, and where its copies leave.

use std::vec::Vec;

use proptest::prelude::*;

use super::bridge::{HOST, UPLINK, VM1, VM2, bridge};
use crate::{
    Mac, PortFlags, PortId,
    config::ConfigFlags,
    model::{Arrival, Model, Program},
    multicast::{EVERYONE, FIRST_SET, GroupKey, Look, NOT_SHOWN, V4, V6, look},
    snoop::SnoopKind,
    vlan::PortSet,
};

const IGMP: u32 = SnoopKind::Igmp as u32;
const MLD: u32 = SnoopKind::Mld as u32;

fn v4(source: [u8; 4], group: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    // With one word of options: a router alert.
    let mut packet = std::vec![0x46, 0, 0, 0, 0, 0, 0, 0, 1, protocol, 0, 0];
    packet.extend(source);
    packet.extend(group);
    packet.extend([0x94, 4, 0, 0]);
    packet.extend(payload);
    [&[1, 0, 0x5e, group[1] & 0x7f, group[2], group[3], 2, 0, 0, 0, 0, 1, 8, 0][..], &packet].concat()
}

fn v6(source: [u8; 16], group: [u8; 16], next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = std::vec![0x60, 0, 0, 0, 0, 0, next, 1];
    packet.extend(source);
    packet.extend(group);
    packet.extend(payload);
    [&[0x33, 0x33, 0, 0, 0, group[15], 2, 0, 0, 0, 0, 1, 0x86, 0xdd][..], &packet].concat()
}

fn group6(second: u8, last: u8) -> [u8; 16] {
    let mut group = [0; 16];
    (group[0], group[1], group[15]) = (0xff, second, last);
    group
}

/// Listener discovery behind its hop-by-hop header.
fn mld(kind: u8) -> Vec<u8> {
    v6([0; 16], group6(2, 0x16), 0, &[58, 0, 5, 2, 0, 0, 1, 0, kind, 0])
}

fn snooping() -> Model {
    let mut model = bridge();
    model.config.flags = ConfigFlags(
        ConfigFlags::MCAST_SNOOPING.0 | ConfigFlags::MCAST_QUERIER_V4.0 | ConfigFlags::MCAST_QUERIER_V6.0,
    );
    for family in [V4, V6] {
        model.groups.insert(GroupKey::asked(0, family), PortSet::default());
    }
    model
}

/// The sets of what only routers are to hear, on a bridge that knows no groups.
const ROUTERS_V4: u32 = FIRST_SET | FIRST_SET << 16;
const ROUTERS_V6: u32 = ROUTERS_V4 + 0x1_0001;

fn looked(model: &Model, ingress: PortId, frame: &[u8]) -> (u32, u32, bool) {
    let look = look(&frame, ingress, 0, model.config.flags, model);
    assert_eq!(Look::from_word(look.to_word()), look);
    (look.sets, look.shown, look.own_query)
}

#[test]
fn reports_go_to_routers_and_queries_to_all() {
    let mut model = snooping();
    let all = [224, 0, 0, 1];
    for (kind, set, shown) in [
        (0x11, EVERYONE, IGMP),
        (0x12, ROUTERS_V4, IGMP),
        (0x16, ROUTERS_V4, IGMP),
        (0x17, ROUTERS_V4, IGMP),
        (0x22, ROUTERS_V4, IGMP),
        (0x13, EVERYONE, NOT_SHOWN),
    ] {
        let frame = v4([10, 0, 0, 1], all, 2, &[kind, 0]);
        assert_eq!(looked(&model, VM1, &frame), (set, shown, false), "{kind:#x}");
    }
    for (kind, set, shown) in [
        (130, EVERYONE, MLD),
        (131, ROUTERS_V6, MLD),
        (132, ROUTERS_V6, MLD),
        (143, ROUTERS_V6, MLD),
        (135, ROUTERS_V6, NOT_SHOWN),
    ] {
        assert_eq!(looked(&model, VM1, &mld(kind)), (set, shown, false), "{kind}");
    }
    // The bridge's own, which the host is to hear as well; and where nobody asks, all is flooded.
    assert!(looked(&model, HOST, &v4([0; 4], all, 2, &[0x11, 0])).2);
    assert!(!looked(&model, UPLINK, &v4([0; 4], all, 2, &[0x11, 0])).2);
    model.config.flags = ConfigFlags::MCAST_SNOOPING;
    assert_eq!(looked(&model, VM1, &v4([10, 0, 0, 1], all, 2, &[0x16, 0])), (EVERYONE, IGMP, false));
    assert_eq!(looked(&model, VM1, &mld(143)), (EVERYONE, MLD, false));
}

/// A VLAN in which nobody asks is no worse off for a router in another.
#[test]
fn groups_are_trusted_in_the_vlans_where_somebody_asks() {
    let mut model = snooping();
    model.groups.insert(GroupKey::asked(10, V4), PortSet::default());
    let frame = v4([10, 0, 0, 1], [239, 1, 2, 3], 17, &[0; 8]);
    let sets = |vlan| look(&frame.as_slice(), VM1, vlan, model.config.flags, &model).sets;
    assert_eq!([sets(0), sets(20)], [ROUTERS_V4, EVERYONE]);
    assert!(sets(10) != EVERYONE && sets(10) != sets(0));
}

#[test]
fn what_is_of_the_link_or_no_group_is_flooded() {
    let model = snooping();
    let from = [10, 0, 0, 1];
    assert_eq!(looked(&model, VM1, &v4(from, [224, 0, 0, 251], 17, &[0; 8])).0, EVERYONE);
    assert_eq!(looked(&model, VM1, &v4(from, [224, 0, 1, 1], 17, &[0; 8])).0, ROUTERS_V4);
    assert_eq!(looked(&model, VM1, &v4(from, [10, 0, 0, 9], 17, &[0; 8])).0, EVERYONE, "a cluster's");
    assert_eq!(looked(&model, VM1, &v4(from, [224, 0, 0, 13], 103, &[0x20, 0])), (EVERYONE, IGMP, false));
    assert_eq!(looked(&model, VM1, &v6([1; 16], group6(2, 1), 58, &[0; 8])).0, EVERYONE);
    assert_eq!(looked(&model, VM1, &v6([1; 16], group6(2, 0xfb), 17, &[0; 8])).0, ROUTERS_V6);
    assert_eq!(looked(&model, VM1, &v6([1; 16], group6(2, 13), 103, &[0x20, 0])), (ROUTERS_V6, MLD, false));
    let arp = [&[1, 0, 0x5e, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 6][..], &[0; 28]].concat();
    assert_eq!(looked(&model, VM1, &arp), (EVERYONE, NOT_SHOWN, false));
    // A frame that ends too early is flooded as it would be without snooping.
    let whole = v4(from, [239, 1, 2, 3], 17, &[0; 8]);
    for length in 14..34 {
        assert_eq!(looked(&model, VM1, &whole[..length]).0, EVERYONE, "{length}");
    }
}

#[test]
fn members_hear_a_group_although_unknown_multicasts_do_not_leave_there() {
    let mut model = snooping();
    let key =
        GroupKey { family: V4, group: [u32::from_ne_bytes([239, 1, 2, 3]), 0, 0, 0], ..GroupKey::default() };
    model.groups.insert(key, PortSet::default().with(VM2, true));
    let port = model.ports.get_mut(&VM2).unwrap();
    port.flags = port.flags.or(PortFlags::NO_MCAST_FLOOD);
    let mut sent = |group| {
        let bytes = v4([10, 0, 0, 1], group, 17, &[0; 8]);
        let arrival = Arrival {
            program: Program::Port,
            ifindex: 12,
            bytes,
            gso_size: 0,
            fragmented: false,
            unfinished: false,
        };
        model.run(&arrival).sent.iter().map(|sent| sent.port.0).collect::<Vec<_>>()
    };
    assert_eq!(sent([239, 1, 2, 3]), [VM2.0]);
    assert_eq!(sent([239, 1, 2, 4]), []);
    assert_eq!(sent([224, 0, 0, 9]), [HOST.0, UPLINK.0]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A copy of a group leaves only where a member or a router is, and in each such place; what is no group's, everywhere.
    #[test]
    fn a_group_reaches_its_members_and_routers(
        known in prop::collection::vec((0u8..4, 0u8..3, 0u8..16), 0..8),
        (routers, querier, unregistered) in (0u8..16, 0u8..4, any::<bool>()),
        (group, source, ingress, ipv6) in (0u8..4, 1u8..3, 0u8..4, any::<bool>()),
    ) {
        let ports = [HOST, UPLINK, VM1, VM2];
        let set = |bits: u8| ports.iter().enumerate().fold(PortSet::default(), |set, (at, port)| set.with(*port, bits >> at & 1 != 0));
        let mut model = snooping();
        let family = if ipv6 { ConfigFlags::MCAST_QUERIER_V6 } else { ConfigFlags::MCAST_QUERIER_V4 };
        model.config.flags = model.config.flags.with(family, querier & 1 != 0).with(ConfigFlags::MCAST_UNREGISTERED, unregistered);
        let asked = GroupKey::asked(0, if ipv6 { V6 } else { V4 });
        match querier & 2 {
            0 => drop(model.groups.remove(&asked)),
            _ => drop(model.groups.insert(asked, set(routers))),
        }
        let words = |bytes: &[u8]| {
            let mut words = [0; 4];
            for (word, bytes) in words.iter_mut().zip(bytes.chunks(4)) {
                *word = u32::from_ne_bytes(bytes.try_into().unwrap());
            }
            words
        };
        let (g, s) = (|last: u8| if ipv6 { group6(5, last).to_vec() } else { [239, 0, 0, last].to_vec() },
                      |last: u8| if ipv6 { [last; 16].to_vec() } else { [10, 0, 0, last].to_vec() });
        for (group, source, members) in &known {
            // Source 0 is any.
            let source = if *source == 0 { [0; 4] } else { words(&s(*source)) };
            let key = GroupKey { vlan: 0, family: if ipv6 { V6 } else { V4 }, group: words(&g(*group)), source };
            model.groups.insert(key, set(*members));
        }
        let bytes = if ipv6 {
            v6([source; 16], group6(5, group), 17, &[0; 8])
        } else {
            v4([10, 0, 0, source], [239, 0, 0, group], 17, &[0; 8])
        };
        let (program, ifindex) = [(Program::Host, 1), (Program::Wire, 1), (Program::Port, 12), (Program::Port, 13)][ingress as usize];
        let mut bytes = bytes;
        bytes[6..12].copy_from_slice(&Mac([2, 0, 0, 0, 7, ingress]).0);
        let done = model.clone().run(&Arrival { program, ifindex, bytes, gso_size: 0, fragmented: false, unfinished: false });
        let find = |wanted: u8| known.iter().rev().find(|(g, s, _)| *g == group && *s == wanted).map(|(.., members)| *members);
        let expected = match find(source).or_else(|| find(0)) {
            _ if querier != 3 => 15,
            Some(members) => members | routers,
            None if unregistered => 15,
            None => routers,
        };
        let expected: Vec<_> = (0..4u8).filter(|at| expected >> at & 1 != 0 && *at != ingress).map(|at| ports[at as usize].0).collect();
        let mut reached: Vec<_> = done.sent.iter().map(|sent| sent.port.0).collect();
        reached.sort_unstable();
        prop_assert_eq!(reached, expected);
    }
}
