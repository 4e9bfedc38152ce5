//! What the kernel reports of stations, and what operators write about them.

use bridge_common::{FdbEntry, FdbEvent, FdbEventKind, FdbKey, Mac, PortId, fdb::FdbFlags};

use super::Bridge;
use crate::{Refusal, Result, clock, control::Event, datapath::Station};

impl Bridge {
    /// Does what the kernel's events ask for, and passes them on.
    pub(super) fn report(&mut self, events: &[FdbEvent]) -> Result<()> {
        self.pass_on(events);
        self.stop_senders(events)
    }

    fn pass_on(&self, events: &[FdbEvent]) {
        if self.news.receiver_count() == 0 {
            return;
        }
        for event in events {
            let Some(kind) = FdbEventKind::from_raw(event.kind) else { continue };
            let row =
                Station { key: event.key, entry: FdbEntry::new(event.port, FdbFlags::default(), event.time) };
            let plain = || self.station_event(&row, None);
            self.tell(match kind {
                FdbEventKind::Learned => Event::Learned(plain()),
                FdbEventKind::Moved => Event::Moved(self.station_event(&row, Some(event.from))),
                FdbEventKind::RefusedFull => Event::RefusedFull(plain()),
                FdbEventKind::RefusedStatic => {
                    Event::RefusedStatic(self.station_event(&row, Some(event.from)))
                }
                FdbEventKind::RefusedQuota => Event::RefusedQuota(plain()),
                FdbEventKind::RefusedFlap => Event::RefusedFlap(self.station_event(&row, Some(event.from))),
                FdbEventKind::Bpdu => Event::Bpdu(plain()),
            });
        }
    }

    /// Writes a static station.
    pub(super) fn fdb_add(&mut self, mac: &str, vlan: u16, ifname: &str) -> Result<()> {
        let key = station_key(mac, vlan)?;
        if key.mac == self.hands.tables.config()?.uplink_mac {
            return Err(Refusal::new(
                format!("{mac} is the uplink's own address, which is permanent"),
                "the host is reached by it in every VLAN; write another station",
            )
            .into());
        }
        let port = self.port_or_host(ifname)?;
        let entry = FdbEntry::new(port, FdbFlags::STATIC, clock::monotonic());
        let before = self.hands.tables.station(&key)?;
        match self.hands.tables.set_station(&Station { key, entry }) {
            Err(_) if self.is_full(&key)? => {
                let max = self.hands.tables.fdb_max();
                let hint = "flush some with xbr fdb flush, or start anew with a larger --fdb-max";
                Err(Refusal::new(
                    format!("the table is full: it has all {max} stations that it can hold"),
                    hint,
                )
                .into())
            }
            outcome => {
                outcome?;
                // A learned one that became static counts against no quota any more.
                let learned = before.filter(|before| !before.is_static());
                Ok(learned.map_or(Ok(()), |before| self.hands.tables.count_forgotten(before.port(), 1))?)
            }
        }
    }

    /// Whether a station that is not there yet finds no room.
    fn is_full(&self, key: &FdbKey) -> Result<bool> {
        let tables = &self.hands.tables;
        Ok(tables.station(key)?.is_none() && tables.stations()?.len() >= tables.fdb_max() as usize)
    }

    /// Deletes a station, learned or static.
    pub(super) fn fdb_del(&mut self, mac: &str, vlan: u16, ifname: Option<&str>) -> Result<()> {
        let key = station_key(mac, vlan)?;
        let port = ifname.map(|name| self.port_or_host(name)).transpose()?;
        let found = self.hands.tables.station(&key)?;
        match found {
            Some(entry) if port.is_none_or(|port| port == entry.port()) => {
                self.delete_where(|row| row.key == key)?;
                Ok(())
            }
            _ => Err(Refusal::new(format!("there is no station {mac}"), "xbr fdb show lists them").into()),
        }
    }

    /// Deletes learned stations and says how many.
    pub(super) fn fdb_flush(&mut self, ifname: Option<&str>, vlan: Option<u16>) -> Result<usize> {
        let port = ifname.map(|name| self.port_or_host(name)).transpose()?;
        self.delete_where(|row| {
            !row.entry.is_static()
                && port.is_none_or(|port| port == row.entry.port())
                && vlan.is_none_or(|vlan| vlan == row.key.vlan)
        })
    }

    pub(super) fn port_or_host(&self, ifname: &str) -> Result<PortId> {
        if ifname == "host" {
            return Ok(PortId::HOST);
        }
        self.port_named(ifname).ok_or_else(|| {
            Refusal::new(
                format!("{ifname} is no port of bridge {}", self.settings.bridge),
                "xbr port show lists the ports; the host is `host`",
            )
            .into()
        })
    }
}

fn station_key(mac: &str, vlan: u16) -> Result<FdbKey> {
    let parsed: Mac =
        mac.parse().map_err(|error| Refusal { message: format!("{mac:?} is {error}"), hint: None })?;
    if !parsed.is_station() {
        return Err(Refusal::new(
            format!("{mac} is no station's address"),
            "a station has an individual address: not multicast, broadcast or zero",
        )
        .into());
    }
    if vlan > 4094 {
        return Err(Refusal::new(format!("there is no VLAN {vlan}"), "VLANs are 1 to 4094").into());
    }
    Ok(FdbKey { vlan, mac: parsed })
}
