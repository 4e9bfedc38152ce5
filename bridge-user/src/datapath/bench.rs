//! The maps that the programs keep for themselves, and those of what the operator allows, as a test wants to write and read them.

use aya::{
    Pod,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, RingBuf},
};
use bridge_common::{
    FdbEvent, Policy, PortId, Vlan, maps,
    policy::{Meter, Source},
    port::MAX_PORTS,
    vlan::VlanCounters,
};

use super::{
    PinDir,
    error::{Error, Result, words},
    events,
    vlans::zeroes,
};

/// What surrounds a test run.
pub struct Bench {
    ring: RingBuf<MapData>,
    budgets: Array<MapData, Words<3>>,
    reclaim: Array<MapData, Words<3>>,
    vlans: Array<MapData, Vlan>,
    vlan_counters: PerCpuArray<MapData, VlanCounters>,
    policies: Array<MapData, Policy>,
    sources: HashMap<MapData, Source, u32>,
    meters: Array<MapData, Words<{ Meter::COUNT }>>,
    learned: Array<MapData, u64>,
    forgotten: Array<MapData, u64>,
}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Words<const N: usize>([u64; N]);

// SAFETY: an array of integers.
unsafe impl<const N: usize> Pod for Words<N> {}

impl Bench {
    /// Opens the pinned maps.
    pub fn open(pins: &PinDir) -> Result<Self> {
        Ok(Self {
            ring: map(pins, maps::EVENTS)?,
            budgets: map(pins, maps::EVENT_BUDGET)?,
            reclaim: map(pins, maps::RECLAIM)?,
            vlans: map(pins, maps::VLANS)?,
            vlan_counters: map(pins, maps::VLAN_COUNTERS)?,
            policies: map(pins, maps::POLICIES)?,
            sources: map(pins, maps::SOURCES)?,
            meters: map(pins, maps::METERS)?,
            learned: map(pins, maps::LEARNED)?,
            forgotten: map(pins, maps::FORGOTTEN)?,
        })
    }

    /// The events since the last call.
    pub fn events(&mut self) -> Vec<FdbEvent> {
        let mut all = Vec::new();
        while let Some(record) = self.ring.next() {
            all.extend(events::decode(&record));
        }
        all
    }

    /// Nothing was reported yet, and no room was made.
    pub fn forget(&mut self) -> Result<()> {
        for port in 0..MAX_PORTS {
            self.budgets.set(port, Words([0; 3]), 0).map_err(failed(maps::EVENT_BUDGET))?;
        }
        self.reclaim.set(0, Words([0; 3]), 0).map_err(failed(maps::RECLAIM))
    }

    /// Gives a VLAN its members. One without any counts nothing.
    pub fn set_vlan(&mut self, vid: u16, vlan: Vlan) -> Result<()> {
        self.vlans.set(vid.into(), vlan, 0).map_err(failed(maps::VLANS))?;
        let vid = u32::from(vid);
        if vlan.members.is_empty() {
            let none = zeroes().map_err(|reason| Error::WriteMap { map: maps::VLAN_COUNTERS, reason })?;
            self.vlan_counters.set(vid, none, 0).map_err(failed(maps::VLAN_COUNTERS))?;
        }
        Ok(())
    }

    /// What was counted in a VLAN, all CPUs together.
    pub fn vlan_counters(&self, vid: u16) -> Result<VlanCounters> {
        let read = |error| Error::ReadMap { map: maps::VLAN_COUNTERS, reason: words(&error) };
        let mut sum = VlanCounters::default();
        self.vlan_counters.get(&vid.into(), 0).map_err(read)?.iter().for_each(|share| sum.add(share));
        Ok(sum)
    }

    /// Writes a port's policy.
    pub fn set_policy(&mut self, id: PortId, policy: Policy) -> Result<()> {
        self.policies.set(id.index(), policy, 0).map_err(failed(maps::POLICIES))
    }

    /// Writes a port's buckets.
    pub fn set_meters(&mut self, id: PortId, levels: [u64; Meter::COUNT]) -> Result<()> {
        self.meters.set(id.index(), Words(levels), 0).map_err(failed(maps::METERS))
    }

    /// A port's buckets.
    pub fn meters(&self, id: PortId) -> Result<[u64; Meter::COUNT]> {
        let read = |error| Error::ReadMap { map: maps::METERS, reason: words(&error) };
        Ok(self.meters.get(&id.index(), 0).map_err(read)?.0)
    }

    /// Allows these addresses and no others.
    pub fn set_sources<'a>(&mut self, sources: impl IntoIterator<Item = &'a Source>) -> Result<()> {
        let old: Vec<_> =
            self.sources.keys().collect::<std::result::Result<_, _>>().map_err(failed(maps::SOURCES))?;
        for source in &old {
            self.sources.remove(source).map_err(failed(maps::SOURCES))?;
        }
        for source in sources {
            self.sources.insert(source, 1, 0).map_err(failed(maps::SOURCES))?;
        }
        Ok(())
    }

    /// Says how many stations a port has, `forgotten` more of them learned and forgotten since.
    pub fn set_learned(&mut self, id: PortId, count: i64, forgotten: u64) -> Result<()> {
        let learned = forgotten.wrapping_add_signed(count);
        self.learned.set(id.index(), learned, 0).map_err(failed(maps::LEARNED))?;
        self.forgotten.set(id.index(), forgotten, 0).map_err(failed(maps::FORGOTTEN))
    }

    /// How many stations a port has.
    pub fn learned(&self, id: PortId) -> Result<i64> {
        let read = |map| move |error| Error::ReadMap { map, reason: words(&error) };
        let learned = self.learned.get(&id.index(), 0).map_err(read(maps::LEARNED))?;
        let forgotten = self.forgotten.get(&id.index(), 0).map_err(read(maps::FORGOTTEN))?;
        Ok(learned.wrapping_sub(forgotten) as i64)
    }
}

fn failed(map: &'static str) -> impl Fn(MapError) -> Error {
    move |error| Error::WriteMap { map, reason: words(&error) }
}

fn map<T: TryFrom<Map, Error = MapError>>(pins: &PinDir, name: &'static str) -> Result<T> {
    MapData::from_pin(pins.map(name))
        .and_then(Map::from_map_data)
        .and_then(T::try_from)
        .map_err(|error| Error::OpenMap { map: name, reason: words(&error) })
}
