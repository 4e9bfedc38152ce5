//! From tables of another layout to those of this one.
//!
//! Most layouts differ in one map (a larger FDB, one more counter), so each map is judged on its own: what has
//! the shape that we know is carried over, and what has not begins empty.

use std::{cmp::Reverse, collections::BTreeSet};

use aya::maps::{Array, Map, MapData, MapError};
use bridge_common::{
    FdbEntry, FdbKey, Policy, Port, PortId,
    config::ConfigFlags,
    maps,
    multicast::{GroupPolicy, GroupSet, ROUTERS},
    policy::Source,
    port::MAX_PORTS,
    record::{BridgeRecord, PortRecord},
};

use super::{
    PinDir, Rules, Station, Tables, batch,
    error::{Error, Result, words},
    groups, layout, neighbours,
    state::Shared,
    vlans,
};
use crate::multicast::Write;
use std::os::fd::AsFd as _;

/// Fills `tables` with what the old ones of this bridge hold.
pub fn over(pins: &PinDir, object: &[u8], tables: &mut Tables) -> Result<()> {
    let old = Old { pins, object };
    let has_groups = carry_groups(&old, tables)?;
    if let Some(state) = old.open(maps::STATE)? {
        let mut config = Shared::open(&state)?.config();
        // Where groups begin empty, nobody is to be taken for in none.
        if !has_groups {
            let known = ConfigFlags(ConfigFlags::MCAST_QUERIER_V4.0 | ConfigFlags::MCAST_QUERIER_V6.0);
            config.flags = config.flags.with(known, false);
        }
        tables.set_config(config)?;
    }
    if let Some(bridge) = old.array::<BridgeRecord>(maps::BRIDGE)? {
        tables.set_bridge(get(&bridge, maps::BRIDGE, 0)?)?;
    }
    carry_vlans(&old, tables)?;
    carry_policies(&old, tables)?;
    let (records, ports) = (old.array::<PortRecord>(maps::RECORDS)?, old.array::<Port>(maps::PORTS)?);
    if let (Some(records), Some(ports)) = (records, ports) {
        for id in (0..MAX_PORTS).map(|index| PortId(index as u16)) {
            let (record, port) =
                (get(&records, maps::RECORDS, id.index())?, get(&ports, maps::PORTS, id.index())?);
            // A word's policy lies in another map, which may have been carried over or not.
            tables.set_facts(id, port)?;
            if !record.name().is_empty() {
                tables.set_record(id, record)?;
                tables.set_port_of(port.ifindex, Some(id))?;
            }
        }
    }
    if old.pins.map(maps::JOINED).exists()
        && let Some(joined) = old.array::<u64>(maps::JOINED)?
    {
        for id in (0..MAX_PORTS).map(|index| PortId(index as u16)) {
            tables.set_joined(id, get(&joined, maps::JOINED, id.index())?)?;
        }
    }
    if old.pins.map(maps::NEIGHBOURS).exists()
        && let Some(data) = old.open(maps::NEIGHBOURS)?
    {
        for (key, neighbour) in neighbours::read(&data)? {
            tables.set_neighbour(key, neighbour)?;
        }
        tables.recount_neighbours()?;
    }
    carry_stations(&old, tables)
}

/// Who is in which group. False if that begins empty.
fn carry_groups(old: &Old<'_>, tables: &mut Tables) -> Result<bool> {
    if !old.pins.map(maps::GROUPS).exists() {
        return Ok(false);
    }
    let (groups, sets) = (old.open(maps::GROUPS)?, old.array::<GroupSet>(maps::GROUP_SETS)?);
    let (Some(groups), Some(sets)) = (groups, sets) else { return Ok(false) };
    tables.set_routers(get(&sets, maps::GROUP_SETS, ROUTERS)?)?;
    for (key, number) in groups::group_numbers(&groups)? {
        tables.change_group(&Write::Set(number, get(&sets, maps::GROUP_SETS, number)?))?;
        tables.change_group(&Write::Group(key, number))?;
    }
    Ok(true)
}

/// Before ports and their words: a port without its VLANs would be cut off.
fn carry_vlans(old: &Old<'_>, tables: &mut Tables) -> Result<()> {
    let Some(vlans) = old.open(maps::VLANS)? else { return Ok(()) };
    for (vid, vlan) in vlans::with_members(&vlans)? {
        for id in (0..MAX_PORTS).map(|index| PortId(index as u16)).filter(|id| vlan.members.has(*id)) {
            tables.vlans_mut()?.set_part(vid, id, vlan.membership(id))?;
        }
    }
    Ok(())
}

/// What ports are allowed. How many stations count against their quotas is counted at the adoption.
fn carry_policies(old: &Old<'_>, tables: &mut Tables) -> Result<()> {
    if !old.pins.map(maps::POLICIES).exists() {
        return Ok(());
    }
    let mut sources = BTreeSet::new();
    if let Some(data) = old.open(maps::SOURCES)? {
        let rows = batch::read::<Source, u32>(data.fd().as_fd())
            .map_err(|error| Error::ReadMap { map: maps::SOURCES, reason: error.to_string() })?;
        sources.extend(rows.into_iter().map(|(source, _)| source));
    }
    let Some(policies) = old.array::<Policy>(maps::POLICIES)? else { return Ok(()) };
    let of_groups = match old.pins.map(maps::GROUP_POLICIES).exists() {
        true => old.array::<GroupPolicy>(maps::GROUP_POLICIES)?,
        false => None,
    };
    for id in (0..MAX_PORTS).map(|index| PortId(index as u16)) {
        let policy = get(&policies, maps::POLICIES, id.index())?;
        let own = sources.iter().filter(|source| source.port == id.0).copied().collect();
        let groups = match &of_groups {
            Some(policies) => get(policies, maps::GROUP_POLICIES, id.index())?,
            None => GroupPolicy::default(),
        };
        if policy != Policy::default() || groups != GroupPolicy::default() {
            tables.set_rules(id, &Rules { policy, sources: own, groups }, None)?;
        }
    }
    Ok(())
}

fn carry_stations(old: &Old<'_>, tables: &mut Tables) -> Result<()> {
    let Some(data) = old.open(maps::FDB)? else { return Ok(()) };
    let mut rows = batch::read::<FdbKey, FdbEntry>(data.fd().as_fd())
        .map_err(|error| Error::ReadMap { map: maps::FDB, reason: error.to_string() })?;
    // Should the new table be smaller: the operator's own first, then who spoke last.
    rows.sort_by_key(|(_, entry)| (!entry.is_static(), Reverse(entry.last_seen)));
    rows.truncate(tables.fdb_max() as usize);
    let stations: Vec<_> = rows.into_iter().map(|(key, entry)| Station { key, entry }).collect();
    tables.set_stations(&stations)
}

struct Old<'a> {
    pins: &'a PinDir,
    object: &'a [u8],
}

impl Old<'_> {
    /// The old map, if it has the shape that we know.
    fn open(&self, map: &'static str) -> Result<Option<MapData>> {
        if !layout::is_known(self.pins, self.object, map)? {
            tracing::warn!(map, "made by another version of xbr in another shape; it begins empty");
            return Ok(None);
        }
        let data = MapData::from_pin(self.pins.map(map));
        data.map(Some).map_err(|error| Error::OpenMap { map, reason: words(&error) })
    }

    fn array<V: aya::Pod>(&self, map: &'static str) -> Result<Option<Array<MapData, V>>> {
        let Some(data) = self.open(map)? else { return Ok(None) };
        let array = Map::from_map_data(data).and_then(Array::try_from);
        array.map(Some).map_err(|error: MapError| Error::OpenMap { map, reason: words(&error) })
    }
}

fn get<V: aya::Pod>(array: &Array<MapData, V>, map: &'static str, index: u32) -> Result<V> {
    array.get(&index, 0).map_err(|error| Error::ReadMap { map, reason: words(&error) })
}
