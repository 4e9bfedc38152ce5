//! The tables of VLANs: who is a member, and what was counted.

use std::{os::fd::AsFd as _, path::PathBuf};

use aya::{
    maps::{Array, Map, MapData, MapError, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use bridge_common::{
    PortId, Vlan,
    maps::{VLAN_COUNTERS, VLANS},
    vlan::{Membership, VlanCounters},
};

use super::{
    batch,
    error::{Error, Result, words},
};

/// The VLANs of one bridge.
pub struct VlanTables {
    vlans: Array<MapData, Vlan>,
    /// The same map again: aya keeps the descriptor of the typed one to itself.
    vlans_data: MapData,
    counters: PerCpuArray<MapData, VlanCounters>,
}

impl VlanTables {
    /// Opens tables whose shapes are known to be right.
    pub(super) fn open_at(pin: impl Fn(&str) -> PathBuf) -> Result<Self> {
        Ok(Self {
            vlans: typed(VLANS, open(VLANS, pin(VLANS))?)?,
            vlans_data: open(VLANS, pin(VLANS))?,
            counters: typed(VLAN_COUNTERS, open(VLAN_COUNTERS, pin(VLAN_COUNTERS))?)?,
        })
    }

    /// The members of a VLAN.
    pub fn get(&self, vid: u16) -> Result<Vlan> {
        self.vlans.get(&u32::from(vid), 0).map_err(|error| read_error(VLANS, &error))
    }

    /// Every VLAN that has members, in order.
    pub fn all(&self) -> Result<Vec<(u16, Vlan)>> {
        with_members(&self.vlans_data)
    }

    /// Gives a port its part in a VLAN. A frame on its way meets the part before or the one after, and nothing between.
    pub fn set_part(&mut self, vid: u16, id: PortId, part: Membership) -> Result<()> {
        let (old, key) = (self.get(vid)?, u32::from(vid));
        let new = old.with(id, part);
        if old.members.is_empty() {
            self.clear_counters(key)?;
        }
        // The programs read `members` first, and `untagged` of members only; the kernel copies both words in no order that it
        // promises. So one word at a time: how frames leave is settled before a port comes in, and after it has gone.
        let (first, last) = if part == Membership::None {
            (Vlan { members: new.members, untagged: old.untagged }, new)
        } else {
            (Vlan { members: old.members, untagged: new.untagged }, new)
        };
        for vlan in [first, last] {
            self.vlans.set(key, vlan, 0).map_err(|error| write_error(VLANS, &error))?;
        }
        if new.members.is_empty() { self.clear_counters(key) } else { Ok(()) }
    }

    /// Takes a port out of every VLAN.
    pub fn leave_all(&mut self, id: PortId) -> Result<()> {
        for (vid, vlan) in self.all()? {
            if vlan.members.has(id) {
                self.set_part(vid, id, Membership::None)?;
            }
        }
        Ok(())
    }

    /// What was counted for a VLAN, all CPUs together; zeroes for one without members.
    pub fn counters(&self, vid: u16) -> Result<VlanCounters> {
        let mut sum = VlanCounters::default();
        let shares =
            self.counters.get(&u32::from(vid), 0).map_err(|error| read_error(VLAN_COUNTERS, &error))?;
        shares.iter().for_each(|share| sum.add(share));
        Ok(sum)
    }

    /// What was counted for a VLAN that is no more is not the next one's.
    fn clear_counters(&mut self, vid: u32) -> Result<()> {
        let shares = zeroes().map_err(|reason| Error::WriteMap { map: VLAN_COUNTERS, reason })?;
        self.counters.set(vid, shares, 0).map_err(|error| write_error(VLAN_COUNTERS, &error))
    }
}

/// Nothing counted, on any CPU.
pub(super) fn zeroes() -> std::result::Result<PerCpuValues<VlanCounters>, String> {
    let cpus = nr_cpus().map_err(|(what, error)| format!("{what}: {error}"))?;
    PerCpuValues::try_from(vec![VlanCounters::default(); cpus]).map_err(|error| error.to_string())
}

/// Every VLAN of a map that has members, in order.
pub(super) fn with_members(vlans: &MapData) -> Result<Vec<(u16, Vlan)>> {
    let rows = batch::read::<u32, Vlan>(vlans.fd().as_fd())
        .map_err(|error| Error::ReadMap { map: VLANS, reason: error.to_string() })?;
    let mut found: Vec<_> = rows
        .into_iter()
        .filter(|(_, vlan)| !vlan.members.is_empty())
        .filter_map(|(vid, vlan)| Some((u16::try_from(vid).ok()?, vlan)))
        .collect();
    found.sort_unstable_by_key(|(vid, _)| *vid);
    Ok(found)
}

fn open(map: &'static str, pin: PathBuf) -> Result<MapData> {
    MapData::from_pin(pin).map_err(|error| Error::OpenMap { map, reason: words(&error) })
}

fn typed<T: TryFrom<Map, Error = MapError>>(map: &'static str, data: MapData) -> Result<T> {
    let typed = Map::from_map_data(data).and_then(T::try_from);
    typed.map_err(|error| Error::OpenMap { map, reason: words(&error) })
}

fn read_error(map: &'static str, error: &MapError) -> Error {
    Error::ReadMap { map, reason: words(error) }
}

fn write_error(map: &'static str, error: &MapError) -> Error {
    Error::WriteMap { map, reason: words(error) }
}
