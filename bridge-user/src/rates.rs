//! What two snapshots say of the time between them.

use std::time::Duration;

use serde::Serialize;

use crate::snapshot::PortRow;

/// What a port did in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Frames that came in.
    pub rx_packets: f64,
    /// Their bytes.
    pub rx_bytes: f64,
    /// Frames that went out.
    pub tx_packets: f64,
    /// Their bytes.
    pub tx_bytes: f64,
    /// Frames dropped, for whatever reason, those of the device included.
    pub drops: f64,
}

/// A port's rates. A counter that runs backwards (a new port under an old number) counts from zero, and so
/// does a port of another name.
pub fn between(before: &PortRow, after: &PortRow, time: Duration) -> Rates {
    let seconds = time.as_secs_f64();
    if seconds <= 0.0 {
        return Rates::default();
    }
    let same = before.name == after.name;
    let rate = |from: u64, to: u64| {
        let from = if same && from <= to { from } else { 0 };
        (to - from) as f64 / seconds
    };
    let (old, new) = (&before.counters, &after.counters);
    let lost = |row: &PortRow| {
        let device = row.counters.device_refused.saturating_add(row.device_tx_dropped().unwrap_or(0));
        row.drops().saturating_add(device)
    };
    Rates {
        rx_packets: rate(old.rx_packets, new.rx_packets),
        rx_bytes: rate(old.rx_bytes, new.rx_bytes),
        tx_packets: rate(old.tx_packets, new.tx_packets),
        tx_bytes: rate(old.tx_bytes, new.tx_bytes),
        drops: rate(lost(before), lost(after)),
    }
}

/// A number with at most four digits and a unit: 999, 1.23k, 45.6M.
pub fn short(value: f64) -> String {
    let (mut value, mut unit) = (value.max(0.0), 0);
    const UNITS: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        _ if unit == 0 => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::sample;
    use proptest::prelude::*;

    #[test]
    fn rates_are_per_second() {
        let before = sample().ports[2].clone();
        let mut after = before.clone();
        after.counters.rx_packets += 100;
        after.counters.rx_bytes += 6400;
        let rates = between(&before, &after, Duration::from_secs(2));
        assert_eq!((rates.rx_packets, rates.rx_bytes, rates.tx_packets), (50.0, 3200.0, 0.0));
        assert_eq!(between(&before, &after, Duration::ZERO), Rates::default());
    }

    #[test]
    fn a_new_port_counts_from_zero() {
        let before = sample().ports[2].clone();
        let mut after = before.clone();
        after.counters.rx_packets = 10;
        assert_eq!(between(&before, &after, Duration::from_secs(1)).rx_packets, 10.0);
    }

    #[test]
    fn short_numbers_have_a_unit() {
        let texts = [0.0, 7.4, 999.4, 999.6, 1234.0, 12_345.0, 123_456.0, 9_999_999.0].map(short);
        assert_eq!(texts, ["0", "7", "999", "1.00k", "1.23k", "12.3k", "123k", "10.0M"]);
    }

    proptest! {
        #[test]
        fn short_numbers_are_short(value in 0.0..1e20) {
            prop_assert!(short(value).len() <= 6, "{}", short(value));
        }
    }
}
