//! What operators wrote into the FDB, in the VLANs of a bridge that filters and without.
//!
//! Without filtering every station is in VLAN 0. With it a static station has an entry for each VLAN it was written for, and
//! one of [`ANY_VLAN`] that tells the programs where it is in all of them: it is learned nowhere else, whatever the VLAN.

use std::collections::{BTreeMap, HashSet};

use bridge_common::{FdbEntry, FdbKey, vlan::ANY_VLAN};

use super::Bridge;
use crate::{Result, datapath::Station};

impl Bridge {
    /// Writes what operators wrote in the terms of the other regime, beside what is there.
    pub(super) fn translate_static(&mut self, filters: bool) -> Result<()> {
        let mut rows = self.hands.tables.entries()?;
        let parts = self.hands.tables.vlans().all()?;
        let known: HashSet<_> = rows.iter().filter(|row| row.entry.is_fixed()).map(|row| row.key).collect();
        let mut new = BTreeMap::new();
        for row in rows.iter().filter(|row| row.entry.is_fixed() && row.key.vlan != ANY_VLAN) {
            let vlans: Vec<u16> = match (filters, row.key.vlan) {
                (true, 0) => {
                    let of_port = parts.iter().filter(|(_, vlan)| vlan.members.has(row.entry.port()));
                    of_port.map(|(vid, _)| *vid).collect()
                }
                (false, 1..) => vec![0],
                _ => continue,
            };
            let keys = vlans.into_iter().map(|vlan| FdbKey { vlan, mac: row.key.mac });
            new.extend(keys.filter(|key| !known.contains(key)).map(|key| (key, row.entry)));
        }
        let new: Vec<_> = new.into_iter().map(|(key, entry)| Station { key, entry }).collect();
        if self.check_room(&rows, &new).is_err() {
            // Learned ones are to go anyway; a moment early they only cost a flood.
            self.delete_where(|row| !row.entry.is_fixed())?;
            rows = self.hands.tables.entries()?;
            self.check_room(&rows, &new)?;
        }
        self.hands.tables.set_fixed_stations(&new, &rows)?;
        if filters { self.settle_static(true) } else { Ok(()) }
    }

    /// Makes the entries of [`ANY_VLAN`] those that the static stations call for.
    pub(super) fn settle_static(&mut self, filters: bool) -> Result<()> {
        let rows = self.hands.tables.entries()?;
        let mut wanted: BTreeMap<FdbKey, FdbEntry> = rows
            .iter()
            .filter(|row| filters && row.entry.is_static() && !matches!(row.key.vlan, 0 | ANY_VLAN))
            .map(|row| (FdbKey { vlan: ANY_VLAN, mac: row.key.mac }, row.entry))
            .collect();
        let mut stale = Vec::new();
        for row in rows.iter().filter(|row| row.key.vlan == ANY_VLAN) {
            match wanted.get(&row.key) {
                Some(entry) if entry.port() == row.entry.port() => drop(wanted.remove(&row.key)),
                Some(_) => {}
                None => stale.push(row.key),
            }
        }
        let missing: Vec<_> = wanted.into_iter().map(|(key, entry)| Station { key, entry }).collect();
        self.hands.tables.set_stations(&missing)?;
        Ok(self.hands.tables.remove_stations(&stale)?)
    }
}
