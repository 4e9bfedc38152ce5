//! What hosts, routers and operators say, and what comes of it.

use std::net::IpAddr;

use bridge_common::{
    PortId,
    multicast::{GroupPolicy, MAX_GROUPS},
    vlan::PortSet,
};
use proptest::prelude::*;

use super::{
    entries::each,
    groups::{GroupId, Groups, Times},
    image::{Image, Write},
    laws,
    member::{Asks, Member, Mode},
    parse::{Old, Record, RecordKind, parse},
    *,
};

pub(super) const A: PortId = PortId(2);
pub(super) const B: PortId = PortId(3);
pub(super) const NOW: u64 = 1_000 * SECOND;

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn id(group: &str) -> GroupId {
    GroupId { vlan: 0, group: ip(group) }
}

pub(super) fn record(kind: RecordKind, group: &str, sources: &[&str]) -> Record {
    Record { kind, old: None, group: ip(group), sources: sources.iter().map(|source| ip(source)).collect() }
}

pub(super) fn old(kind: RecordKind, old: Old, group: &str) -> Record {
    Record { old: Some(old), ..record(kind, group, &[]) }
}

pub(super) fn ports(set: PortSet) -> Vec<u16> {
    each(set).map(|port| port.0).collect()
}

/// The ports of all sources, and of each that is another case.
pub(super) fn seen(snooping: &Snooping, group: &str) -> Vec<(Option<IpAddr>, Vec<u16>)> {
    let entries = snooping.groups.entries(&id(group));
    entries.into_iter().map(|(source, of)| (source, ports(of.ports))).collect()
}

pub(super) fn snooping() -> Snooping {
    let mut snooping = Snooping::new(Timers::STANDARD, NOW);
    ask(&mut snooping, Some("fe80::1"));
    snooping
}

/// The bridge is to ask where VLANs are not filtered.
pub(super) fn ask(snooping: &mut Snooping, link_local: Option<&str>) {
    snooping.set_vlans(NOW, &[(0, true)].into(), link_local.map(|text| text.parse().unwrap()));
}

/// A query as somebody else sends it.
pub(super) fn query(group: &str, sources: &[&str], from: &str) -> Query {
    let group = (!group.is_empty()).then(|| ip(group));
    Query {
        from: ip(from),
        group,
        sources: sources.iter().map(|source| ip(source)).collect(),
        response: 10_000,
        suppressed: false,
    }
}

/// RFC 3376, section 6.4: each row of both tables.
#[test]
fn a_membership_follows_the_standards_tables() {
    use RecordKind::{Allow, Block, IsEx, IsIn, ToEx, ToIn};
    let (end, later) = (NOW + 100, NOW + 500);
    let include = |sources: &[u8]| {
        let sources = sources.iter().map(|last| (ip(&format!("192.0.2.{last}")), Some(end))).collect();
        Member { mode: Mode::Include, until: 0, sources, old: [0; 2] }
    };
    let exclude = |wanted: &[u8], unwanted: &[u8]| {
        let mut member = Member { mode: Mode::Exclude, until: end, ..include(wanted) };
        member.sources.extend(unwanted.iter().map(|last| (ip(&format!("192.0.2.{last}")), None)));
        member
    };
    // Sources as digits: wanted / unwanted, and those about which is asked; `*` for the group.
    let after = |mut member: Member, kind, sources: &[u8]| {
        let sources = sources.iter().map(|last| ip(&format!("192.0.2.{last}"))).collect();
        let record = Record { kind, old: None, group: ip("239.1.2.3"), sources };
        let (Asks { group, sources }, refused) = member.hear(&record, NOW, later, 100);
        assert_eq!(refused, 0);
        let digit = |source: &IpAddr| source.to_string().chars().last().unwrap();
        let mut text = String::from(if member.mode == Mode::Include { "in " } else { "ex " });
        text.extend(
            member.sources.iter().filter(|(_, until)| until.is_some()).map(|(source, _)| digit(source)),
        );
        text.push('/');
        text.extend(
            member.sources.iter().filter(|(_, until)| until.is_none()).map(|(source, _)| digit(source)),
        );
        text.push(' ');
        text.extend(group.then_some('*'));
        text.extend(sources.iter().map(digit));
        text.trim_end().to_string()
    };
    let rows = [
        (include(&[1, 2]), IsIn, &[2, 3][..], "in 123/"),
        (include(&[1, 2]), IsEx, &[2, 3], "ex 2/3"),
        (include(&[1, 2]), Allow, &[2, 3], "in 123/"),
        (include(&[1, 2]), Block, &[2, 3], "in 12/ 2"),
        (include(&[1, 2]), ToEx, &[2, 3], "ex 2/3 2"),
        (include(&[1, 2]), ToIn, &[2, 3], "in 123/ 1"),
        (exclude(&[1, 2], &[3, 4]), IsIn, &[2, 3, 5], "ex 1235/4"),
        (exclude(&[1, 2], &[3, 4]), IsEx, &[2, 3, 5], "ex 25/3"),
        (exclude(&[1, 2], &[3, 4]), Allow, &[2, 3, 5], "ex 1235/4"),
        (exclude(&[1, 2], &[3, 4]), Block, &[2, 3, 5], "ex 125/34 25"),
        (exclude(&[1, 2], &[3, 4]), ToEx, &[2, 3, 5], "ex 25/3 25"),
        (exclude(&[1, 2], &[3, 4]), ToIn, &[2, 3, 5], "ex 1235/4 *1"),
    ];
    for (before, kind, sources, wanted) in rows {
        assert_eq!(after(before.clone(), kind, sources), wanted, "{before:?} {kind:?} {sources:?}");
    }
}

#[test]
fn who_has_said_nothing_for_long_is_in_no_group() {
    let mut snooping = snooping();
    snooping.report(NOW, A, 0, &record(RecordKind::IsEx, "239.1.2.3", &[]));
    snooping.report(NOW + 60 * SECOND, B, 0, &record(RecordKind::Allow, "239.1.2.3", &["192.0.2.1"]));
    let source = Some(ip("192.0.2.1"));
    assert_eq!(seen(&snooping, "239.1.2.3"), [(None, vec![2]), (source, vec![2, 3])]);
    snooping.tick(NOW + 260 * SECOND);
    assert_eq!(seen(&snooping, "239.1.2.3"), [(None, vec![]), (source, vec![3])]);
    assert!(snooping.next(NOW + 261 * SECOND) <= NOW + 320 * SECOND);
    snooping.tick(NOW + 320 * SECOND);
    assert_eq!(seen(&snooping, "239.1.2.3"), []);
    assert_eq!(snooping.groups.total(), 0);
}

#[test]
fn who_leaves_is_asked_twice_and_gone_after_two_seconds_unless_somebody_answers() {
    for answered in [false, true] {
        let mut snooping = snooping();
        snooping.tick(NOW);
        let _ = snooping.work(NOW);
        snooping.report(NOW, A, 0, &old(RecordKind::IsEx, Old::Second, "239.1.2.3"));
        snooping.report(NOW, A, 0, &old(RecordKind::ToIn, Old::Second, "239.1.2.3"));
        // A second leave in the same second is not a second question.
        snooping.report(NOW, A, 0, &old(RecordKind::ToIn, Old::Second, "239.1.2.3"));
        let asked = |snooping: &mut Snooping| {
            snooping.work(NOW).questions.iter().filter(|q| q.group == ip("239.1.2.3")).count()
        };
        assert_eq!(asked(&mut snooping), 1);
        snooping.tick(NOW + SECOND);
        assert_eq!(asked(&mut snooping), 1);
        if answered {
            snooping.report(NOW + SECOND, A, 0, &old(RecordKind::IsEx, Old::Second, "239.1.2.3"));
        }
        snooping.tick(NOW + 2 * SECOND);
        assert_eq!(asked(&mut snooping), 0);
        assert_eq!(!seen(&snooping, "239.1.2.3").is_empty(), answered);
    }
    let mut snooping = snooping();
    snooping.set_policy(A, GroupPolicy { fast_leave: 1, ..GroupPolicy::default() });
    snooping.report(NOW, A, 0, &record(RecordKind::ToEx, "ff05::7", &[]));
    snooping.report(NOW, A, 0, &record(RecordKind::ToIn, "ff05::7", &[]));
    assert_eq!(seen(&snooping, "ff05::7"), []);
}

#[test]
fn where_another_asks_its_questions_decide_who_has_left() {
    let mut snooping = snooping();
    snooping.query(NOW, PortId::UPLINK, 0, &query("", &[], "10.0.0.1"));
    let _ = snooping.work(NOW);
    snooping.report(NOW, A, 0, &record(RecordKind::ToEx, "239.1.2.3", &[]));
    snooping.report(NOW, A, 0, &record(RecordKind::ToIn, "239.1.2.3", &[]));
    assert_eq!(snooping.work(NOW).questions, []);
    snooping.tick(NOW + 100 * SECOND);
    assert_eq!(seen(&snooping, "239.1.2.3"), [(None, vec![2])], "nobody has asked");
    let asked = Query { response: 1000, ..query("239.1.2.3", &[], "10.0.0.1") };
    snooping.query(NOW + 100 * SECOND, PortId::UPLINK, 0, &asked);
    snooping.tick(NOW + 102 * SECOND);
    assert_eq!(seen(&snooping, "239.1.2.3"), []);
}

#[test]
fn a_port_has_only_so_many_groups_and_others_do_not_suffer() {
    let mut snooping = snooping();
    snooping.set_policy(A, GroupPolicy { groups_max: 5, ..GroupPolicy::default() });
    for last in 1..=9 {
        snooping.report(NOW, A, 0, &record(RecordKind::ToEx, &format!("239.1.2.{last}"), &[]));
    }
    assert_eq!((snooping.groups.used(A), snooping.counters[&A].refused), (5, 4));
    // A source counts as a group does; what has no room is as if it had not been said: more is forwarded, never less.
    snooping.report(NOW, A, 0, &record(RecordKind::ToEx, "239.1.2.1", &["192.0.2.1"]));
    assert_eq!((snooping.groups.used(A), snooping.counters[&A].refused), (5, 5));
    snooping.report(NOW, B, 0, &record(RecordKind::ToEx, "239.9.9.9", &[]));
    assert_eq!(seen(&snooping, "239.9.9.9"), [(None, vec![3])]);
    // Who leaves makes room, and who leaves what it is not in is refused nothing.
    snooping.report(NOW, A, 0, &record(RecordKind::ToIn, "239.7.7.7", &[]));
    assert_eq!(snooping.counters[&A].refused, 5);
}

#[test]
fn a_host_with_old_words_cannot_be_told_apart_by_sources() {
    let mut snooping = snooping();
    let group = "239.1.2.3";
    snooping.report(NOW, A, 0, &old(RecordKind::IsEx, Old::First, group));
    snooping.report(NOW, A, 0, &record(RecordKind::ToEx, group, &["192.0.2.1"]));
    snooping.report(NOW, A, 0, &record(RecordKind::Block, group, &["192.0.2.2"]));
    // In IGMPv1 nobody leaves.
    snooping.report(NOW, A, 0, &old(RecordKind::ToIn, Old::Second, group));
    snooping.tick(NOW + 10 * SECOND);
    assert_eq!(seen(&snooping, group), [(None, vec![2])]);
    // It is believed to be there for as long as it speaks, whoever speaks IGMPv2 there.
    for time in [100, 200, 300] {
        snooping.report(NOW + time * SECOND, A, 0, &old(RecordKind::IsEx, Old::Second, group));
    }
    snooping.report(NOW + 301 * SECOND, A, 0, &old(RecordKind::ToIn, Old::Second, group));
    snooping.tick(NOW + 304 * SECOND);
    assert_eq!(seen(&snooping, group), []);
}

#[test]
fn permanent_ports_stay_and_take_the_operators_word_only() {
    let mut snooping = snooping();
    let (group, source) = (id("239.1.2.3"), ip("192.0.2.1"));
    assert_eq!(
        snooping.groups.add(group, A, Some(source), 1),
        Err(Full),
        "one for the group, and one for the source"
    );
    assert_eq!(snooping.groups.add(group, A, None, 1), Ok(true));
    assert_eq!(snooping.groups.add(group, A, None, 10), Ok(false));
    assert_eq!(snooping.groups.add(group, B, Some(source), 10), Ok(true));
    snooping.report(NOW, A, 0, &record(RecordKind::ToEx, "239.1.2.3", &["192.0.2.9"]));
    snooping.port_down(A);
    snooping.tick(NOW + 1000 * SECOND);
    assert_eq!(seen(&snooping, "239.1.2.3"), [(None, vec![2]), (Some(source), vec![2, 3])]);
    assert!(snooping.groups.remove(group, B, Some(source)));
    assert!(!snooping.groups.remove(group, B, Some(source)));
    assert_eq!(seen(&snooping, "239.1.2.3"), [(None, vec![2])]);
    snooping.port_gone(A);
    assert_eq!(snooping.groups.total(), 0);
}

#[test]
fn what_was_written_is_read_back_as_it_was() {
    let mut before = snooping();
    before.set_vlans(NOW, &[(0, true), (7, true)].into(), None);
    before.report(NOW, A, 7, &record(RecordKind::ToEx, "239.1.2.3", &["192.0.2.1"]));
    before.report(NOW, B, 7, &record(RecordKind::Allow, "239.1.2.3", &["192.0.2.1", "192.0.2.2"]));
    before.report(NOW, B, 0, &record(RecordKind::ToEx, "ff05::1", &[]));
    before.groups.add(id("ff05::1"), A, Some(ip("2001:db8::1")), 100).unwrap();
    let mut maps = laws::Maps::default();
    maps.write(&before.work(NOW).writes);
    let mut after = Snooping::restored(Timers::STANDARD, NOW, Image::adopt(maps.rows()));
    after.set_vlans(NOW, &[(0, true), (7, true)].into(), None);
    for id in before.groups.ids() {
        assert_eq!(after.groups.entries(&id), before.groups.entries(&id), "{id:?}");
    }
    assert_eq!(after.groups.total(), before.groups.total());
    assert_eq!(after.work(NOW).writes, [], "there is nothing to change");
    after.tick(NOW + 260 * SECOND);
    maps.write(&after.work(NOW).writes);
    assert_eq!(seen(&after, "ff05::1"), [(None, vec![]), (Some(ip("2001:db8::1")), vec![2])]);
    assert_eq!(maps.groups.len(), 2, "only what is permanent is left");
}

#[test]
fn a_source_is_written_before_it_is_used_and_the_group_before_a_source_goes() {
    let mut image = Image::default();
    let mut groups = Groups::default();
    let times = Times { now: NOW, until: NOW + 100 };
    groups.hear(id("239.1.2.3"), A, &record(RecordKind::ToEx, "239.1.2.3", &["192.0.2.1"]), times, 10);
    let first = image.change(id("239.1.2.3"), &groups.entries(&id("239.1.2.3")));
    assert!(
        matches!(first[..], [Write::Set(..), Write::Set(..), Write::Group(..), Write::Group(..)]),
        "{first:?}"
    );
    groups.hear(id("239.1.2.3"), A, &record(RecordKind::IsEx, "239.1.2.3", &[]), times, 10);
    let second = image.change(id("239.1.2.3"), &groups.entries(&id("239.1.2.3")));
    assert!(matches!(second[..], [Write::Forget(..)]), "{second:?}");
}

/// In one reading of the ring, all hosts may leave a full table's groups and join others.
#[test]
fn what_is_new_in_a_full_table_takes_the_place_of_what_goes() {
    let mut snooping = snooping();
    snooping.set_policy(A, GroupPolicy { groups_max: MAX_GROUPS, ..GroupPolicy::default() });
    let group = |first: u32, number: u32| std::net::Ipv4Addr::from(first + number).to_string();
    for number in 0..MAX_GROUPS {
        snooping.report(NOW, A, 0, &record(RecordKind::ToEx, &group(0xef00_0000, number), &[]));
    }
    let joined = |writes: &[Write]| writes.iter().filter(|write| matches!(write, Write::Group(..))).count();
    assert_eq!(joined(&snooping.work(NOW).writes), MAX_GROUPS as usize);
    for number in 0..MAX_GROUPS {
        snooping.groups.leave(id(&group(0xef00_0000, number)), A);
        // In the order in which they are written, all of these come first.
        snooping.report(NOW, A, 0, &record(RecordKind::ToEx, &group(0xee00_0000, number), &[]));
    }
    assert_eq!(joined(&snooping.work(NOW).writes), MAX_GROUPS as usize);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_frame_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        laws::reading(&bytes);
    }

    #[test]
    fn random_reports_keep_the_table_bounded_and_the_maps_right(bytes in prop::collection::vec(any::<u8>(), 0..800)) {
        laws::sequence(&bytes);
    }
}

/// Seeds by hand, each of which says something, what the fuzzer kept, and every crash that it found.
#[test]
fn the_corpus_keeps_the_laws() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/membership");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 9, "{} holds next to nothing", folder.display());
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        laws::reading(&bytes);
        let seed = !file.file_name().is_some_and(|name| {
            name.to_string_lossy().contains('-') && name.to_string_lossy().starts_with("found")
        });
        assert!(!seed || parse(&bytes).is_ok(), "{}: {:?}", file.display(), parse(&bytes));
    }
}
