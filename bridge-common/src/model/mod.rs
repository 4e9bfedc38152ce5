//! The switch as a value: the decision over a `BTreeMap`, and what the programs do with a verdict.
//!
//! It is the second and only other implementation of [`Fdb`] and [`Ports`]. It states anew, in plain Rust, what
//! `bridge-ebpf` does around [`crate::decide`]: counting, copies of a flood, room made in a full table, XDP's
//! "entirely or not at all". It shares none of that code on purpose, since the differential test compares the two.
//!
//! Invariant: nothing here is compiled into the kernel's programs.

pub mod build;
pub mod laws;
mod run;
pub mod script;

use std::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

pub use run::{Action, Arrival, Done, Program};

use crate::{
    Config, Fdb, FdbEntry, FdbEvent, FdbKey, Mac, Port, PortCounters, PortFlags, PortId, Ports,
    event::EVENTS_PER_SECOND,
    fdb::{Full, RECLAIM_ENOUGH, RECLAIM_INTERVAL},
    port::MAX_PORTS,
};

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The time, in nanoseconds.
    pub now: u64,
    /// The settings.
    pub config: Config,
    /// Whether XDP asks the checksum guard.
    pub guard: bool,
    /// The facts of the ports.
    pub ports: BTreeMap<PortId, Port>,
    /// Which port a device is.
    pub port_of: BTreeMap<u32, PortId>,
    /// The ports whose device is in the devmap.
    pub devices: BTreeSet<PortId>,
    /// The devices that the kernel refuses to send to.
    pub refusing: BTreeSet<u32>,
    /// The FDB.
    pub stations: BTreeMap<FdbKey, FdbEntry>,
    /// How many stations it holds.
    pub capacity: usize,
    /// What was counted.
    pub counters: BTreeMap<PortId, PortCounters>,
    /// What was reported.
    pub events: Vec<FdbEvent>,
    /// The second in which a port reported last, and how often in it.
    budgets: BTreeMap<PortId, (u64, u32)>,
    last_reclaim: u64,
}

impl Model {
    /// A bridge at time `now` without guests, whose host and uplink are up on device `uplink`.
    pub fn new(now: u64, capacity: usize, uplink: u32, uplink_mac: Mac) -> Self {
        let port = Port { ifindex: uplink, mtu: 1500, flags: PortFlags::UP };
        Self {
            now,
            config: Config { ageing: 300_000_000_000, uplink_mac, ports_end: PortId::FIRST_GUEST.0 },
            guard: true,
            ports: [(PortId::HOST, port), (PortId::UPLINK, port)].into(),
            port_of: [(uplink, PortId::UPLINK)].into(),
            devices: BTreeSet::new(),
            refusing: BTreeSet::new(),
            stations: BTreeMap::new(),
            capacity,
            counters: BTreeMap::new(),
            events: Vec::new(),
            budgets: BTreeMap::new(),
            last_reclaim: 0,
        }
    }

    /// Adds a port, or changes one.
    pub fn set_port(&mut self, id: PortId, port: Port) {
        self.ports.insert(id, port);
        self.port_of.insert(port.ifindex, id);
        self.config.ports_end = self.config.ports_end.max(id.0 + 1);
    }

    /// What was counted at a port.
    pub fn counted(&self, id: PortId) -> PortCounters {
        self.counters.get(&id).copied().unwrap_or_default()
    }

    /// Whether an entry is there and not expired.
    pub fn live(&self, key: &FdbKey) -> Option<FdbEntry> {
        self.station(key).filter(|entry| !entry.is_expired(self.now, self.config.ageing))
    }

    /// Throws out what is expired, as the controller's sweep does.
    pub fn sweep(&mut self) {
        let (now, ageing) = (self.now, self.config.ageing);
        self.stations.retain(|_, entry| !entry.is_expired(now, ageing));
    }

    fn counters(&mut self, id: PortId) -> &mut PortCounters {
        self.counters.entry(id).or_default()
    }

    fn within_budget(&mut self, port: PortId) -> bool {
        let second = self.now / 1_000_000_000;
        let budget = self.budgets.entry(port).or_default();
        if budget.0 != second {
            *budget = (second, 0);
        }
        budget.1 += 1;
        budget.1 <= EVENTS_PER_SECOND
    }

    /// Makes room at most once in [`RECLAIM_INTERVAL`]. Which of many expired entries go is not promised: the
    /// kernel walks its hash table, this one the keys in order.
    fn reclaim(&mut self, ageing: u64) -> bool {
        if ageing == 0 || self.now.wrapping_sub(self.last_reclaim) < RECLAIM_INTERVAL {
            return false;
        }
        self.last_reclaim = self.now;
        let expired = self.stations.iter().filter(|(_, entry)| entry.is_expired(self.now, ageing));
        let expired: Vec<_> = expired.map(|(key, _)| *key).take(RECLAIM_ENOUGH as usize).collect();
        for key in &expired {
            self.stations.remove(key);
        }
        !expired.is_empty()
    }
}

impl Ports for Model {
    fn port(&self, id: PortId) -> Option<Port> {
        // The map is an array: a free number is there, and down.
        (id.index() < MAX_PORTS).then(|| self.ports.get(&id).copied().unwrap_or_default())
    }
}

impl Fdb for Model {
    fn station(&self, key: &FdbKey) -> Option<FdbEntry> {
        self.stations.get(key).copied()
    }

    fn refresh(&mut self, key: &FdbKey, now: u64) {
        if let Some(entry) = self.stations.get_mut(key) {
            entry.last_seen = now;
        }
    }

    fn learn(&mut self, key: &FdbKey, entry: FdbEntry, ageing: u64) -> Result<(), Full> {
        if let Some(known) = self.stations.get_mut(key) {
            if !known.is_static() {
                *known = entry;
            }
        } else if self.stations.len() < self.capacity || self.reclaim(ageing) {
            self.stations.insert(*key, entry);
        } else {
            return Err(Full);
        }
        Ok(())
    }
}
