//! Multicast snooping: who is in which group, where routers are, and who asks. Pure: messages and the time go in, changes of maps and
//! queries to be sent come out.
//!
//! It does what the Linux bridge does (`br_multicast.c`) when it is told to snoop in each VLAN by itself (`mcast_vlan_snooping`).

mod build;
mod bytes;
mod entries;
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
mod querier_tests;
#[cfg(test)]
mod tests;
mod timers;
mod vlans;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use bridge_common::{
    PortId,
    multicast::{GroupCounters, GroupPolicy},
};

pub use build::{Question, frame};
pub use entries::{Entries, Ports, each};
pub use groups::{Full, GroupId, Groups};
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
    /// Who asks in each VLAN that there is, by IPv4 and by IPv6.
    queriers: BTreeMap<u16, [Querier; 2]>,
    /// Ports behind which a router was heard, in which VLAN, and until when that is believed.
    routers: BTreeMap<(PortId, u16), u64>,
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

/// Whose place in [`Snooping::queriers`] an address has.
const fn family(like: IpAddr) -> usize {
    if like.is_ipv4() { 0 } else { 1 }
}

impl Snooping {
    /// Nobody is in any group, and nobody has asked. VLANs are not filtered.
    pub fn new(timers: Timers, now: u64) -> Self {
        let mut snooping = Self {
            timers,
            groups: Groups::default(),
            queriers: [(0, Default::default())].into(),
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

    /// Takes in what a former controller has written, as if every host had just said it. [`Self::go_on`] is to follow, once VLANs and
    /// addresses are known.
    pub fn restored(timers: Timers, now: u64, image: Image) -> Self {
        let mut snooping = Self::new(timers, now);
        for (id, entries) in image.groups() {
            snooping.groups.restore(id, &entries, now + timers.membership);
        }
        snooping.image = image;
        snooping
    }

    /// Goes on after a former controller, who knew queriers: they are trusted as if they had just asked, and so are routers.
    pub fn go_on(&mut self, now: u64) {
        for (GroupId { vlan, group: nobody }, routers) in self.image.asked() {
            let Some(both) = self.queriers.get_mut(&vlan) else { continue };
            both[family(nobody)].go_on(now, nobody, &self.timers);
            for port in each(routers.ports).filter(|port| !routers.permanent.has(*port)) {
                self.routers.insert((port, vlan), now + self.timers.other_querier);
            }
        }
    }

    /// Asks everybody anew, and trusts nobody before they have answered. What hosts have said is forgotten.
    pub fn begin(&mut self, now: u64) {
        self.groups.forget(|_, _| true);
        self.routers.clear();
        self.again.clear();
        self.queriers.values_mut().flatten().for_each(|querier| querier.begin(now));
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
        self.queriers.values_mut().flatten().for_each(|querier| querier.hurry(now));
    }

    /// A port does not forward any more.
    pub fn port_down(&mut self, port: PortId) {
        self.groups.forget(|_, at| at == port);
        self.routers.retain(|(at, _), _| *at != port);
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
        let general = self.ask_all(now);
        self.questions.extend(general);
    }

    /// When [`Self::tick`] is due next.
    pub fn next(&self, now: u64) -> u64 {
        let queriers = self.queriers.values().flatten().map(|querier| querier.next(now));
        let again = self.again.iter().map(|(at, _)| *at);
        queriers.chain(again).chain(self.routers.values().copied()).fold(self.groups.next(), u64::min)
    }

    /// What there is to do since the last time. Whom nobody asks any more is not trusted before anything else is forgotten, and before
    /// anybody is trusted, what they said is written.
    pub fn work(&mut self, now: u64) -> Work {
        let (mut writes, asked) = (Vec::new(), self.asked(now));
        let before = self.image.asked();
        for id in before.keys().filter(|id| !asked.contains_key(id)) {
            writes.extend(self.image.change(*id, &Entries::new()));
        }
        for id in self.groups.changed() {
            writes.extend(self.image.change(id, &self.groups.entries(&id)));
        }
        for (id, routers) in asked.into_iter().filter(|(id, routers)| before.get(id) != Some(routers)) {
            writes.extend(self.image.change(id, &[(None, routers)].into()));
        }
        Work { writes, questions: std::mem::take(&mut self.questions) }
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
