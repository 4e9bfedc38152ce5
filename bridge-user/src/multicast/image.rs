//! What of the groups the programs are to read, and the fewest changes that lead there.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

use bridge_common::multicast::{FIRST_SET, GroupKey, GroupSet, MAX_SETS, V4, V6};

use super::{
    entries::{Entries, Ports},
    groups::GroupId,
};

/// One change of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The ports of a set.
    Set(u32, GroupSet),
    /// A group has this set.
    Group(GroupKey, u32),
    /// A group, or source, has none.
    Forget(GroupKey),
}

/// What is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    written: BTreeMap<GroupKey, (u32, GroupSet)>,
    /// Numbers that are free again, in the order in which they became so: a frame on its way may still be at an old one.
    free: VecDeque<u32>,
    /// The first number that was never used.
    fresh: u32,
}

impl Image {
    /// What a former controller has written.
    pub fn adopt(rows: impl IntoIterator<Item = (GroupKey, u32, GroupSet)>) -> Self {
        let written: BTreeMap<_, _> = rows.into_iter().map(|(key, set, ports)| (key, (set, ports))).collect();
        let used: std::collections::BTreeSet<_> = written.values().map(|(set, _)| *set).collect();
        let free = (FIRST_SET..MAX_SETS).filter(|set| !used.contains(set)).collect();
        Self { written, free, fresh: MAX_SETS - FIRST_SET }
    }

    /// What is written of each group.
    pub fn groups(&self) -> BTreeMap<GroupId, Entries> {
        let mut groups = BTreeMap::<GroupId, Entries>::new();
        for (id, source, ports) in self.rows().filter(|(id, ..)| !id.group.is_unspecified()) {
            groups.entry(id).or_default().insert(source, ports);
        }
        groups
    }

    /// The VLANs where groups are trusted, by the unspecified address of a family, and the routers there.
    pub fn asked(&self) -> BTreeMap<GroupId, Ports> {
        let rows = self.rows().filter(|(id, ..)| id.group.is_unspecified());
        rows.map(|(id, _, ports)| (id, ports)).collect()
    }

    fn rows(&self) -> impl Iterator<Item = (GroupId, Option<IpAddr>, Ports)> {
        self.written.iter().map(|(key, (_, GroupSet { ports, permanent }))| {
            let (id, source) = from_key(key);
            (id, source, Ports { ports: *ports, permanent: *permanent })
        })
    }

    /// The changes that make a group's entries these. Sets come before the groups that use them, and what is to be forgotten last: a
    /// source without an entry is forwarded as the others are.
    pub fn change(&mut self, id: GroupId, entries: &Entries) -> Vec<Write> {
        let (mut sets, mut groups) = (Vec::new(), Vec::new());
        for (source, Ports { ports, permanent }) in entries {
            let (key, value) = (key(id, *source), GroupSet { ports: *ports, permanent: *permanent });
            match self.written.get_mut(&key) {
                Some((_, old)) if *old == value => {}
                Some((set, old)) => {
                    *old = value;
                    sets.push(Write::Set(*set, value));
                }
                None => {
                    // The table is bounded before, so that there are numbers for all of it twice: `MAX_KEYS`.
                    let Some(set) = self.number() else { continue };
                    self.written.insert(key, (set, value));
                    sets.push(Write::Set(set, value));
                    groups.push(Write::Group(key, set));
                }
            }
        }
        let all = key(id, None)..=GroupKey { source: [u32::MAX; 4], ..key(id, None) };
        let unwanted = self.written.range(all).map(|(key, _)| *key);
        let unwanted: Vec<_> = unwanted.filter(|key| !entries.contains_key(&from_key(key).1)).collect();
        for key in &unwanted {
            self.free.extend(self.written.remove(key).map(|(set, _)| set));
        }
        sets.into_iter().chain(groups).chain(unwanted.into_iter().map(Write::Forget)).collect()
    }

    fn number(&mut self) -> Option<u32> {
        if self.fresh < MAX_SETS - FIRST_SET {
            self.fresh += 1;
            return Some(FIRST_SET + self.fresh - 1);
        }
        self.free.pop_front()
    }
}

/// The key of a group, or of one source of it.
pub fn key(id: GroupId, source: Option<IpAddr>) -> GroupKey {
    let words = |address: IpAddr| match address {
        IpAddr::V4(v4) => [u32::from_ne_bytes(v4.octets()), 0, 0, 0],
        IpAddr::V6(v6) => {
            let bytes = v6.octets();
            [0, 4, 8, 12]
                .map(|at| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]))
        }
    };
    let family = if id.group.is_ipv4() { V4 } else { V6 };
    GroupKey { vlan: id.vlan, family, group: words(id.group), source: source.map_or([0; 4], words) }
}

/// The reverse of [`key`].
pub fn from_key(key: &GroupKey) -> (GroupId, Option<IpAddr>) {
    let address = |words: [u32; 4]| -> IpAddr {
        let mut bytes = [0; 16];
        for (to, word) in bytes.chunks_mut(4).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        if key.family == V4 { IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]) } else { bytes.into() }
    };
    let source = (key.source != [0; 4]).then(|| address(key.source));
    (GroupId { vlan: key.vlan, group: address(key.group) }, source)
}
