//! The maps of what ports are allowed.
//!
//! What the operator says of a port lies in three places: its policy, the addresses that it may use, and the part of its
//! word that says where there is something to ask. They are changed in such an order that no frame meets a question whose
//! answer is not there yet.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    os::fd::AsFd as _,
};

use aya::maps::{Array, HashMap as BpfHashMap, Map, MapData};
use bridge_common::{
    Policy, Port, PortFlags, PortId,
    maps::{FORGOTTEN, LEARNED, METERS, POLICIES, SOURCES},
    multicast::GroupPolicy,
    policy::{Meter, Source},
};

use super::{
    Station, Tables, batch,
    error::{Error, Result},
    tables::{absent_is_fine, open_error, read_error, typed, write_error},
};

/// The levels of a port's buckets.
pub type Levels = [u64; Meter::COUNT];

/// All that is allowed to a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Flags, guards, quota and limits.
    pub policy: Policy,
    /// The addresses that it may use.
    pub sources: BTreeSet<Source>,
    /// What it may do with groups, which the programs do not ask.
    pub groups: GroupPolicy,
}

/// The maps.
pub(super) struct PolicyMaps {
    policies: Array<MapData, Policy>,
    sources: BpfHashMap<MapData, Source, u32>,
    /// The same map again: aya keeps the descriptor of the typed one to itself.
    sources_data: MapData,
    meters: Array<MapData, Levels>,
    learned: Array<MapData, u64>,
    forgotten: Array<MapData, u64>,
}

impl PolicyMaps {
    pub(super) fn open(data: impl Fn(&'static str) -> Result<MapData>) -> Result<Self> {
        fn array<V: aya::Pod>(name: &'static str, data: MapData) -> Result<Array<MapData, V>> {
            Map::from_map_data(data).and_then(Array::try_from).map_err(|error| open_error(name, error))
        }
        Ok(Self {
            policies: array(POLICIES, data(POLICIES)?)?,
            sources: typed(SOURCES, data(SOURCES)?)?,
            sources_data: data(SOURCES)?,
            meters: array(METERS, data(METERS)?)?,
            learned: array(LEARNED, data(LEARNED)?)?,
            forgotten: array(FORGOTTEN, data(FORGOTTEN)?)?,
        })
    }
}

/// A port's word: what is true of the device, and what the operator says of the port.
fn word(device: PortFlags, policy: &Policy) -> PortFlags {
    let device = PortFlags(device.0 & !PortFlags::POLICY.0);
    let up = device.has(PortFlags::UP) && policy.stopped == 0;
    device.with(PortFlags::UP, up).or(PortFlags(policy.flags.0 & PortFlags::POLICY.0))
}

impl Tables {
    /// What is allowed to a port, without the addresses.
    pub fn policy(&self, id: PortId) -> Result<Policy> {
        let maps = &self.policy_maps;
        let policy = maps.policies.get(&id.index(), 0).map_err(|error| read_error(POLICIES, error))?;
        Ok(policy.with_first([]))
    }

    /// Every address that some port may use.
    pub fn sources(&self) -> Result<BTreeSet<Source>> {
        let maps = &self.policy_maps;
        let rows = batch::read::<Source, u32>(maps.sources_data.fd().as_fd())
            .map_err(|error| Error::ReadMap { map: SOURCES, reason: error.to_string() })?;
        Ok(rows.into_iter().map(|(source, _)| source).collect())
    }

    /// All that is allowed to a port.
    pub fn rules(&self, id: PortId) -> Result<Rules> {
        let sources = self.sources()?.into_iter().filter(|source| source.port == id.0).collect();
        Ok(Rules { policy: self.policy(id)?, sources, groups: self.group_policy(id)? })
    }

    /// The levels of a port's buckets.
    pub fn levels(&self, id: PortId) -> Result<Levels> {
        let maps = &self.policy_maps;
        maps.meters.get(&id.index(), 0).map_err(|error| read_error(METERS, error))
    }

    /// Writes the facts of a port's device, and what the operator says of the port with them.
    pub fn set_facts(&mut self, id: PortId, device: Port) -> Result<()> {
        let policy = self.policy(id)?;
        self.set_port(id, Port { flags: word(device.flags, &policy), ..device })
    }

    /// Changes what is allowed to a port. `device` has the facts of its device; none where that is away.
    pub fn set_rules(&mut self, id: PortId, rules: &Rules, device: Option<Port>) -> Result<()> {
        let before = self.rules(id)?;
        // What is to be asked must be there before it is asked, and may go when it is asked no more.
        for source in rules.sources.difference(&before.sources) {
            self.set_source(source, true)?;
        }
        let shared = PortFlags(before.policy.flags.0 & rules.policy.flags.0);
        if let Some(device) = device {
            // One number with others in one word: half a PVID would be another VLAN.
            let shared = shared.with_pvid(before.policy.flags.pvid());
            let stopped = before.policy.stopped | rules.policy.stopped;
            let policy = Policy { flags: shared, stopped, ..before.policy };
            self.set_port(id, Port { flags: word(device.flags, &policy), ..device })?;
        }
        self.empty_buckets(id, &before.policy, &rules.policy)?;
        self.write_policy(id, rules.policy.with_first(&rules.sources))?;
        self.empty_buckets(id, &before.policy, &rules.policy)?;
        if let Some(device) = device {
            self.set_facts(id, device)?;
        }
        for source in before.sources.difference(&rules.sources) {
            self.set_source(source, false)?;
        }
        self.set_group_policy(id, rules.groups)
    }

    /// Writes a port's policy, without the addresses, and then its word.
    pub fn set_policy(&mut self, id: PortId, policy: Policy) -> Result<()> {
        let sources = self.sources()?;
        let own = sources.iter().filter(|source| source.port == id.0);
        self.write_policy(id, policy.settled().with_first(own))?;
        let port = self.port(id)?;
        self.set_facts(id, port)
    }

    /// Writes stations that are not learned, each once, and counts what they take the place of, and themselves if they age. `before` has what
    /// is in the table of them; others may be among it.
    pub fn set_fixed_stations(&mut self, stations: &[Station], before: &[Station]) -> Result<()> {
        self.set_stations(stations)?;
        let learned = before.iter().filter(|row| !row.entry.is_static());
        let learned: HashMap<_, _> = learned.map(|row| (row.key, row.entry.port())).collect();
        let mut counts = BTreeMap::<PortId, u64>::new();
        let mut count = |port, change: u64| {
            let sum = counts.entry(port).or_default();
            *sum = sum.wrapping_add(change);
        };
        for station in stations {
            if !learned.is_empty()
                && let Some(port) = learned.get(&station.key)
            {
                count(*port, 1);
            }
            if !station.entry.is_static() {
                count(station.entry.port(), 1_u64.wrapping_neg());
            }
        }
        counts.into_iter().try_for_each(|(port, change)| self.count_forgotten(port, change))
    }

    /// Allows a port nothing out of the ordinary, in no VLAN, and forgets what it has used: for a new port of an old number, which
    /// has no stations.
    pub fn clear_rules(&mut self, id: PortId) -> Result<()> {
        self.vlans_mut()?.leave_all(id)?;
        self.set_rules(id, &Rules::default(), None)?;
        let learned = self.learned(id)?;
        self.set_forgotten(id, learned)?;
        self.set_levels(id, Levels::default())
    }

    /// What was used under a limit that changes says nothing of the new one: a slow bucket's level may be hours ahead. Before and after the
    /// change, or what is used in between would be left, or the first frames under the new limit find the old level.
    fn empty_buckets(&mut self, id: PortId, before: &Policy, after: &Policy) -> Result<()> {
        if before.rates == after.rates {
            return Ok(());
        }
        let mut levels = self.levels(id)?;
        for ((level, before), after) in levels.iter_mut().zip(before.rates).zip(after.rates) {
            if before != after {
                *level = 0;
            }
        }
        self.set_levels(id, levels)
    }

    fn set_levels(&mut self, id: PortId, levels: Levels) -> Result<()> {
        self.policy_maps.meters.set(id.index(), levels, 0).map_err(|error| write_error(METERS, error))
    }

    fn write_policy(&mut self, id: PortId, policy: Policy) -> Result<()> {
        let maps = &mut self.policy_maps;
        maps.policies.set(id.index(), policy, 0).map_err(|error| write_error(POLICIES, error))
    }

    fn set_source(&mut self, source: &Source, on: bool) -> Result<()> {
        let maps = &mut self.policy_maps;
        let outcome = match on {
            true => maps.sources.insert(source, 1, 0),
            false => absent_is_fine(maps.sources.remove(source)),
        };
        outcome.map_err(|error| write_error(SOURCES, error))
    }

    fn learned(&self, id: PortId) -> Result<u64> {
        let maps = &self.policy_maps;
        maps.learned.get(&id.index(), 0).map_err(|error| read_error(LEARNED, error))
    }

    fn forgotten(&self, id: PortId) -> Result<u64> {
        let maps = &self.policy_maps;
        maps.forgotten.get(&id.index(), 0).map_err(|error| read_error(FORGOTTEN, error))
    }

    fn set_forgotten(&mut self, id: PortId, count: u64) -> Result<()> {
        let maps = &mut self.policy_maps;
        maps.forgotten.set(id.index(), count, 0).map_err(|error| write_error(FORGOTTEN, error))
    }

    /// How many stations count against a port's quota: those learned there that are in the table, expired ones included.
    pub fn stations_used(&self, id: PortId) -> Result<u64> {
        let used = self.learned(id)?.wrapping_sub(self.forgotten(id)?) as i64;
        // A station may be forgotten before its learning was counted.
        Ok(used.max(0) as u64)
    }

    /// Deletes stations, so that they count no more. Those that are not there are passed over: who deleted them has
    /// counted them.
    pub fn forget_stations(&mut self, rows: &[Station]) -> Result<()> {
        let keys: Vec<_> = rows.iter().map(|row| row.key).collect();
        let gone = self.take_stations(&keys)?;
        let mut counts = BTreeMap::<PortId, u64>::new();
        for (at, row) in rows.iter().enumerate() {
            if !row.entry.is_static() && gone.binary_search(&at).is_err() {
                *counts.entry(row.entry.port()).or_default() += 1;
            }
        }
        for (id, count) in counts {
            self.count_forgotten(id, count)?;
        }
        Ok(())
    }

    /// Notes that a port has so many learned stations less.
    pub fn count_forgotten(&mut self, id: PortId, count: u64) -> Result<()> {
        let forgotten = self.forgotten(id)?.wrapping_add(count);
        self.set_forgotten(id, forgotten)
    }

    /// Reads the table, and sets right what counts against the quotas of these ports where nothing was learned meanwhile.
    pub fn recount(&mut self, ports: &[PortId]) -> Result<Vec<Station>> {
        let learned = |tables: &Self| ports.iter().map(|id| tables.learned(*id)).collect::<Result<Vec<_>>>();
        let before = learned(self)?;
        let rows = self.stations()?;
        let after = learned(self)?;
        let mut counts = BTreeMap::<PortId, u64>::new();
        for row in rows.iter().filter(|row| !row.entry.is_static()) {
            *counts.entry(row.entry.port()).or_default() += 1;
        }
        for ((id, before), after) in ports.iter().zip(before).zip(after) {
            if before == after {
                let count = counts.get(id).copied().unwrap_or(0);
                self.set_forgotten(*id, after.wrapping_sub(count))?;
            }
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_both_parts_and_a_stopped_port_is_down() {
        let device = PortFlags::UP.or(PortFlags::XDP);
        let mut policy = Policy { flags: PortFlags::ISOLATED.with_pvid(10), ..Policy::default() };
        assert_eq!(word(device, &policy), device.or(policy.flags));
        // A device says nothing about policy, and a policy nothing about the device.
        policy.flags = policy.flags.or(PortFlags::GUARD);
        assert_eq!(word(device.or(PortFlags::LOCKED), &policy), device.or(PortFlags::ISOLATED).with_pvid(10));
        policy.stopped = 1;
        assert_eq!(word(device, &policy), PortFlags::XDP.or(PortFlags::ISOLATED).with_pvid(10));
    }
}
