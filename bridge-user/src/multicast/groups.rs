//! Who is in which group: a table that is bounded, for each port and for all.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bridge_common::{PortId, multicast::MAX_GROUPS};

use super::{
    member::{Asks, Member, Mode},
    parse::Record,
};

/// A group in a VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId {
    /// The VLAN; 0 while VLAN filtering is off.
    pub vlan: u16,
    /// Its address.
    pub group: IpAddr,
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    pub(super) members: BTreeMap<GroupId, BTreeMap<PortId, Member>>,
    pub(super) permanent: BTreeMap<GroupId, BTreeSet<(PortId, Option<IpAddr>)>>,
    /// What each port takes of the table: one for each group, and one for each source.
    used: BTreeMap<PortId, usize>,
    total: usize,
    /// Groups that have changed since somebody asked.
    pub(super) changed: BTreeSet<GroupId>,
    next: u64,
}

/// No room for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Groups {
    /// How many entries there are, permanent ones included.
    pub fn total(&self) -> usize {
        self.total
    }

    /// How many a port has.
    pub fn used(&self, port: PortId) -> usize {
        self.used.get(&port).copied().unwrap_or(0)
    }

    fn room(&self, port: PortId, most: usize) -> usize {
        let all = (MAX_GROUPS as usize).saturating_sub(self.total);
        most.saturating_sub(self.used(port)).min(all)
    }

    fn count(&mut self, port: PortId, before: usize, after: usize) {
        let used = self.used.entry(port).or_default();
        *used = (*used + after).saturating_sub(before);
        self.total = (self.total + after).saturating_sub(before);
    }

    /// Takes a record in. `most`: how many entries its port may have. Gives what is to be asked, and how much was refused.
    pub fn hear(
        &mut self,
        id: GroupId,
        port: PortId,
        record: &Record,
        times: Times,
        most: usize,
    ) -> (Asks, u64) {
        let (known, room) = (self.member(&id, port).is_some(), self.room(port, most));
        let mut member = match self.member(&id, port) {
            Some(member) => member.clone(),
            None if room > 0 => Member::new(),
            // Who leaves what it is not in asks for nothing.
            None => return (Asks::default(), u64::from(!is_leave(record))),
        };
        let before = cost(&member, known);
        let room = room - usize::from(!known);
        let (asks, refused) = member.hear(record, times.now, times.until, room);
        self.put(id, port, member, before);
        (asks, refused)
    }

    pub(super) fn member(&self, id: &GroupId, port: PortId) -> Option<&Member> {
        self.members.get(id)?.get(&port)
    }

    /// Writes what a port wants of a group, which cost so much before.
    pub(super) fn put(&mut self, id: GroupId, port: PortId, member: Member, before: usize) {
        let gone = member.is_nothing();
        self.next = self.next.min(member.next());
        self.count(port, before, cost(&member, !gone));
        let members = self.members.entry(id).or_default();
        let old = if gone { members.remove(&port) } else { members.insert(port, member) };
        let new = members.get(&port);
        let is_same = old.as_ref().map(looks) == new.map(looks);
        if members.is_empty() {
            self.members.remove(&id);
        }
        if !is_same {
            self.changed.insert(id);
        }
    }

    /// Somebody asks about a group: what no port answers for (or not this one) ends at `until`.
    pub fn asked(&mut self, id: &GroupId, only: Option<PortId>, sources: &[IpAddr], until: u64) {
        for (port, member) in self.members.get_mut(id).into_iter().flatten() {
            if only.is_none_or(|only| only == *port) {
                member.asked(sources, until);
                self.next = self.next.min(member.next());
            }
        }
    }

    /// Forgets what a port wants of a group.
    pub fn leave(&mut self, id: GroupId, port: PortId) {
        if let Some(member) = self.member(&id, port) {
            let before = cost(member, true);
            self.put(id, port, Member::new(), before);
        }
    }

    /// Forgets what hosts want whom this is true of.
    pub fn forget(&mut self, gone: impl Fn(&GroupId, PortId) -> bool) {
        let all = self.members.iter().flat_map(|(id, members)| members.keys().map(|port| (*id, *port)));
        let gone: Vec<_> = all.filter(|(id, port)| gone(id, *port)).collect();
        gone.into_iter().for_each(|(id, port)| self.leave(id, port));
    }

    /// Forgets a port, the operator's entries for it included.
    pub fn forget_port(&mut self, port: PortId) {
        self.forget(|_, at| at == port);
        let permanent = self.permanent.iter().flat_map(|(id, at)| at.iter().map(|entry| (*id, *entry)));
        let gone: Vec<_> = permanent.filter(|(_, (at, _))| *at == port).collect();
        for (id, (port, source)) in gone {
            self.remove(id, port, source);
        }
    }

    /// Ends what has come to its end.
    pub fn expire(&mut self, now: u64) {
        if now < self.next {
            return;
        }
        let due = self.members.iter().flat_map(|(id, members)| {
            members
                .iter()
                .filter(|(_, member)| member.next() <= now)
                .map(|(port, member)| (*id, *port, member.clone()))
        });
        for (id, port, mut member) in due.collect::<Vec<_>>() {
            let before = cost(&member, true);
            member.expire(now);
            self.put(id, port, member, before);
        }
        self.next =
            self.members.values().flat_map(BTreeMap::values).map(Member::next).min().unwrap_or(u64::MAX);
    }

    /// When something ends next; in nanoseconds, as all times.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Puts a port into a group for good. False if it is there already.
    pub fn add(
        &mut self,
        id: GroupId,
        port: PortId,
        source: Option<IpAddr>,
        most: usize,
    ) -> Result<bool, Full> {
        let known = self.permanent.get(&id).is_some_and(|at| at.contains(&(port, source)));
        if known {
            return Ok(false);
        }
        if self.room(port, most) < permanent_cost(source) {
            return Err(Full);
        }
        self.permanent.entry(id).or_default().insert((port, source));
        self.count(port, 0, permanent_cost(source));
        self.changed.insert(id);
        Ok(true)
    }

    /// Takes an entry of [`Self::add`] away, or what a host wants, until it says so again. False if there is neither.
    pub fn remove(&mut self, id: GroupId, port: PortId, source: Option<IpAddr>) -> bool {
        let entries = self.permanent.get_mut(&id);
        if entries.is_some_and(|entries| entries.remove(&(port, source))) {
            self.permanent.retain(|_, entries| !entries.is_empty());
            self.count(port, permanent_cost(source), 0);
            self.changed.insert(id);
            return true;
        }
        let Some(mut member) = self.member(&id, port).cloned() else { return false };
        let before = cost(&member, true);
        let found = match source {
            None => std::mem::replace(&mut member, Member::new()).mode == Mode::Exclude,
            Some(source) => member.sources.remove(&source).is_some(),
        };
        if found {
            self.put(id, port, member, before);
        }
        found
    }

    /// The groups that have changed since the last time.
    pub fn changed(&mut self) -> BTreeSet<GroupId> {
        std::mem::take(&mut self.changed)
    }

    /// Every group.
    pub fn ids(&self) -> BTreeSet<GroupId> {
        self.members.keys().chain(self.permanent.keys()).copied().collect()
    }
}

/// When a record comes, and when what it says ends.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Now.
    pub now: u64,
    /// The end.
    pub until: u64,
}

pub(super) fn cost(member: &Member, is_there: bool) -> usize {
    if is_there { 1 + member.sources.len() } else { 0 }
}

/// One with a source takes two: what other sources send is then nobody's.
fn permanent_cost(source: Option<IpAddr>) -> usize {
    1 + usize::from(source.is_some())
}

/// What of a membership can be seen from outside: no times.
fn looks(member: &Member) -> (Mode, Vec<(IpAddr, bool)>) {
    (member.mode, member.sources.iter().map(|(source, until)| (*source, until.is_some())).collect())
}

/// Whether a record only takes away.
fn is_leave(record: &Record) -> bool {
    use super::parse::RecordKind::{Block, ToIn};
    record.kind == Block || record.kind == ToIn && record.sources.is_empty()
}
