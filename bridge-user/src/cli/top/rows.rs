//! What the table says, as a pure function of two snapshots.

use std::time::Duration;

use bridge_common::{PortFlags, PortId};

use crate::{
    cli::table,
    rates::{self, short},
    snapshot::{PortRow, Snapshot},
};

/// The columns.
pub const HEADS: [&str; 9] =
    ["port", "state", "hook", "stations", "rx packet/s", "rx bit/s", "tx packet/s", "tx bit/s", "drop/s"];

/// A port's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// A text for each of [`HEADS`].
    pub cells: [String; 9],
    /// It does not forward.
    pub down: bool,
    /// It lost frames since the last look.
    pub losing: bool,
}

/// The whole table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// One line about the bridge.
    pub title: String,
    /// A line for each port.
    pub ports: Vec<Row>,
}

impl Rows {
    /// What to say of `now`. Rates need a snapshot of some time ago.
    pub fn new(before: Option<(Duration, &Snapshot)>, now: &Snapshot) -> Self {
        let stations: u64 = now.stations.values().map(|count| count.learned + count.fixed).sum();
        let ageing = match now.config.ageing / 1_000_000_000 {
            0 => "never".to_string(),
            seconds => format!("{seconds} s"),
        };
        let title = format!(
            "xbr {}   {} ports   {stations} of {} stations   ageing {ageing}",
            now.bridge,
            now.ports.len(),
            now.fdb_max
        );
        Self { title, ports: now.ports.iter().map(|port| row(before, now, port)).collect() }
    }

    /// As text, for where there is no terminal.
    pub fn text(&self) -> String {
        let lines: Vec<_> = self.ports.iter().map(|row| row.cells.to_vec()).collect();
        format!("{}\n{}", self.title, table::render(&HEADS, &lines))
    }

    /// The first line to show after a move `by` lines from `first`.
    pub fn scroll(&self, first: usize, by: isize) -> usize {
        first.saturating_add_signed(by).min(self.ports.len().saturating_sub(1))
    }
}

fn row(before: Option<(Duration, &Snapshot)>, now: &Snapshot, port: &PortRow) -> Row {
    let rates = before.and_then(|(time, before)| {
        let old = before.ports.iter().find(|old| old.id == port.id)?;
        Some(rates::between(old, port, time))
    });
    let rate = |of: fn(rates::Rates) -> f64| rates.map_or("-".to_string(), |rates| short(of(rates)));
    let count = now.stations.get(&port.id).copied().unwrap_or_default();
    let hook = match port.id {
        PortId::HOST => "-",
        _ if port.port.flags.has(PortFlags::XDP) => "xdp",
        _ => "tc",
    };
    let down = !port.port.is_up();
    Row {
        cells: [
            port.name.clone(),
            if down { "disabled" } else { "forwarding" }.into(),
            hook.into(),
            (count.learned + count.fixed).to_string(),
            rate(|rates| rates.rx_packets),
            rate(|rates| rates.rx_bytes * 8.0),
            rate(|rates| rates.tx_packets),
            rate(|rates| rates.tx_bytes * 8.0),
            rate(|rates| rates.drops),
        ],
        down,
        losing: rates.is_some_and(|rates| rates.drops > 0.0),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::snapshot::tests::sample;

    /// A second of traffic at `vm1`, with drops.
    pub fn busy() -> Rows {
        let before = sample();
        let mut now = sample();
        let counters = &mut now.ports[2].counters;
        counters.rx_packets += 12_345;
        counters.rx_bytes += 15_000_000;
        counters.drops[0] += 2;
        Rows::new(Some((Duration::from_secs(1), &before)), &now)
    }

    #[test]
    fn the_table_is_text_where_there_is_no_terminal() {
        insta::assert_snapshot!(busy().text(), @r"
        xbr xbr0   4 ports   3 of 65536 stations   ageing 300 s
        port   state       hook  stations  rx packet/s  rx bit/s  tx packet/s  tx bit/s  drop/s
        host   forwarding  -            0            0         0            0         0       0
        eth0   forwarding  xdp          0            0         0            0         0       0
        vm1    forwarding  tc           3        12.3k      120M            0         0       2
        veth1  disabled    xdp          0            0         0            0         0       0
        ");
    }

    #[test]
    fn the_first_look_has_no_rates() {
        let rows = Rows::new(None, &sample());
        assert!(rows.ports.iter().all(|row| row.cells[4..].iter().all(|cell| cell == "-")));
    }

    #[test]
    fn scrolling_stays_within_the_table() {
        let rows = busy();
        assert_eq!((rows.scroll(0, -1), rows.scroll(0, 1), rows.scroll(2, 10)), (0, 1, 3));
        assert_eq!(Rows { ports: Vec::new(), ..rows }.scroll(5, 0), 0);
    }
}
