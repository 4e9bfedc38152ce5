//! What hosts and routers say, and what is asked in return.

use std::net::IpAddr;

use bridge_common::{PortId, multicast::RouterMode};

use super::{
    GroupId, Message, Query, Question, Record, RecordKind, SECOND, Snooping, family, groups::Times,
    is_of_link, parse,
};

impl Snooping {
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
            Ok(Message::Hello) => self.router(now, port, vlan),
            Err(_) => counters.malformed += 1,
        }
    }

    pub(super) fn report(&mut self, now: u64, port: PortId, vlan: u16, record: &Record) {
        // Of a VLAN that has just gone nothing is believed.
        if is_of_link(record.group) || !self.queriers.contains_key(&vlan) {
            return;
        }
        let id = GroupId { vlan, group: record.group };
        if record.kind == RecordKind::ToIn && record.sources.is_empty() && self.policy(port).fast_leave != 0 {
            return self.groups.leave(id, port);
        }
        let (asks, refused) = self.groups.hear(id, port, record, self.times(now), self.most(port));
        self.counters.entry(port).or_default().refused += refused;
        // Another querier asks by itself, and its question is heard like any.
        if self.querier(vlan, id.group).is_none_or(|querier| querier.other(now).is_some()) {
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
        if !self.querier(id.vlan, id.group).is_some_and(|querier| querier.is_own(now)) {
            return;
        }
        let question = self.question(id, sources, self.timers.last_member);
        // One question is one for all who leave meanwhile.
        if self.again.iter().any(|(_, asked)| *asked == question) {
            return;
        }
        for time in 1..self.timers.last_member_count {
            self.again.push((now + u64::from(time) * self.timers.last_member, question.clone()));
        }
        self.questions.push(question);
    }

    pub(super) fn question(&self, id: GroupId, sources: Vec<IpAddr>, response: u64) -> Question {
        let (response, interval) = ((response / 1_000_000) as u32, (self.timers.query / SECOND) as u32);
        Question { vlan: Some(id.vlan), group: id.group, sources, response, interval }
    }

    pub(super) fn query(&mut self, now: u64, port: PortId, vlan: u16, query: &Query) {
        let believed = RouterMode::from_raw(self.policy(port).router) != RouterMode::Disabled;
        let of_vlan = self.queriers.get_mut(&vlan).filter(|_| believed);
        let Some(querier) = of_vlan.map(|both| &mut both[family(query.from)]) else { return };
        // Our own, which leave as frames of the host.
        if port == PortId::HOST && querier.address == Some(query.from) {
            return;
        }
        let response = u64::from(query.response) * 1_000_000;
        match query.group {
            None => {
                if querier.hear(query.from, response, now, &self.timers) {
                    self.router(now, port, vlan);
                }
            }
            Some(group) if querier.other(now).is_some() && !query.suppressed => {
                let until = now + self.timers.last_member_time(response);
                self.groups.asked(&GroupId { vlan, group }, None, &query.sources, until);
            }
            Some(_) => {}
        }
    }

    pub(super) fn router(&mut self, now: u64, port: PortId, vlan: u16) {
        if RouterMode::from_raw(self.policy(port).router) == RouterMode::Learned {
            self.routers.insert((port, vlan), now + self.timers.other_querier);
        }
    }
}
