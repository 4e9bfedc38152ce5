//! What holds for every input, for the property tests, the fuzzer (`bridge-user/fuzz`) and the replay of what that found.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use bridge_common::{
    Mac, PortId,
    multicast::{FIRST_SET, GroupKey, GroupPolicy, GroupSet, MAX_GROUPS, MAX_SETS},
    vlan::PortSet,
};

use super::{
    Message, Question, Snooping, Timers, Write,
    build::MOST_SOURCES,
    frame,
    groups::GroupId,
    image::{from_key, key},
    parse,
};

/// The maps as the programs read them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maps {
    /// Numbers of sets.
    pub groups: BTreeMap<GroupKey, u32>,
    sets: BTreeMap<u32, GroupSet>,
}

impl Maps {
    /// Carries changes out, each of which leaves maps that the programs can read.
    pub fn write(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Set(number, set) => drop(self.sets.insert(*number, *set)),
                Write::Group(key, number) => drop(self.groups.insert(*key, *number)),
                Write::Forget(key) => drop(self.groups.remove(key).expect("what is forgotten is there")),
            }
            assert!(
                self.groups.values().all(|number| self.sets.contains_key(number)),
                "a group without a set"
            );
        }
        let mut used: Vec<_> = self.groups.values().copied().collect();
        used.sort_unstable();
        assert!(used.windows(2).all(|pair| pair[0] != pair[1]), "two groups share a set");
        assert!(used.iter().all(|number| (FIRST_SET..MAX_SETS).contains(number)));
    }

    /// As [`super::Image::adopt`] takes them.
    pub fn rows(&self) -> Vec<(GroupKey, u32, GroupSet)> {
        self.groups.iter().map(|(key, number)| (*key, *number, self.sets[number])).collect()
    }

    /// The ports of a source's frames to a group, as the programs find them.
    fn reached(&self, id: GroupId, source: IpAddr) -> PortSet {
        let number = self.groups.get(&key(id, Some(source))).or_else(|| self.groups.get(&key(id, None)));
        number.map(|number| self.sets[number].ports).unwrap_or_default()
    }
}

/// A frame: whatever it says can be said again.
pub fn reading(bytes: &[u8]) {
    let Ok(message) = parse(bytes) else { return };
    let sources = match &message {
        Message::Hello => 0,
        Message::Report(records) => {
            assert!(records.iter().all(|record| record.group.is_multicast()));
            records.iter().map(|record| record.sources.len()).sum()
        }
        Message::Query(query) => query.sources.len(),
    };
    assert!(sources * 4 <= bytes.len(), "{sources} sources in {} bytes", bytes.len());
    if let Message::Report(records) = &message {
        let sources = records.iter().flat_map(|record| &record.sources);
        assert!(sources.clone().all(|source| !source.is_unspecified() && !source.is_multicast()));
    }
    let Message::Query(query) = message else { return };
    let none: IpAddr =
        if query.from.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let mut sources = query.sources.clone();
    sources.truncate(MOST_SOURCES);
    let group = query.group.unwrap_or(none);
    let response = query.response.clamp(100, 12_700) / 100 * 100;
    let question = Question { vlan: None, group, sources: sources.clone(), response, interval: 125 };
    let from = match query.from {
        IpAddr::V6(from) => from,
        IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED,
    };
    let said = parse(&frame(&question, Mac([2; 6]), from));
    let from = if query.from.is_ipv4() { none } else { query.from };
    let said_again = super::Query { from, group: query.group, sources, response, suppressed: false };
    assert_eq!(said, Ok(Message::Query(said_again)));
}

/// A few groups and sources, so that they meet.
fn address(byte: u8, group: bool) -> IpAddr {
    let last = byte & 7;
    match (byte & 0x80 == 0, group) {
        (true, true) => Ipv4Addr::new(239, 0, 0, last).into(),
        (true, false) => Ipv4Addr::new(192, 0, 2, last).into(),
        (false, true) => Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, last.into()).into(),
        (false, false) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()).into(),
    }
}

/// Bytes as what hosts, routers, operators and the time do, judged after each.
pub fn sequence(bytes: &[u8]) {
    use super::parse::{Old, Record, RecordKind};
    const KINDS: [RecordKind; 6] = [
        RecordKind::IsIn,
        RecordKind::IsEx,
        RecordKind::ToIn,
        RecordKind::ToEx,
        RecordKind::Allow,
        RecordKind::Block,
    ];
    let (mut now, mut maps) = (1_000_000_000_000, Maps::default());
    let mut snooping = Snooping::new(Timers::STANDARD, now);
    let link_local = Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    let mut vlans = BTreeMap::from([(0, true), (1, false)]);
    snooping.set_vlans(now, &vlans, link_local);
    for port in 0..6 {
        let policy = GroupPolicy { groups_max: 6 + u32::from(port), ..GroupPolicy::default() };
        snooping.set_policy(PortId(port), policy);
    }
    for step in bytes.chunks_exact(5) {
        let [what, port, group, first, second] = *step else { continue };
        let (id, port) = (
            GroupId { vlan: u16::from(group >> 6 & 1), group: address(group, true) },
            PortId(u16::from(port % 6)),
        );
        let sources =
            [first, second].map(|byte| (byte & 8 != 0).then(|| address(byte & 7 | group & 0x80, false)));
        match what % 16 {
            kind @ 0..6 => {
                let sources = sources.into_iter().flatten().collect();
                let record = Record { kind: KINDS[usize::from(kind)], old: None, group: id.group, sources };
                snooping.report(now, port, id.vlan, &record);
            }
            kind @ 6..8 => {
                let kind = if kind == 6 { RecordKind::IsEx } else { RecordKind::ToIn };
                let old = if first & 1 == 0 { Old::First } else { Old::Second };
                let record = Record { kind, old: Some(old), group: id.group, sources: Vec::new() };
                snooping.report(now, port, id.vlan, &record);
            }
            8 => {
                let from = address(group & 0x80 | 1, false);
                let group = (first & 1 != 0).then_some(id.group);
                let sources = sources.into_iter().flatten().filter(|_| group.is_some()).collect();
                let (response, suppressed) = (u32::from(second) * 100, first & 2 != 0);
                let query = super::Query { from, group, sources, response, suppressed };
                snooping.query(now, port, id.vlan, &query);
            }
            9 => drop(snooping.groups.add(id, port, sources[0], snooping.most(port))),
            10 => drop(std::hint::black_box(snooping.groups.remove(id, port, sources[0]))),
            11 => snooping.port_down(port),
            12 => snooping.port_gone(port),
            13 => {
                vlans = (0..3)
                    .filter(|vlan| first >> vlan & 1 != 0)
                    .map(|vlan| (vlan, second >> vlan & 1 != 0))
                    .collect();
                snooping.set_vlans(now, &vlans, link_local);
            }
            _ => now += u64::from(first) * u64::from(second) * 10_000_000,
        }
        snooping.tick(now);
        maps.write(&snooping.work(now).writes);
        judge(&snooping, &maps, now);
    }
    let mut after = Snooping::restored(Timers::STANDARD, now, super::Image::adopt(maps.rows()));
    after.set_vlans(now, &vlans, link_local);
    after.go_on(now);
    assert_eq!(after.asked(now), snooping.asked(now), "whoever was trusted is, and no more");
    // A source that is as all others need not be known by itself any more: what counts is who hears it.
    for id in snooping.groups.ids() {
        let (before, after) = (snooping.groups.entries(&id), after.groups.entries(&id));
        for source in before.keys().chain(after.keys()) {
            let of = |entries: &super::Entries| entries.get(source).or_else(|| entries.get(&None)).copied();
            assert_eq!(of(&after), of(&before), "read back otherwise: {id:?} {source:?}");
        }
    }
}

/// The table is bounded, and the maps say what it says.
fn judge(snooping: &Snooping, maps: &Maps, now: u64) {
    let total: usize = (0..6).map(|port| snooping.groups.used(PortId(port))).sum();
    assert_eq!(total, snooping.groups.total(), "the count drifted");
    let asked: BTreeMap<_, _> =
        snooping.asked(now).into_iter().map(|(id, routers)| (key(id, None), routers.ports)).collect();
    let of_nobody = maps.groups.keys().filter(|key| key.group == [0; 4]);
    let written: BTreeMap<_, _> = of_nobody.map(|key| (*key, maps.sets[&maps.groups[key]].ports)).collect();
    assert_eq!(written, asked, "groups are trusted where somebody asks");
    let groups = maps.groups.len() - asked.len();
    assert!(total <= MAX_GROUPS as usize && groups <= total, "{groups} of {total}");
    for port in (0..6).map(PortId) {
        assert!(
            snooping.groups.used(port) <= snooping.most(port).max(6 + usize::from(port.0)),
            "{port:?} has too many"
        );
    }
    assert!(snooping.next(now) > now, "what is due is done");
    let ids = snooping.groups.ids();
    for id in &ids {
        let entries = snooping.groups.entries(id);
        for source in (0..8).map(|last| address(last | if id.group.is_ipv4() { 0 } else { 0x80 }, false)) {
            let wanted =
                entries.get(&Some(source)).or_else(|| entries.get(&None)).expect("a group has an entry");
            assert_eq!(maps.reached(*id, source), wanted.ports, "{id:?} {source}");
        }
    }
    let mut groups = maps.groups.keys().filter(|key| key.group != [0; 4]);
    assert!(groups.all(|key| ids.contains(&from_key(key).0)), "a group that nobody is in");
}
