//! Multicast snooping: who is in which group, where routers are, and who asks. Pure: messages and the time go in, changes of maps and
//! queries to be sent come out.
//!
//! It does what the Linux bridge does (`br_multicast.c`), with one table for each VLAN and one querier for the whole bridge.

mod build;
mod groups;
mod image;
#[cfg(test)]
mod laws;
mod member;
mod parse;
mod querier;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use bridge_common::{
    PortId,
    config::ConfigFlags,
    multicast::{GroupCounters, GroupPolicy, RouterMode},
    vlan::PortSet,
};

pub use build::{Question, frame};
pub use groups::{Entries, Full, GroupId, Groups, Ports, each};
pub use image::{Image, Write, from_key, key};
pub use parse::{Malformed, Message, Query, Record, RecordKind, parse};
pub use querier::Querier;

use groups::Times;

/// How many groups and sources of groups a guest's port has, where nothing else is said.
pub const GUEST_GROUPS: u32 = 256;
/// The same, of the host and the uplink.
pub const OTHER_GROUPS: u32 = 4096;

const SECOND: u64 = 1_000_000_000;

/// The standard's times (RFC 3376, section 8), in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Between general queries.
    pub query: u64,
    /// In which hosts answer.
    pub response: u64,
    /// For which a group is remembered that nobody speaks of.
    pub membership: u64,
    /// For which another querier is remembered, and a router's port.
    pub other_querier: u64,
    /// In which hosts answer a query about one group.
    pub last_member: u64,
    /// How often such a query is sent.
    pub last_member_count: u32,
}

impl Timers {
    /// The standard's.
    pub const STANDARD: Self = Self {
        query: 125 * SECOND,
        response: 10 * SECOND,
        membership: 260 * SECOND,
        other_querier: 255 * SECOND,
        last_member: SECOND,
        last_member_count: 2,
    };

    /// All of them so many times faster, for the lab; no faster than hosts can follow.
    pub fn faster(self, times: u32) -> Self {
        let by = |time: u64, least: u64| (time / u64::from(times.max(1))).max(least);
        Self {
            query: by(self.query, SECOND / 2),
            response: by(self.response, SECOND / 10),
            membership: by(self.membership, SECOND),
            other_querier: by(self.other_querier, SECOND),
            last_member: by(self.last_member, SECOND / 5),
            ..self
        }
    }

    /// For which a group is remembered that somebody has asked about.
    fn last_member_time(&self, response: u64) -> u64 {
        response.saturating_mul(u64::from(self.last_member_count))
    }
}

/// A bridge that snoops.
#[derive(Clone, Debug)]
pub struct Snooping {
    timers: Timers,
    /// Who is in which group.
    pub groups: Groups,
    queriers: [Querier; 2],
    /// Ports behind which a router was heard, and until when that is believed.
    routers: BTreeMap<PortId, u64>,
    policies: BTreeMap<PortId, GroupPolicy>,
    /// What was counted, of the ports of which something was.
    pub counters: BTreeMap<PortId, GroupCounters>,
    image: Image,
    /// Queries about one group that are to be sent once more.
    again: Vec<(u64, Question)>,
    questions: Vec<Question>,
}

/// What there is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Changes of maps, in order.
    pub writes: Vec<Write>,
    /// Queries to send.
    pub questions: Vec<Question>,
}

const fn family(is_v4: bool) -> usize {
    if is_v4 { 0 } else { 1 }
}

impl Snooping {
    /// Nobody is in any group, and nobody has asked.
    pub fn new(timers: Timers, now: u64) -> Self {
        let mut snooping = Self {
            timers,
            groups: Groups::default(),
            queriers: Default::default(),
            routers: BTreeMap::new(),
            policies: BTreeMap::new(),
            counters: BTreeMap::new(),
            image: Image::default(),
            again: Vec::new(),
            questions: Vec::new(),
        };
        snooping.begin(now);
        snooping
    }

    /// Takes in what a former controller has written, as if every host had just said it. [`Self::go_on`] is to follow.
    pub fn restored(timers: Timers, now: u64, image: Image, routers: PortSet) -> Self {
        let mut snooping = Self::new(timers, now);
        for (id, entries) in image.groups() {
            snooping.groups.restore(id, &entries, now + timers.membership);
        }
        snooping.image = image;
        snooping.routers = each(routers).map(|port| (port, now + timers.other_querier)).collect();
        snooping
    }

    /// Goes on after a former controller, who knew queriers of these families: they are trusted as if they had just asked.
    pub fn go_on(&mut self, now: u64, known: ConfigFlags) {
        let families = [
            (ConfigFlags::MCAST_QUERIER_V4, IpAddr::V4(Ipv4Addr::BROADCAST)),
            (ConfigFlags::MCAST_QUERIER_V6, IpAddr::V6(Ipv6Addr::from(u128::MAX))),
        ];
        // The highest address there is: whoever asks next is lower.
        for (querier, (flag, highest)) in self.queriers.iter_mut().zip(families) {
            querier.go_on(now, known.has(flag), highest, &self.timers);
        }
    }

    /// Asks everybody anew, and trusts nobody before they have answered. What hosts have said is forgotten.
    pub fn begin(&mut self, now: u64) {
        self.groups.forget(|_, _| true);
        self.routers.clear();
        self.again.clear();
        self.queriers.iter_mut().for_each(|querier| querier.begin(now));
    }

    /// Whether this bridge is to ask if nobody else does, and its link-local IPv6 address, without which it does not by MLD.
    pub fn set_querier(&mut self, wanted: bool, link_local: Option<Ipv6Addr>) {
        let [v4, v6] = &mut self.queriers;
        (v4.wanted, v4.address) = (wanted, Some(Ipv4Addr::UNSPECIFIED.into()));
        (v6.wanted, v6.address) = (wanted, link_local.map(IpAddr::V6));
    }

    /// What the operator says of a port.
    pub fn set_policy(&mut self, port: PortId, policy: GroupPolicy) {
        self.policies.insert(port, policy);
    }

    fn policy(&self, port: PortId) -> GroupPolicy {
        self.policies.get(&port).copied().unwrap_or_default()
    }

    /// How many entries a port may have.
    pub fn most(&self, port: PortId) -> usize {
        most(port, self.policy(port).groups_max) as usize
    }

    /// A port is there, or forwards again.
    pub fn port_up(&mut self, now: u64) {
        self.queriers.iter_mut().for_each(|querier| querier.hurry(now));
    }

    /// A port does not forward any more.
    pub fn port_down(&mut self, port: PortId) {
        self.groups.forget(|_, at| at == port);
        self.routers.remove(&port);
    }

    /// A port is no more.
    pub fn port_gone(&mut self, port: PortId) {
        self.port_down(port);
        self.groups.forget_port(port);
        self.policies.remove(&port);
        self.counters.remove(&port);
    }

    /// Takes a frame in that came from a port.
    pub fn hear(&mut self, now: u64, port: PortId, vlan: u16, frame: &[u8]) {
        let message = parse(frame);
        let counters = self.counters.entry(port).or_default();
        match message {
            Ok(Message::Report(records)) => {
                counters.reports += 1;
                records.iter().for_each(|record| self.report(now, port, vlan, record));
            }
            Ok(Message::Query(query)) => {
                counters.queries += 1;
                self.query(now, port, vlan, &query);
            }
            Ok(Message::Hello) => self.router(now, port),
            Err(_) => counters.malformed += 1,
        }
    }

    fn report(&mut self, now: u64, port: PortId, vlan: u16, record: &Record) {
        if is_of_link(record.group) {
            return;
        }
        let id = GroupId { vlan, group: record.group };
        if record.kind == RecordKind::ToIn && record.sources.is_empty() && self.policy(port).fast_leave != 0 {
            return self.groups.leave(id, port);
        }
        let (asks, refused) = self.groups.hear(id, port, record, self.times(now), self.most(port));
        self.counters.entry(port).or_default().refused += refused;
        // Another querier asks by itself, and its question is heard like any.
        if self.queriers[family(id.group.is_ipv4())].other(now).is_some() {
            return;
        }
        if asks.group {
            self.ask(now, id, port, Vec::new());
        }
        if !asks.sources.is_empty() {
            self.ask(now, id, port, asks.sources);
        }
    }

    fn times(&self, now: u64) -> Times {
        Times { now, until: now + self.timers.membership }
    }

    /// Takes a record in that the operator says in a host's place. Gives how much of it was refused.
    pub fn join(&mut self, now: u64, port: PortId, vlan: u16, record: &Record) -> u64 {
        let id = GroupId { vlan, group: record.group };
        self.groups.hear(id, port, record, self.times(now), self.most(port)).1
    }

    /// Asks whether anybody behind the port still wants a group, or sources of it.
    fn ask(&mut self, now: u64, id: GroupId, port: PortId, sources: Vec<IpAddr>) {
        let until = now + self.timers.last_member_time(self.timers.last_member);
        self.groups.asked(&id, Some(port), &sources, until);
        if !self.queriers[family(id.group.is_ipv4())].is_own(now) {
            return;
        }
        let question = self.question(Some(id.vlan), id.group, sources, self.timers.last_member);
        // One question is one for all who leave meanwhile.
        if self.again.iter().any(|(_, asked)| *asked == question) {
            return;
        }
        for time in 1..self.timers.last_member_count {
            self.again.push((now + u64::from(time) * self.timers.last_member, question.clone()));
        }
        self.questions.push(question);
    }

    fn question(&self, vlan: Option<u16>, group: IpAddr, sources: Vec<IpAddr>, response: u64) -> Question {
        let (response, interval) = ((response / 1_000_000) as u32, (self.timers.query / SECOND) as u32);
        Question { vlan, group, sources, response, interval }
    }

    fn query(&mut self, now: u64, port: PortId, vlan: u16, query: &Query) {
        let at = family(query.from.is_ipv4());
        // Our own, which leave as frames of the host.
        let own = self.queriers[at].address == Some(query.from) && port == PortId::HOST;
        let believed = RouterMode::from_raw(self.policy(port).router) != RouterMode::Disabled;
        if own || !believed {
            return;
        }
        let response = u64::from(query.response) * 1_000_000;
        match query.group {
            None => {
                if self.queriers[at].hear(query.from, response, now, &self.timers) {
                    self.router(now, port);
                }
            }
            Some(group) if self.queriers[at].other(now).is_some() => {
                let until = now + self.timers.last_member_time(response);
                self.groups.asked(&GroupId { vlan, group }, None, &query.sources, until);
            }
            Some(_) => {}
        }
    }

    fn router(&mut self, now: u64, port: PortId) {
        if RouterMode::from_raw(self.policy(port).router) == RouterMode::Learned {
            self.routers.insert(port, now + self.timers.other_querier);
        }
    }

    /// Lets the time pass.
    pub fn tick(&mut self, now: u64) {
        self.groups.expire(now);
        self.routers.retain(|_, until| *until > now);
        let due = self.again.extract_if(.., |(at, _)| *at <= now).map(|(_, question)| question);
        self.questions.extend(due.collect::<Vec<_>>());
        for all in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
            if self.queriers[family(all.is_ipv4())].is_due(now, &self.timers) {
                let question = self.question(None, all, Vec::new(), self.timers.response);
                self.questions.push(question);
            }
        }
    }

    /// When [`Self::tick`] is due next.
    pub fn next(&self, now: u64) -> u64 {
        let queriers = self.queriers.iter().map(|querier| querier.next(now));
        let again = self.again.iter().map(|(at, _)| *at);
        queriers.chain(again).chain(self.routers.values().copied()).fold(self.groups.next(), u64::min)
    }

    /// What there is to do since the last time.
    pub fn work(&mut self) -> Work {
        let mut writes = Vec::new();
        for id in self.groups.changed() {
            let entries = self.groups.entries(&id);
            writes.extend(self.image.change(id, &entries));
        }
        Work { writes, questions: std::mem::take(&mut self.questions) }
    }

    /// The flags that say of which families somebody asks who is in groups.
    pub fn known(&self, now: u64) -> ConfigFlags {
        let [v4, v6] = [0, 1].map(|at| self.queriers[at].is_known(now));
        ConfigFlags::default().with(ConfigFlags::MCAST_QUERIER_V4, v4).with(ConfigFlags::MCAST_QUERIER_V6, v6)
    }

    /// The ports behind which there are routers, and those of them where the operator says so.
    pub fn routers(&self) -> Ports {
        let learned = self.routers.keys().fold(PortSet::default(), |set, port| set.with(*port, true));
        let mut routers = Ports { ports: learned, permanent: PortSet::default() };
        for (port, policy) in &self.policies {
            match RouterMode::from_raw(policy.router) {
                RouterMode::Learned => {}
                RouterMode::Disabled => routers.ports = routers.ports.with(*port, false),
                RouterMode::Permanent => {
                    routers.ports = routers.ports.with(*port, true);
                    routers.permanent = routers.permanent.with(*port, true);
                }
            }
        }
        routers
    }

    /// How many groups and sources of groups the programs read.
    pub fn len(&self) -> usize {
        self.image.len()
    }
}

/// How many entries a port may have; `said` is what the operator says, 0 for nothing.
pub const fn most(port: PortId, said: u32) -> u32 {
    match said {
        0 if port.is_guest() => GUEST_GROUPS,
        0 => OTHER_GROUPS,
        most => most,
    }
}

/// Groups that are flooded whoever is in them: 224.0.0.0/24 and ff02::1, of which nobody has to report.
pub fn is_of_link(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(v4) => matches!(v4.octets(), [224, 0, 0, _]),
        IpAddr::V6(v6) => v6 == Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
    }
}
