//! Stations that operators write, many at once: all of them, or none.

use std::collections::{BTreeMap, HashSet};

use bridge_common::{FdbEntry, FdbKey, Mac, PortId, fdb::FdbFlags, vlan::ANY_VLAN};

use super::Bridge;
use crate::{Error, Refusal, Result, clock, control::protocol::FdbRun, datapath::Station};

/// Where the operator says that a station is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Home {
    mac: Mac,
    port: PortId,
    is_static: bool,
}

impl Bridge {
    /// Writes stations that do not move. Everything that can be refused is, before anything is written.
    pub(super) fn fdb_load(&mut self, runs: &[FdbRun]) -> Result<()> {
        let new = self.wanted(runs)?;
        let rows = self.hands.tables.entries()?;
        if self.filters_vlans() {
            self.add_in_vlans(&rows, new)?;
        } else {
            self.check_room(&rows, &new)?;
            self.hands.tables.set_fixed_stations(&new, &rows)?;
        }
        // One that was learned since the table was read counts against a quota, and is not: the sweep counts anew.
        self.next_expiry = 0;
        Ok(())
    }

    /// Writes one. A table that may hold a million is read only where it matters.
    pub(super) fn fdb_add(&mut self, run: FdbRun) -> Result<()> {
        if self.filters_vlans() {
            return self.fdb_load(&[run]);
        }
        let new = self.wanted(&[run])?;
        let mut before = Vec::new();
        for station in &new {
            let entry = self.hands.tables.station(&station.key)?;
            before.extend(entry.map(|entry| Station { entry, ..*station }));
        }
        match self.hands.tables.set_fixed_stations(&new, &before) {
            Ok(()) => Ok(()),
            Err(error) => self.check_room(&self.hands.tables.entries()?, &new).and(Err(error.into())),
        }
    }

    /// The stations of these runs, in the VLANs where each is to be, once each.
    fn wanted(&self, runs: &[FdbRun]) -> Result<Vec<Station>> {
        let own = self.hands.tables.config().uplink.mac();
        let now = clock::monotonic();
        let mut places = BTreeMap::new();
        let mut stations = Vec::with_capacity(runs.iter().map(|run| run.macs.0.len()).sum());
        for run in runs {
            let name = run.ifname.as_str();
            let (port, vlans) = match places.entry((name, run.vlan)) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => {
                    let port = self.port_or_host(name)?;
                    new.insert((port, self.vlans_for(run.vlan, port, name)?))
                }
            };
            let flags = if run.sticky { FdbFlags::STICKY } else { FdbFlags::STATIC };
            let entry = FdbEntry::new(*port, flags, now);
            for mac in &run.macs.0 {
                check_address(*mac, own)?;
                stations.extend(
                    vlans.iter().map(|vlan| Station { key: FdbKey { vlan: *vlan, mac: *mac }, entry }),
                );
            }
        }
        // A stable sort: of two about one station the later is behind the earlier, and counts.
        stations.sort_by_key(|station| station.key.word());
        stations.dedup_by(|later, kept| {
            let same = later.key == kept.key;
            if same {
                *kept = *later;
            }
            same
        });
        Ok(stations)
    }

    /// The VLANs to write a station for. `vlan` 0 is, on a bridge that filters, every VLAN of the port.
    fn vlans_for(&self, vlan: u16, port: PortId, ifname: &str) -> Result<Vec<u16>> {
        if vlan > 4094 {
            return Err(Refusal::new(format!("there is no VLAN {vlan}"), "VLANs are 1 to 4094").into());
        }
        if vlan == 0 && !self.filters_vlans() {
            return Ok(vec![0]);
        }
        let parts = self.hands.tables.vlans().all()?;
        let mut vlans: Vec<_> =
            parts.into_iter().filter(|(_, vlan)| vlan.members.has(port)).map(|(vid, _)| vid).collect();
        if vlan != 0 {
            vlans.retain(|vid| *vid == vlan);
        }
        if vlans.is_empty() {
            let what = if vlan == 0 { "any VLAN".to_string() } else { format!("VLAN {vlan}") };
            let hint = format!("put it there first: xbr vlan add dev {ifname} vid VID");
            return Err(Refusal::new(format!("{ifname} is not in {what}"), hint).into());
        }
        Ok(vlans)
    }

    /// Writes stations where there are VLANs.
    fn add_in_vlans(&mut self, rows: &[Station], new: Vec<Station>) -> Result<()> {
        let homes = self.homes(&new)?;
        self.check_elsewhere(rows, &homes)?;
        // What is said of static ones in all VLANs comes first, so that no frame is learned elsewhere when the others are there. A sticky
        // one is free to be elsewhere in another VLAN.
        let anywhere = new.iter().filter(|station| station.entry.is_static());
        let mut all: Vec<_> = anywhere
            .map(|station| Station { key: FdbKey { vlan: ANY_VLAN, ..station.key }, ..*station })
            .collect();
        all.sort_by_key(|station| station.key.word());
        all.dedup_by_key(|station| station.key);
        all.extend(new);
        self.check_room(rows, &all)?;
        self.hands.tables.set_fixed_stations(&all, rows)?;
        // What was learned of them at other ports, in VLANs that were not written.
        self.delete_where(|row| {
            of(&homes, row.key.mac).iter().any(|home| home.is_static && home.port != row.entry.port())
        })?;
        // They may have been static, and be sticky now.
        self.settle_static(true)
    }

    /// A static station is behind one port, whatever the VLAN.
    fn homes(&self, new: &[Station]) -> Result<Vec<Home>, Refusal> {
        let home = |row: &Station| Home {
            mac: row.key.mac,
            port: row.entry.port(),
            is_static: row.entry.is_static(),
        };
        let mut homes: Vec<_> = new.iter().map(home).collect();
        homes.sort_unstable();
        homes.dedup();
        for of_one in homes.chunk_by(|a, b| a.mac == b.mac) {
            let Some(first) = of_one.first() else { continue };
            let other = of_one.iter().find(|home| home.port != first.port);
            if let (Some(other), true) = (other, of_one.iter().any(|home| home.is_static)) {
                let (one, two) = (self.name_of(first.port), self.name_of(other.port));
                return Err(Refusal::new(
                    format!("{} is to be static at {one} and to be at {two} too", first.mac),
                    "a static station is behind one port in all VLANs",
                ));
            }
        }
        Ok(homes)
    }

    fn check_elsewhere(&self, rows: &[Station], homes: &[Home]) -> Result<(), Refusal> {
        let is_elsewhere = |row: &&Station| {
            row.key.vlan != 0
                && row.entry.is_static()
                && of(homes, row.key.mac).iter().any(|home| home.port != row.entry.port())
        };
        match rows.iter().find(is_elsewhere) {
            None => Ok(()),
            Some(Station { key: FdbKey { mac, .. }, entry }) => Err(Refusal::new(
                format!("{mac} is static at {} already", self.name_of(entry.port())),
                format!("a station is behind one port in all VLANs; xbr fdb del {mac} forgets where"),
            )),
        }
    }

    /// Refuses what would not fit into the table.
    pub(super) fn check_room(&self, rows: &[Station], new: &[Station]) -> Result<(), Error> {
        let max = self.hands.tables.fdb_max();
        if rows.len() + new.len() <= max as usize {
            return Ok(());
        }
        let all: HashSet<_> = rows.iter().chain(new).map(|row| row.key.word()).collect();
        if all.len() <= max as usize {
            return Ok(());
        }
        let message = if rows.len() >= max as usize {
            format!("the table is full: it has all {max} stations that it can hold")
        } else {
            format!("the table can hold {max} stations, and with these it would have {}", all.len())
        };
        let hint = "flush some with xbr fdb flush, or start anew with a larger --fdb-max";
        Err(Refusal::new(message, hint).into())
    }
}

/// What is said of one station.
fn of(homes: &[Home], mac: Mac) -> &[Home] {
    let first = homes.partition_point(|home| home.mac < mac);
    let rest = homes.get(first..).unwrap_or_default();
    rest.get(..rest.partition_point(|home| home.mac == mac)).unwrap_or_default()
}

fn check_address(mac: Mac, own: Mac) -> Result<(), Refusal> {
    if !mac.is_station() {
        return Err(not_a_station(mac));
    }
    if mac == own {
        return Err(Refusal::new(
            format!("{own} is the uplink's own address, which is permanent"),
            "the host is reached by it in every VLAN; write another station",
        ));
    }
    Ok(())
}

pub(super) fn not_a_station(mac: Mac) -> Refusal {
    Refusal::new(
        format!("{mac} is no station's address"),
        "a station has an individual address: not multicast, broadcast or zero",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_one_station_is_found() {
        let home =
            |last, port| Home { mac: Mac([2, 0, 0, 0, 0, last]), port: PortId(port), is_static: false };
        let homes = [home(1, 2), home(3, 2), home(3, 4), home(5, 2)];
        let ports =
            |last| of(&homes, Mac([2, 0, 0, 0, 0, last])).iter().map(|home| home.port.0).collect::<Vec<_>>();
        assert_eq!([ports(1), ports(3), ports(5)], [vec![2], vec![2, 4], vec![2]]);
        assert!([0, 2, 9].iter().all(|last| ports(*last).is_empty()));
    }
}
