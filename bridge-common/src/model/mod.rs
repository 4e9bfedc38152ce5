//! The switch as a value: the decision over a `BTreeMap`, and what the programs do with a verdict.
//!
//! It is the second and only other implementation of [`Fdb`] and [`Ports`]. It states anew, in plain Rust, what
//! `bridge-ebpf` does around [`crate::decide`]: counting, copies of a flood, room made in a full table, XDP's
//! "entirely or not at all". It shares none of that code on purpose, since the differential test compares the two.
//!
//! Invariant: nothing here is compiled into the kernel's programs.

mod account;
pub mod build;
mod groups;
pub mod laws;
mod run;
pub mod script;
mod spread;

use std::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

pub use run::{Action, Arrival, Done, Program, Sent};

use crate::{
    Config, Fdb, FdbEntry, FdbEvent, FdbEventKind, FdbFlags, FdbKey, Mac, Policies, Policy, Port,
    PortCounters, PortFlags, PortId, Ports, Stations, Vlan, Vlans,
    event::EVENTS_PER_SECOND,
    fdb::{Full, RECLAIM_ENOUGH, RECLAIM_INTERVAL},
    multicast::GroupKey,
    policy::{Guards, Meter, Source},
    port::MAX_PORTS,
    vlan::{ANY_VLAN, MAX_VLANS, Membership, PortSet, VlanCounters},
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
    /// The VLANs that have members.
    pub vlans: BTreeMap<u16, Vlan>,
    /// What was counted for each of them.
    pub vlan_counters: BTreeMap<u16, VlanCounters>,
    /// What the ports are allowed.
    pub policies: BTreeMap<PortId, Policy>,
    /// The addresses that they may use.
    pub sources: BTreeSet<Source>,
    /// Their buckets.
    pub meters: BTreeMap<(PortId, u32), u64>,
    /// Learned stations that each port has.
    pub learned: BTreeMap<PortId, i64>,
    /// Who is in which group.
    pub groups: BTreeMap<GroupKey, PortSet>,
    /// What the controller was shown, and of which kind.
    pub shown: Vec<(PortId, u32)>,
    /// What was reported.
    pub events: Vec<FdbEvent>,
    /// The second in which a port reported last, how often in it, and how often of what was not allowed.
    budgets: BTreeMap<PortId, (u64, u32, u32)>,
    last_reclaim: u64,
}

impl Model {
    /// A bridge at time `now` without guests, whose host and uplink are up on device `uplink`.
    pub fn new(now: u64, capacity: usize, uplink: u32, uplink_mac: Mac) -> Self {
        let port = Port { ifindex: uplink, mtu: 1500, flags: PortFlags::UP };
        Self {
            now,
            config: Config {
                ageing: 300_000_000_000,
                uplink: uplink_mac.address(),
                ports_end: PortId::FIRST_GUEST.0,
                ..Config::default()
            },
            guard: true,
            ports: [(PortId::HOST, port), (PortId::UPLINK, port)].into(),
            port_of: [(uplink, PortId::UPLINK)].into(),
            devices: BTreeSet::new(),
            refusing: BTreeSet::new(),
            stations: BTreeMap::new(),
            capacity,
            counters: BTreeMap::new(),
            vlans: BTreeMap::new(),
            vlan_counters: BTreeMap::new(),
            policies: BTreeMap::new(),
            sources: BTreeSet::new(),
            meters: BTreeMap::new(),
            learned: BTreeMap::new(),
            groups: BTreeMap::new(),
            shown: Vec::new(),
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

    /// Gives a port a policy, and its word the bits that follow from it. A limit that changes begins with a full bucket: how
    /// far off the old one is says nothing about the new one.
    pub fn set_policy(&mut self, id: PortId, policy: Policy) {
        let policy = policy.settled();
        let old = self.policies.get(&id).map(|policy| policy.rates);
        self.meters.retain(|(port, meter), _| {
            *port != id || old.is_some_and(|old| old[*meter as usize] == policy.rates[*meter as usize])
        });
        let port = self.ports.entry(id).or_default();
        port.flags = PortFlags(port.flags.0 & !PortFlags::POLICY.0).or(policy.flags);
        self.policies.insert(id, policy);
    }

    /// Writes an entry as the operator or the test does, and counts it.
    pub fn put(&mut self, key: FdbKey, entry: FdbEntry) {
        self.drop_station(&key);
        if !entry.is_static() {
            *self.learned.entry(entry.port()).or_default() += 1;
        }
        self.stations.insert(key, entry);
    }

    /// Makes room for an entry, and for a second one for all VLANs, as the controller does not have to: its table is large.
    pub fn make_way(&mut self, key: &FdbKey) {
        let any = FdbKey { vlan: ANY_VLAN, mac: key.mac };
        let needed = [key, &any].iter().filter(|key| !self.stations.contains_key(key)).count();
        while self.stations.len() + needed > self.capacity {
            let Some(learned) = self.stations.iter().find(|(_, entry)| !entry.is_static()) else { return };
            self.drop_station(&learned.0.clone());
        }
    }

    /// Keeps what the controller keeps beside static entries: for all VLANs at once, at which port a station is.
    pub fn own(&mut self, mac: Mac) {
        let any = FdbKey { vlan: ANY_VLAN, mac };
        self.stations.remove(&any);
        if self.config.filters_vlans() {
            let vlans = FdbKey { vlan: 1, mac }..FdbKey { vlan: MAX_VLANS as u16, mac };
            let mut fixed =
                self.stations.range(vlans).filter(|(key, entry)| key.mac == mac && entry.is_static());
            if let Some(owner) = fixed.next().map(|(_, entry)| entry.port()) {
                self.make_way(&any);
                self.put(any, FdbEntry::new(owner, FdbFlags::STATIC, 0));
            }
        }
    }

    /// Gives a port a part in a VLAN. One without members is none, and counts nothing.
    pub fn set_member(&mut self, vid: u16, id: PortId, membership: Membership) {
        let vlan = self.vlans.entry(vid).or_default();
        vlan.members = vlan.members.with(id, membership != Membership::None);
        vlan.untagged = vlan.untagged.with(id, membership == Membership::Untagged);
        if vlan.members.is_empty() {
            self.vlans.remove(&vid);
            self.vlan_counters.remove(&vid);
        }
    }

    /// Deletes an entry, and counts that.
    pub fn drop_station(&mut self, key: &FdbKey) {
        if let Some(old) = self.stations.remove(key)
            && !old.is_static()
        {
            *self.learned.entry(old.port()).or_default() -= 1;
        }
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
        let expired = self.expired(self.config.ageing);
        expired.iter().for_each(|key| self.drop_station(key));
    }

    fn expired(&self, ageing: u64) -> Vec<FdbKey> {
        let expired = self.stations.iter().filter(|(_, entry)| entry.is_expired(self.now, ageing));
        expired.map(|(key, _)| *key).collect()
    }

    fn counters(&mut self, id: PortId) -> &mut PortCounters {
        self.counters.entry(id).or_default()
    }

    fn within_budget(&mut self, port: PortId, kind: FdbEventKind) -> bool {
        let second = self.now / 1_000_000_000;
        let budget = self.budgets.entry(port).or_default();
        if budget.0 != second {
            *budget = (second, 0, 0);
        }
        let allowed = matches!(kind, FdbEventKind::Learned | FdbEventKind::Moved);
        budget.2 += u32::from(!allowed);
        if !allowed && budget.2 > 1 {
            return false;
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
        let mut expired = self.expired(ageing);
        expired.truncate(RECLAIM_ENOUGH as usize);
        expired.iter().for_each(|key| self.drop_station(key));
        !expired.is_empty()
    }
}

impl Ports for Model {
    fn port(&self, id: PortId) -> Option<Port> {
        // The map is an array: a free number is there, and down.
        (id.index() < MAX_PORTS).then(|| self.ports.get(&id).copied().unwrap_or_default())
    }
}

impl Stations for Model {
    fn station(&self, key: &FdbKey) -> Option<FdbEntry> {
        self.stations.get(key).copied()
    }
}

impl Fdb for Model {
    fn refresh(&mut self, key: &FdbKey, now: u64) {
        if let Some(entry) = self.stations.get_mut(key) {
            entry.last_seen = now;
        }
    }

    fn learn(&mut self, key: &FdbKey, entry: FdbEntry, ageing: u64) -> Result<(), Full> {
        match self.station(key) {
            Some(known) if known.is_static() => {}
            Some(_) => self.put(*key, entry),
            None if self.stations.len() < self.capacity || self.reclaim(ageing) => self.put(*key, entry),
            None => return Err(Full),
        }
        Ok(())
    }

    fn make_room(&mut self, ageing: u64) -> bool {
        self.reclaim(ageing)
    }
}

impl Vlans for Model {
    fn membership(&self, vid: u16, id: PortId) -> Membership {
        self.vlans.get(&vid).map_or(Membership::None, |vlan| vlan.membership(id))
    }
}

impl Policies for Model {
    fn guards(&self, id: PortId) -> Guards {
        self.policies.get(&id).map_or(Guards::default(), |policy| policy.guards)
    }

    fn allows(&self, source: &Source) -> bool {
        self.sources.contains(source)
    }

    fn has_room(&self, id: PortId) -> bool {
        let max = self.policies.get(&id).map_or(0, |policy| policy.stations_max);
        self.learned.get(&id).copied().unwrap_or_default() < i64::from(max)
    }

    fn may(&self, id: PortId, meter: Meter, now: u64, units: u64) -> bool {
        let Some(rate) = self.policies.get(&id).map(|policy| policy.rates[meter as usize]) else {
            return true;
        };
        let level = self.meters.get(&(id, meter as u32)).copied().unwrap_or_default();
        !rate.is_limit() || rate.after(level, now, units).is_some()
    }

    fn charge(&mut self, id: PortId, meter: Meter, now: u64, units: u64) {
        let Some(rate) = self.policies.get(&id).map(|policy| policy.rates[meter as usize]) else { return };
        if rate.is_limit() {
            let level = self.meters.entry((id, meter as u32)).or_default();
            *level = (*level).max(now) + rate.cost(units);
        }
    }
}
