//! The table of neighbours.

use std::{collections::BTreeMap, os::fd::AsFd as _};

use aya::maps::{Array, HashMap, MapData};
use bridge_common::{
    PortId,
    maps::{NEIGH_USED, NEIGHBOURS},
    neigh::{Neighbour, NeighbourKey},
};

use super::{
    Tables, batch,
    error::{Error, Result},
    tables::{absent_is_fine, typed, write_error},
};

/// The maps.
pub(super) struct NeighbourMaps {
    neighbours: HashMap<MapData, NeighbourKey, Neighbour>,
    /// The same map again: aya keeps the descriptor of the typed one to itself.
    neighbours_data: MapData,
    used: Array<MapData, u64>,
    /// As above.
    used_data: MapData,
}

impl NeighbourMaps {
    pub(super) fn open(data: impl Fn(&'static str) -> Result<MapData>) -> Result<Self> {
        Ok(Self {
            neighbours: typed(NEIGHBOURS, data(NEIGHBOURS)?)?,
            neighbours_data: data(NEIGHBOURS)?,
            used: typed(NEIGH_USED, data(NEIGH_USED)?)?,
            used_data: data(NEIGH_USED)?,
        })
    }
}

impl Tables {
    /// Every neighbour, expired ones included, in order.
    pub fn neighbours(&self) -> Result<BTreeMap<NeighbourKey, Neighbour>> {
        read(&self.neighbour_maps.neighbours_data)
    }

    /// Writes a neighbour.
    pub fn set_neighbour(&mut self, key: NeighbourKey, neighbour: Neighbour) -> Result<()> {
        let outcome = self.neighbour_maps.neighbours.insert(key, neighbour, 0);
        outcome.map_err(|error| write_error(NEIGHBOURS, error))
    }

    /// Deletes a neighbour; one that is not there is passed over.
    pub fn remove_neighbour(&mut self, key: &NeighbourKey) -> Result<()> {
        let outcome = absent_is_fine(self.neighbour_maps.neighbours.remove(key));
        outcome.map_err(|error| write_error(NEIGHBOURS, error))
    }

    /// Sets right how many neighbours count against each port's share. What is learned meanwhile may be missed, until the next time.
    pub fn recount_neighbours(&mut self) -> Result<()> {
        let mut counts = BTreeMap::<PortId, u64>::new();
        for neighbour in self.neighbours()?.values().filter(|neighbour| !neighbour.is_static()) {
            *counts.entry(neighbour.port()).or_default() += 1;
        }
        let maps = &mut self.neighbour_maps;
        let used = batch::read::<u32, u64>(maps.used_data.fd().as_fd())
            .map_err(|error| Error::ReadMap { map: NEIGH_USED, reason: error.to_string() })?;
        for (index, before) in used {
            let count = counts.get(&PortId(index as u16)).copied().unwrap_or(0);
            if before != count {
                maps.used.set(index, count, 0).map_err(|error| write_error(NEIGH_USED, error))?;
            }
        }
        Ok(())
    }
}

/// Every neighbour of a map.
pub(super) fn read(data: &MapData) -> Result<BTreeMap<NeighbourKey, Neighbour>> {
    let rows = batch::read::<NeighbourKey, Neighbour>(data.fd().as_fd());
    let rows = rows.map_err(|error| Error::ReadMap { map: NEIGHBOURS, reason: error.to_string() })?;
    Ok(rows.into_iter().collect())
}
