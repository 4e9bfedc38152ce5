//! What the kernel reports of stations, and what operators delete of them.

use bridge_common::{FdbEntry, FdbEvent, FdbEventKind, FdbKey, Mac, PortId, fdb::FdbFlags};

use super::Bridge;
use crate::{Refusal, Result, control::Event, datapath::Station};

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

    /// Deletes a station, learned or static. `vlan` 0 is, on a bridge that filters, every VLAN.
    pub(super) fn fdb_del(&mut self, mac: &str, vlan: u16, ifname: Option<&str>) -> Result<()> {
        let key = station_key(mac, vlan)?;
        let port = ifname.map(|name| self.port_or_host(name)).transpose()?;
        let filters = self.filters_vlans();
        let count = self.delete_where(|row| {
            row.key.mac == key.mac
                && (row.key.vlan == key.vlan || filters && vlan == 0)
                && port.is_none_or(|port| port == row.entry.port())
        })?;
        if count == 0 {
            return Err(Refusal::new(format!("there is no station {mac}"), "xbr fdb show lists them").into());
        }
        self.settle_static(filters)
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

    /// A port by name, the host included.
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

pub(super) fn station_key(mac: &str, vlan: u16) -> Result<FdbKey> {
    let parsed: Mac =
        mac.parse().map_err(|error| Refusal { message: format!("{mac:?} is {error}"), hint: None })?;
    if !parsed.is_station() {
        return Err(super::load::not_a_station(parsed).into());
    }
    if vlan > 4094 {
        return Err(Refusal::new(format!("there is no VLAN {vlan}"), "VLANs are 1 to 4094").into());
    }
    Ok(FdbKey { vlan, mac: parsed })
}
