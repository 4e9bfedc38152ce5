//! Multicast snooping: who is in which group, where routers are, and who asks. Pure: messages and the time go in, changes of maps and
//! queries to be sent come out.
//!
//! It does what the Linux bridge does (`br_multicast.c`), with one table for each VLAN and one querier for the whole bridge.

mod build;
mod groups;
mod hear;
mod image;
#[cfg(test)]
mod laws;
mod member;
mod parse;
#[cfg(test)]
mod parse_tests;
mod querier;
#[cfg(test)]
mod tests;
mod timers;

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
pub use timers::Timers;

/// How many groups and sources of groups a guest's port has, where nothing else is said.
pub const GUEST_GROUPS: u32 = 256;
/// The same, of the host and the uplink.
pub const OTHER_GROUPS: u32 = 4096;

const SECOND: u64 = 1_000_000_000;

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
