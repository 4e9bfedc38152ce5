//! Freeing the memory of expired stations. The programs take an expired entry for none whether it is there
//! or not, so this is about room, and about telling those who watch.

use bridge_common::PortId;

use super::Bridge;
use crate::{
    Result, clock,
    control::{Event, protocol::StationEvent},
    datapath::Station,
};

impl Bridge {
    /// Called every second. It reads the table only when something can have expired: no station expires
    /// earlier than the oldest one that the last reading saw.
    pub(super) fn sweep(&mut self) -> Result<()> {
        let ageing = self.hands.tables.config().ageing;
        let now = clock::monotonic();
        if ageing == 0 || now < self.next_expiry {
            return Ok(());
        }
        let began = clock::processor();
        let ports = self.numbers();
        let mut expired = self.hands.tables.recount(&ports)?;
        let count = expired.len();
        let mut oldest = None;
        expired.retain(|row| {
            let gone = row.entry.is_expired(now, ageing);
            if !gone && !row.entry.is_static() {
                oldest = Some(oldest.unwrap_or(u64::MAX).min(row.entry.last_seen));
            }
            gone
        });
        self.next_expiry = oldest.unwrap_or(now).saturating_add(ageing);
        self.hands.tables.forget_stations(&expired)?;
        self.tell_gone(&expired);
        let microseconds = (clock::processor() - began) / 1000;
        tracing::debug!(stations = count, expired = expired.len(), microseconds, "swept");
        Ok(())
    }

    /// Deletes what was learned behind a port, as the Linux bridge does when one goes down.
    pub(super) fn flush_learned(&mut self, id: PortId) -> Result<usize> {
        self.delete_where(|row| row.entry.port() == id && !row.entry.is_static())
    }

    /// Deletes the stations that `wanted` names, and says how many.
    pub(super) fn delete_where(&mut self, wanted: impl Fn(&Station) -> bool) -> Result<usize> {
        let mut rows = self.hands.tables.stations()?;
        rows.retain(wanted);
        self.hands.tables.forget_stations(&rows)?;
        self.tell_gone(&rows);
        Ok(rows.len())
    }

    /// The numbers of all ports, the host's and those of ports whose device is away included.
    pub(super) fn numbers(&self) -> Vec<PortId> {
        [PortId::HOST]
            .into_iter()
            .chain(self.members.keys().copied())
            .chain(self.absent.keys().copied())
            .collect()
    }

    fn tell_gone(&self, rows: &[Station]) {
        if self.news.receiver_count() == 0 {
            return;
        }
        for row in rows {
            self.tell(Event::Gone(self.station_event(row, None)));
        }
    }

    pub(super) fn station_event(&self, row: &Station, from: Option<PortId>) -> StationEvent {
        StationEvent {
            mac: row.key.mac.to_string(),
            vlan: (row.key.vlan != 0).then_some(row.key.vlan),
            ifname: self.name_of(row.entry.port()),
            from: from.map(|id| self.name_of(id)),
        }
    }
}
