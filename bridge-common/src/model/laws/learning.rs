//! What the table learns, and what it does not.

use std::collections::BTreeMap;

use super::case::{Aim, Case, is_station};
use crate::{
    FdbEntry, FdbKey, PortCounters, PortFlags, PortId, fdb::REFRESH_INTERVAL, model::Model, vlan::ANY_VLAN,
};

const STATIC: u64 = 1 << 16;
const FIXED: u64 = STATIC | 1 << 17;

/// What quotas go by is true.
pub fn the_count_is_what_the_table_holds(model: &Model) {
    let mut counts = BTreeMap::new();
    for entry in model.stations.values().filter(|entry| entry.place & STATIC == 0) {
        *counts.entry(entry.port()).or_insert(0) += 1;
    }
    let learned: BTreeMap<_, _> =
        model.learned.iter().filter(|(_, count)| **count != 0).map(|(id, count)| (*id, *count)).collect();
    assert_eq!(learned, counts);
    assert!(model.stations.len() <= model.capacity, "more stations than there is room for");
}

/// Learned stations of a port, expired ones too.
fn stations(model: &Model, id: PortId) -> usize {
    model.stations.values().filter(|entry| entry.place & STATIC == 0 && entry.port() == id).count()
}

impl Case<'_> {
    pub fn learning(&self) {
        self.fixed_entries_stay();
        self.only_the_source_is_learned();
        self.a_sender_is_known_or_refused();
        self.quotas_hold();
        self.a_full_table_changes_nothing_else();
        self.what_was_learned_was_reported();
    }

    fn fixed_entries_stay(&self) {
        for (key, entry) in &self.before.stations {
            let place = self.after.stations.get(key).map(|entry| entry.place);
            if entry.place & STATIC != 0 {
                assert_eq!(place, Some(entry.place), "a static entry moved or vanished");
            } else if entry.place & FIXED != 0 && self.before.live(key).is_some() {
                assert_eq!(place, Some(entry.place), "a sticky entry moved or vanished");
            } else if self.flaps(entry) && self.before.live(key).is_some() {
                assert_eq!(place, Some(entry.place), "an entry moved once more");
            }
        }
    }

    /// It has moved as often as it may in this window.
    fn flaps(&self, entry: &FdbEntry) -> bool {
        let (moves, first) = ((entry.place >> 32) as u8, entry.place >> 40);
        let config = &self.before.config;
        let ends = first + u64::from(config.flap_window);
        config.flap_moves != 0
            && u16::from(moves) >= config.flap_moves
            && (first..ends).contains(&(self.before.now / 1_000_000_000))
    }

    /// The port where a static entry, of whatever VLAN, has the sender.
    fn owners(&self) -> impl Iterator<Item = PortId> {
        let stations = self.before.stations.iter().filter(|_| self.filters());
        let own = stations.filter(|(key, entry)| {
            key.mac == self.src() && key.vlan != 0 && key.vlan != ANY_VLAN && entry.place & STATIC != 0
        });
        own.map(|(_, entry)| entry.port())
    }

    fn only_the_source_is_learned(&self) {
        let (now, source) = (self.before.now, self.source());
        for (key, entry) in &self.after.stations {
            let old = self.before.stations.get(key);
            if old == Some(entry) {
                continue;
            }
            assert_eq!(*key, source, "learned somebody who did not send");
            assert!(is_station(key.mac), "learned a group or zero");
            assert_ne!(key.mac, self.before.config.uplink.mac(), "learned the host's own address");
            assert_eq!((entry.port(), entry.last_seen), (self.ingress, now));
            let was_static = old.is_some_and(|old| old.place & STATIC != 0);
            assert_eq!(entry.place & STATIC != 0, was_static, "traffic makes nobody static");
            let stayed = old.is_some_and(|old| old.port() == self.ingress && self.before.live(key).is_some());
            let mut owners = self.owners().peekable();
            let elsewhere = owners.peek().is_some() && !owners.any(|owner| owner == self.ingress);
            assert!(stayed || !elsewhere, "learned away from where it is static");
        }
        for key in self.before.stations.keys().filter(|key| !self.after.stations.contains_key(key)) {
            assert_eq!(self.before.live(key), None, "a live station vanished");
        }
    }

    fn a_sender_is_known_or_refused(&self) {
        let own = self.src() == self.before.config.uplink.mac();
        let deaf = self.has(self.ingress, PortFlags::NO_LEARNING);
        if self.is_dropped_in() || self.aim() == Aim::LinkLocal || own || deaf {
            return;
        }
        let told = |what: fn(&PortCounters) -> u64| self.counted(self.ingress, what) == 1;
        let source = self.source();
        let place = self.after.live(&source);
        if let Some(entry) = place.filter(|entry| entry.port() == self.ingress) {
            let age = self.before.now.saturating_sub(entry.last_seen);
            assert!(entry.place & STATIC != 0 || age < REFRESH_INTERVAL, "its time was not refreshed");
        } else if told(|c| c.refused_static) {
            let fixed = self.known().is_some_and(|entry| entry.place & FIXED != 0);
            assert!(fixed || self.owners().any(|owner| owner != self.ingress), "static nowhere");
        } else if told(|c| c.refused_flap) {
            assert!(self.known().is_some_and(|entry| self.flaps(&entry)), "it has not moved so often");
        } else if told(|c| c.refused_quota) {
            let max = self.policy(self.ingress).stations_max as usize;
            assert!(max != 0 && stations(self.before, self.ingress) >= max, "refused with room in its quota");
        } else {
            assert_eq!(place, None, "a station that moved was not followed with its first frame");
            assert_eq!(self.after.stations.len(), self.before.capacity, "not learned with room left");
            assert!(told(|c| c.refused_full));
        }
    }

    fn quotas_hold(&self) {
        for id in self.ports() {
            let max = self.policy(id).stations_max as usize;
            let (had, has) = (stations(self.before, id), stations(self.after, id));
            assert!(max == 0 || has <= max.max(had), "{id:?} has {has} stations of {max}");
            assert!(id == self.ingress || has <= had, "a station was learned where nobody sent");
        }
    }

    fn a_full_table_changes_nothing_else(&self) {
        if self.counted(self.ingress, |c| c.refused_full) > 0 {
            let key: FdbKey = self.source();
            assert_eq!(self.before.live(&key), None, "a known station was refused");
            let mut roomy = Model { capacity: usize::MAX, ..self.before.clone() };
            assert_eq!(&roomy.run(self.arrival), self.done, "the newcomer's frame went elsewhere");
        }
    }

    fn what_was_learned_was_reported(&self) {
        let refused = |c: &PortCounters| c.refused_full + c.refused_static + c.refused_quota + c.refused_flap;
        let told = |c: &PortCounters| c.learned + c.moved + refused(c);
        // A segmented one is reported once.
        let bpdu = u64::from(self.counted(self.ingress, |c| c.drops[crate::DropReason::Bpdu as usize]) > 0);
        let reported = (self.after.events.len() - self.before.events.len()) as u64;
        let suppressed = self.counted(self.ingress, |c| c.events_suppressed);
        assert_eq!(self.counted(self.ingress, told) + bpdu, reported + suppressed);
        let second = self.before.now / 1_000_000_000;
        let refusals = self.after.events.iter().filter(|event| {
            event.port == self.ingress && event.time / 1_000_000_000 == second && event.kind > 2
        });
        assert!(refusals.count() <= 1, "refused more than once in a second, and said so");
    }
}
