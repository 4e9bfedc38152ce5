//! What must hold of every frame, whatever came before it. Each law is stated anew, from the frame's bytes and
//! the bridge before and after; none of them asks the code that it judges.
//!
//! The property tests, the corpus, the fuzz targets and the differential test all end here.

use std::collections::BTreeSet;

use super::{
    Action, Arrival, Done, Model, Program,
    build::{Kind, Shape, frame},
    script::{Devices, Script, Step},
};
use crate::{
    DropReason, FdbEntry, FdbKey, Mac, Port, PortCounters, PortFlags, PortId, Ports as _,
    forward::REFRESH_INTERVAL, frame::Segments, guard,
};

/// Runs a script on the model, judging every frame. The body of the fuzz target `sequence`.
pub fn sequence(bytes: &[u8]) -> Model {
    let Script { mut model, steps } = Script::decode(bytes, &Devices::default());
    for step in &steps {
        match step {
            Step::Frame(arrival) => {
                let before = model.clone();
                let done = model.run(arrival);
                check(&before, arrival, &done, &model);
            }
            other => other.operate(&mut model),
        }
    }
    model
}

/// Judges what reads frames. The body of the fuzz target `guard`.
pub fn reading(bytes: &[u8]) {
    let _ = guard::prove(&bytes);
    let gso_size = bytes.iter().rev().take(2).fold(0, |size, byte| size << 8 | u32::from(*byte));
    segments(bytes, gso_size);
    let [kind, tags, payload, padding, src, ..] = *bytes else { return };
    let kind = Kind::ALL[usize::from(kind) % Kind::ALL.len()];
    let shape =
        Shape { kind, tags: tags % 3, payload: payload.into(), padding: padding.into(), unfinished: true };
    let frame = frame(Mac::BROADCAST, Mac([2, 0, 0, 0, 0, src]), &shape);
    segments(&frame, gso_size % 512);
    if shape.is_unfinished() {
        assert!(guard::prove(&frame.as_slice()).is_err(), "{shape:?} passes the guard unfinished");
    }
}

fn segments(frame: &[u8], gso_size: u32) {
    let length = frame.len() as u32;
    let Segments { packets, bytes, longest } = Segments::of(&frame, length, gso_size);
    assert!(packets >= 1 && longest <= length);
    assert!(bytes <= packets * u64::from(longest), "no segment is longer than the longest");
    assert!(bytes > (packets - 1) * u64::from(longest) || length == 0, "only the last one is shorter");
    assert_eq!(packets > 1, longest < length, "a frame that is cut has shorter segments");
}

/// Judges one frame.
///
/// # Panics
///
/// When a law is broken.
pub fn check(before: &Model, arrival: &Arrival, done: &Done, after: &Model) {
    let Some(ingress) = before.ingress(arrival) else {
        assert!(done.sent.is_empty(), "a device that is no port gets nothing through");
        assert_eq!(before.stations, after.stations);
        return;
    };
    let case = Case { before, arrival, done, after, ingress };
    if done.action == Action::Pass {
        case.a_frame_left_to_tc_has_left_no_trace();
        return;
    }
    case.nothing_goes_back();
    case.static_entries_stay();
    case.only_the_source_is_learned();
    case.a_refused_frame_teaches_and_goes_nowhere();
    case.link_local_groups_stay_on_the_link();
    case.an_expired_entry_is_an_unknown_one();
    case.a_full_table_changes_nothing_else();
    case.each_frame_is_accounted_for();
    case.what_was_learned_was_reported();
    case.nothing_unfinished_is_redirected_in_xdp();
}

/// Neither a group nor zero.
fn is_station(mac: Mac) -> bool {
    mac.0[0] & 1 == 0 && mac != Mac::ZERO
}

struct Case<'a> {
    before: &'a Model,
    arrival: &'a Arrival,
    done: &'a Done,
    after: &'a Model,
    ingress: PortId,
}

impl Case<'_> {
    fn address(&self, at: usize) -> Mac {
        self.arrival.bytes.get(at..at + 6).and_then(|mac| mac.try_into().ok()).map(Mac).unwrap_or_default()
    }

    fn dst(&self) -> Mac {
        self.address(0)
    }

    fn source(&self) -> FdbKey {
        FdbKey { vlan: 0, mac: self.address(6) }
    }

    fn is_up(&self, id: PortId) -> bool {
        self.before.port(id).is_some_and(|port| port.is_up())
    }

    /// Refused before anything was learned.
    fn is_refused(&self) -> bool {
        let host = self.source().mac == self.before.config.uplink_mac && self.ingress != PortId::HOST;
        self.arrival.bytes.len() < 14
            || !is_station(self.source().mac)
            || host
            || !self.is_up(self.ingress)
            || self.is_link_local() && self.ingress.is_guest()
    }

    fn is_link_local(&self) -> bool {
        matches!(self.dst().0, [1, 0x80, 0xc2, 0, 0, 0..16])
    }

    /// Counted by this frame.
    fn counted(&self, id: PortId, what: impl Fn(&PortCounters) -> u64) -> u64 {
        what(&self.after.counted(id)) - what(&self.before.counted(id))
    }

    fn ports(&self) -> impl Iterator<Item = PortId> {
        (0..self.before.config.ports_end).map(PortId)
    }

    fn a_frame_left_to_tc_has_left_no_trace(&self) {
        assert_eq!(self.arrival.program, Program::Xdp);
        let mut expected = self.before.clone();
        let slow = self.after.counted(self.ingress).slow;
        expected.counters.entry(self.ingress).or_default().slow = slow;
        assert_eq!(&expected, self.after);
        assert_eq!(self.counted(self.ingress, |c| c.slow.iter().sum()), 1, "why it was left is counted once");
        assert!(self.done.sent.is_empty());
        let short = self.arrival.length() <= 600 && !self.arrival.fragmented;
        assert!(!(short && self.is_refused()), "what is refused is never left to TC");
    }

    fn nothing_goes_back(&self) {
        assert!(!self.done.reached(self.ingress), "sent back to {:?}", self.ingress);
        let sent: BTreeSet<_> = self.done.sent.iter().map(|sent| sent.port).collect();
        assert_eq!(sent.len(), self.done.sent.len(), "sent twice to one port");
        assert!(self.done.sent.iter().all(|sent| self.is_up(sent.port)), "sent to a port that is down");
    }

    fn static_entries_stay(&self) {
        for (key, entry) in self.before.stations.iter().filter(|(_, entry)| entry.is_static()) {
            let place = self.after.stations.get(key).map(|entry| entry.place);
            assert_eq!(place, Some(entry.place), "a static entry moved or vanished");
        }
    }

    fn only_the_source_is_learned(&self) {
        let (now, source) = (self.before.now, self.source());
        for (key, entry) in &self.after.stations {
            if self.before.stations.get(key) == Some(entry) {
                continue;
            }
            assert_eq!(*key, source, "learned somebody who did not send");
            assert!(is_station(key.mac), "learned a group or zero");
            assert_ne!(key.mac, self.before.config.uplink_mac, "learned the host's own address");
            assert_eq!((entry.port(), entry.last_seen), (self.ingress, now));
            let was_static = self.before.stations.get(key).is_some_and(FdbEntry::is_static);
            assert_eq!(entry.is_static(), was_static, "traffic makes nobody static");
        }
        for key in self.before.stations.keys().filter(|key| !self.after.stations.contains_key(key)) {
            assert_eq!(self.before.live(key), None, "a live station vanished");
        }
        assert!(self.after.stations.len() <= self.before.capacity, "more stations than there is room for");
        if self.is_refused() || self.is_link_local() || source.mac == self.before.config.uplink_mac {
            return;
        }
        let told = |what: fn(&PortCounters) -> u64| self.counted(self.ingress, what);
        match self.after.live(&source) {
            Some(entry) if entry.port() == self.ingress => {
                let age = now.saturating_sub(entry.last_seen);
                assert!(entry.is_static() || age < REFRESH_INTERVAL, "its time was not refreshed");
            }
            Some(entry) => {
                assert!(entry.is_static(), "a station that moved was not followed with its first frame");
                assert_eq!(told(|c| c.refused_static), 1);
            }
            None => {
                assert_eq!(self.after.stations.len(), self.before.capacity, "not learned with room left");
                assert_eq!(told(|c| c.refused_full), 1);
            }
        }
    }

    fn a_refused_frame_teaches_and_goes_nowhere(&self) {
        if self.is_refused() {
            assert_eq!(self.before.stations, self.after.stations, "learned from a refused frame");
            assert_eq!(self.before.events, self.after.events);
            assert!(self.done.sent.is_empty(), "a refused frame was sent to {:?}", self.done.sent);
            let dropped = self.counted(self.ingress, |c| c.drops.iter().sum());
            assert_eq!(dropped, self.counted(self.ingress, |c| c.rx_packets), "a drop without a reason");
        }
    }

    fn link_local_groups_stay_on_the_link(&self) {
        if self.is_link_local() {
            assert!(self.done.sent.iter().all(|sent| !sent.port.is_guest()), "sent to {:?}", self.done.sent);
            assert_eq!(self.before.stations, self.after.stations);
        }
        if self.dst() == self.before.config.uplink_mac {
            assert!(
                self.done.sent.iter().all(|sent| sent.port == PortId::HOST),
                "the host's own went astray"
            );
        }
    }

    fn an_expired_entry_is_an_unknown_one(&self) {
        let mut swept = self.before.clone();
        swept.sweep();
        if swept.stations.len() == self.before.stations.len() {
            return;
        }
        // With room enough, or what is refused could differ.
        let mut unswept = self.before.clone();
        (swept.capacity, unswept.capacity) = (usize::MAX, usize::MAX);
        let (one, other) = (swept.run(self.arrival), unswept.run(self.arrival));
        assert_eq!(one, other, "an expired entry decided about a frame");
        unswept.sweep();
        assert_eq!(swept.stations, unswept.stations);
        assert_eq!((swept.counters, swept.events), (unswept.counters, unswept.events));
    }

    fn a_full_table_changes_nothing_else(&self) {
        if self.counted(self.ingress, |c| c.refused_full) > 0 {
            assert_eq!(self.before.live(&self.source()), None, "a known station was refused");
            let mut roomy = Model { capacity: usize::MAX, ..self.before.clone() };
            assert_eq!(&roomy.run(self.arrival), self.done, "the newcomer's frame went elsewhere");
        }
    }

    fn each_frame_is_accounted_for(&self) {
        let gso_size = if self.arrival.program == Program::Xdp { 0 } else { self.arrival.gso_size };
        let frames = Segments::of(&self.arrival.bytes.as_slice(), self.arrival.length(), gso_size);
        let dropped = |id| self.counted(id, |c| c.drops.iter().sum());
        for id in self.ports() {
            let (rx, tx) = if id == self.ingress { (1, 0) } else { (0, u64::from(self.done.reached(id))) };
            assert_eq!(self.counted(id, |c| c.rx_packets), rx * frames.packets, "{id:?}");
            assert_eq!(self.counted(id, |c| c.rx_bytes), rx * frames.bytes, "{id:?}");
            assert_eq!(self.counted(id, |c| c.tx_packets), tx * frames.packets, "{id:?}");
            assert_eq!(self.counted(id, |c| c.tx_bytes), tx * frames.bytes, "{id:?}");
            assert!(
                dropped(id) + self.counted(id, |c| c.tx_packets) <= frames.packets,
                "{id:?} counts twice"
            );
            assert_eq!(self.counted(id, |c| c.slow.iter().sum()), 0);
        }
        let fate: u64 = self.ports().map(|id| dropped(id) + self.counted(id, |c| c.tx_packets)).sum();
        let known = self.dst() == self.before.config.uplink_mac
            || self.before.live(&FdbKey { vlan: 0, mac: self.dst() }).is_some();
        if self.is_refused() || known || self.is_link_local() {
            assert_eq!(fate, frames.packets, "sent once or dropped once");
            return;
        }
        for id in self.ports().filter(|id| *id != self.ingress && self.is_up(*id)) {
            assert_eq!(
                dropped(id) + self.counted(id, |c| c.tx_packets),
                frames.packets,
                "a flood leaves out {id:?}"
            );
            let Port { mtu, ifindex, .. } = self.before.ports[&id];
            let refused = self.before.refusing.contains(&ifindex);
            assert_eq!(self.done.reached(id), frames.longest <= mtu + 18 && !refused);
            let too_big = self.counted(id, |c| c.drops[DropReason::TooBig as usize]);
            assert_eq!(too_big > 0, frames.longest > mtu + 18);
        }
    }

    fn what_was_learned_was_reported(&self) {
        let told = |c: &PortCounters| c.learned + c.moved + c.refused_full + c.refused_static;
        let reported = (self.after.events.len() - self.before.events.len()) as u64;
        let suppressed = self.counted(self.ingress, |c| c.events_suppressed);
        assert_eq!(self.counted(self.ingress, told), reported + suppressed);
    }

    fn nothing_unfinished_is_redirected_in_xdp(&self) {
        let port = self.before.port(self.ingress).unwrap_or_default();
        if self.arrival.program == Program::Xdp && self.before.guard && port.flags.has(PortFlags::GUARD) {
            let redirected = matches!(self.done.action, Action::Redirect(_));
            assert!(!(redirected && self.arrival.unfinished), "an unfinished checksum was redirected");
        }
    }
}
