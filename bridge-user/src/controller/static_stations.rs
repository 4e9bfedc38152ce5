//! What operators write into the FDB, in the VLANs of a bridge that filters and without.
//!
//! Without filtering every station is in VLAN 0. With it a static station has an entry for each VLAN it was written for, and
//! one of [`ANY_VLAN`] that tells the programs where it is in all of them: it is learned nowhere else, whatever the VLAN.

use std::collections::{BTreeMap, BTreeSet};

use bridge_common::{FdbEntry, FdbKey, Mac, PortId, fdb::FdbFlags, vlan::ANY_VLAN};

use super::Bridge;
use crate::{Error, Refusal, Result, clock, datapath::Station};

impl Bridge {
    /// Writes stations that do not move, whose addresses have blanks between them. `vlan` 0 is, on a bridge that filters, every VLAN of
    /// their port.
    pub(super) fn fdb_add(&mut self, macs: &str, vlan: u16, ifname: &str, sticky: bool) -> Result<()> {
        let macs = macs.split(' ').map(|mac| Ok(super::fdb::station_key(mac, vlan)?.mac));
        let macs = macs.collect::<Result<BTreeSet<Mac>>>()?;
        let own = self.hands.tables.config()?.uplink.mac();
        if macs.contains(&own) {
            return Err(Refusal::new(
                format!("{own} is the uplink's own address, which is permanent"),
                "the host is reached by it in every VLAN; write another station",
            )
            .into());
        }
        let port = self.port_or_host(ifname)?;
        let flags = if sticky { FdbFlags::STICKY } else { FdbFlags::STATIC };
        let entry = FdbEntry::new(port, flags, clock::monotonic());
        let stations = |vlan| macs.iter().map(move |mac| Station { key: FdbKey { vlan, mac: *mac }, entry });
        let new: Vec<_> = self.vlans_for(vlan, port, ifname)?.into_iter().flat_map(stations).collect();
        if self.filters_vlans()? {
            // It is free to be elsewhere in another VLAN.
            let anywhere = if sticky { Vec::new() } else { stations(ANY_VLAN).collect() };
            return self.add_in_vlans(&macs, port, anywhere, &new);
        }
        match self.hands.tables.set_fixed_stations(&new) {
            Ok(()) => Ok(()),
            // The table is read where it matters: there may be a million to write, and each a request.
            Err(error) => self.check_room(&self.hands.tables.entries()?, &new).and(Err(error.into())),
        }
    }

    /// Writes stations where there are VLANs. `all` is what is said of all of them, nothing for sticky ones; it comes first, so that no
    /// frame is learned elsewhere when the others are there.
    fn add_in_vlans(
        &mut self,
        macs: &BTreeSet<Mac>,
        port: PortId,
        mut all: Vec<Station>,
        new: &[Station],
    ) -> Result<()> {
        let rows = self.hands.tables.entries()?;
        self.check_elsewhere(&rows, macs, port)?;
        let sticky = all.is_empty();
        all.extend(new);
        self.check_room(&rows, &all)?;
        self.hands.tables.set_fixed_stations(&all)?;
        if !sticky {
            // What was learned of them at other ports, in VLANs that were not written.
            self.delete_where(|row| macs.contains(&row.key.mac) && row.entry.port() != port)?;
        }
        // They may have been static, and be sticky now.
        self.settle_static(true)
    }

    /// The VLANs to write a station for.
    fn vlans_for(&self, vlan: u16, port: PortId, ifname: &str) -> Result<Vec<u16>> {
        if vlan == 0 && !self.filters_vlans()? {
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

    /// A static station is behind one port, whatever the VLAN.
    fn check_elsewhere(&self, rows: &[Station], macs: &BTreeSet<Mac>, port: PortId) -> Result<(), Refusal> {
        let is_elsewhere = |row: &&Station| {
            row.key.vlan != 0
                && row.entry.is_static()
                && row.entry.port() != port
                && macs.contains(&row.key.mac)
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
    fn check_room(&self, rows: &[Station], new: &[Station]) -> Result<(), Error> {
        let known: BTreeSet<_> = rows.iter().map(|row| row.key).collect();
        let more = new.iter().filter(|new| !known.contains(&new.key)).count();
        let max = self.hands.tables.fdb_max();
        if rows.len() + more <= max as usize {
            return Ok(());
        }
        let hint = "flush some with xbr fdb flush, or start anew with a larger --fdb-max";
        let message = format!("the table is full: it has all {max} stations that it can hold");
        Err(Refusal::new(message, hint).into())
    }

    /// Writes what operators wrote in the terms of the other regime, beside what is there.
    pub(super) fn translate_static(&mut self, filters: bool) -> Result<()> {
        let rows = self.hands.tables.entries()?;
        let parts = self.hands.tables.vlans().all()?;
        let known: BTreeSet<_> = rows.iter().filter(|row| row.entry.is_fixed()).map(|row| row.key).collect();
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
            self.check_room(&self.hands.tables.entries()?, &new)?;
        }
        self.hands.tables.set_fixed_stations(&new)?;
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
