//! The maps of groups.

use std::os::fd::AsFd as _;

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use bridge_common::{
    PortId,
    maps::{GROUP_COUNTERS, GROUP_POLICIES, GROUP_SETS, GROUPS, SNOOP_BUDGET},
    multicast::{GroupCounters, GroupKey, GroupPolicy, GroupSet, ROUTERS},
    snoop::{SnoopBudget, SnoopKind, budget},
};

use super::{
    Tables, batch,
    error::{Error, Result},
    tables::{absent_is_fine, open_error, read_error, typed, write_error},
};
use crate::multicast::Write;

/// The maps.
pub(super) struct GroupMaps {
    groups: HashMap<MapData, GroupKey, u32>,
    /// The same map again: aya keeps the descriptor of the typed one to itself.
    groups_data: MapData,
    sets: Array<MapData, GroupSet>,
    policies: Array<MapData, GroupPolicy>,
    counters: Array<MapData, GroupCounters>,
    budgets: Array<MapData, SnoopBudget>,
}

impl GroupMaps {
    pub(super) fn open(data: impl Fn(&'static str) -> Result<MapData>) -> Result<Self> {
        fn array<V: aya::Pod>(name: &'static str, data: MapData) -> Result<Array<MapData, V>> {
            Map::from_map_data(data).and_then(Array::try_from).map_err(|error| open_error(name, error))
        }
        Ok(Self {
            groups: typed(GROUPS, data(GROUPS)?)?,
            groups_data: data(GROUPS)?,
            sets: array(GROUP_SETS, data(GROUP_SETS)?)?,
            policies: array(GROUP_POLICIES, data(GROUP_POLICIES)?)?,
            counters: array(GROUP_COUNTERS, data(GROUP_COUNTERS)?)?,
            budgets: array(SNOOP_BUDGET, data(SNOOP_BUDGET)?)?,
        })
    }
}

impl Tables {
    /// Every group, and source of a group, and every VLAN where groups are trusted ([`GroupKey::asked`]), with the number of its set and
    /// the ports in that.
    pub fn groups(&self) -> Result<Vec<(GroupKey, u32, GroupSet)>> {
        let rows = group_numbers(&self.group_maps.groups_data)?;
        rows.into_iter().map(|(key, number)| Ok((key, number, self.group_set(number)?))).collect()
    }

    /// How many groups, and sources of groups, there are.
    pub fn group_count(&self) -> Result<u64> {
        let keys = group_numbers(&self.group_maps.groups_data)?;
        Ok(keys.iter().filter(|(key, _)| *key != GroupKey::asked(key.vlan, key.family)).count() as u64)
    }

    /// The ports behind which there are multicast routers, in any VLAN.
    pub fn routers(&self) -> Result<GroupSet> {
        self.group_set(ROUTERS)
    }

    /// Writes [`Self::routers`].
    pub fn set_routers(&mut self, routers: GroupSet) -> Result<()> {
        self.change_group(&Write::Set(ROUTERS, routers))
    }

    fn group_set(&self, number: u32) -> Result<GroupSet> {
        self.group_maps.sets.get(&number, 0).map_err(|error| read_error(GROUP_SETS, error))
    }

    /// Changes a group.
    pub fn change_group(&mut self, write: &Write) -> Result<()> {
        let maps = &mut self.group_maps;
        let failed = |error: MapError| write_error(GROUPS, error);
        match write {
            Write::Set(number, set) => {
                maps.sets.set(*number, set, 0).map_err(|error| write_error(GROUP_SETS, error))
            }
            Write::Group(key, number) => maps.groups.insert(key, number, 0).map_err(failed),
            Write::Forget(key) => absent_is_fine(maps.groups.remove(key)).map_err(failed),
        }
    }

    /// What the operator says of a port and groups. (It is written by [`Tables::set_rules`].)
    pub fn group_policy(&self, id: PortId) -> Result<GroupPolicy> {
        self.group_maps.policies.get(&id.index(), 0).map_err(|error| read_error(GROUP_POLICIES, error))
    }

    pub(super) fn set_group_policy(&mut self, id: PortId, policy: GroupPolicy) -> Result<()> {
        let policies = &mut self.group_maps.policies;
        policies.set(id.index(), policy, 0).map_err(|error| write_error(GROUP_POLICIES, error))
    }

    /// What the controller counted of a port.
    pub fn group_counters(&self, id: PortId) -> Result<GroupCounters> {
        self.group_maps.counters.get(&id.index(), 0).map_err(|error| read_error(GROUP_COUNTERS, error))
    }

    /// Writes [`Self::group_counters`].
    pub fn set_group_counters(&mut self, id: PortId, counters: GroupCounters) -> Result<()> {
        let all = &mut self.group_maps.counters;
        all.set(id.index(), counters, 0).map_err(|error| write_error(GROUP_COUNTERS, error))
    }

    /// What a port has had shown to the controller.
    pub fn snoop_budget(&self, id: PortId, kind: SnoopKind) -> Result<SnoopBudget> {
        let budgets = &self.group_maps.budgets;
        budgets.get(&budget(id, kind as u32), 0).map_err(|error| read_error(SNOOP_BUDGET, error))
    }
}

/// Every group, and the number of its set.
pub(super) fn group_numbers(groups: &MapData) -> Result<Vec<(GroupKey, u32)>> {
    batch::read::<GroupKey, u32>(groups.fd().as_fd())
        .map_err(|error| Error::ReadMap { map: GROUPS, reason: error.to_string() })
}
