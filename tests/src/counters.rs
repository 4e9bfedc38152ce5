//! What xbr counted, as numbers that tests compare.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Xbr;

/// Frames and their bytes, L2 header included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Frames.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// One row of `xbr stats -j`, without the zeroes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// What came in.
    pub rx: Traffic,
    /// What went out.
    pub tx: Traffic,
    /// What went nowhere, by reason.
    pub drops: BTreeMap<String, u64>,
    /// What XDP left to TC, by reason.
    pub slow: BTreeMap<String, u64>,
    /// Stations learned.
    pub learned: u64,
    /// Stations that moved here.
    pub moved: u64,
}

impl Traffic {
    /// Adds one frame.
    pub fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

impl Counters {
    fn of(row: &Value) -> Counters {
        let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("no number: {value} in {row}"));
        let traffic =
            |key: &str| Traffic { packets: number(&row[key]["packets"]), bytes: number(&row[key]["bytes"]) };
        let reasons = |key: &str| {
            let all = row[key].as_object().unwrap_or_else(|| panic!("no {key} in {row}"));
            let all = all.iter().map(|(reason, count)| (reason.clone(), number(count)));
            all.filter(|(_, count)| *count > 0).collect()
        };
        Counters {
            rx: traffic("rx"),
            tx: traffic("tx"),
            drops: reasons("drops"),
            slow: reasons("slow_path"),
            learned: number(&row["learned"]),
            moved: number(&row["moved"]),
        }
    }

    /// What was counted since `before`.
    pub fn since(&self, before: &Counters) -> Counters {
        let traffic = |now: Traffic, then: Traffic| Traffic {
            packets: now.packets - then.packets,
            bytes: now.bytes - then.bytes,
        };
        let reasons = |now: &BTreeMap<String, u64>, then: &BTreeMap<String, u64>| {
            let less =
                now.iter().map(|(reason, count)| (reason.clone(), count - then.get(reason).unwrap_or(&0)));
            less.filter(|(_, count)| *count > 0).collect()
        };
        Counters {
            rx: traffic(self.rx, before.rx),
            tx: traffic(self.tx, before.tx),
            drops: reasons(&self.drops, &before.drops),
            slow: reasons(&self.slow, &before.slow),
            learned: self.learned - before.learned,
            moved: self.moved - before.moved,
        }
    }

    /// Drops of one reason.
    pub fn dropped(&self, reason: &str) -> u64 {
        self.drops.get(reason).copied().unwrap_or(0)
    }

    /// Frames that XDP left to TC for one reason.
    pub fn slowed(&self, reason: &str) -> u64 {
        self.slow.get(reason).copied().unwrap_or(0)
    }

    /// Frames that came in at a port with XDP and that TC did not see. Exact as long as none of them was a chain of segments, which
    /// is one frame to XDP and several to the counter of what came in.
    pub fn by_xdp(&self) -> u64 {
        self.rx.packets.saturating_sub(self.slow.values().sum())
    }
}

/// The counters of all ports, by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AllCounters(BTreeMap<String, Counters>);

impl AllCounters {
    /// To write down what ought to be counted.
    pub fn at(&mut self, port: &str) -> &mut Counters {
        self.0.entry(port.to_owned()).or_default()
    }

    /// What was counted since `before`.
    pub fn since(&self, before: &AllCounters) -> AllCounters {
        let rows = self.0.iter().map(|(port, now)| (port.clone(), now.since(&before.of(port))));
        AllCounters(rows.collect())
    }

    /// Those of one port; zeroes for one that is not there.
    pub fn of(&self, port: &str) -> Counters {
        self.0.get(port).cloned().unwrap_or_default()
    }

    /// All ports' drops together, by reason.
    pub fn drops(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for (reason, count) in self.0.values().flat_map(|row| &row.drops) {
            *sums.entry(reason.clone()).or_default() += count;
        }
        sums
    }
}

impl Xbr {
    /// The counters of one port.
    #[track_caller]
    pub fn counters(&self, port: &str) -> Counters {
        Counters::of(&self.stats(port))
    }

    /// The counters of every port, read at once.
    #[track_caller]
    pub fn all_counters(&self) -> AllCounters {
        let rows = self.json("stats");
        let rows = rows.as_array().unwrap_or_else(|| panic!("xbr stats -j is no list: {rows}"));
        let name =
            |row: &Value| row["ifname"].as_str().unwrap_or_else(|| panic!("no ifname: {row}")).to_owned();
        AllCounters(rows.iter().map(|row| (name(row), Counters::of(row))).collect())
    }
}
