//! Where frames get lost that no switch drops: every place where the kernel and the lab count some.

use std::collections::BTreeMap;

use serde_json::Value;
use xbr_lab::{Direction, Namespace};

use crate::scene::Scene;

/// What was counted at one moment, by place.
pub struct Losses(BTreeMap<String, u64>);

impl Losses {
    /// All that is counted now.
    pub fn now(scene: &Scene) -> Losses {
        let mut all = Losses(BTreeMap::new());
        all.switch(&scene.bridge.json("stats"));
        for node in scene.segment.nodes() {
            all.namespace(&node.ns);
        }
        for number in 1..=scene.segment.guests().count() {
            for direction in [Direction::FromGuest, Direction::ToGuest] {
                let refused = scene.segment.crossed(number, direction).refused;
                all.note(format!("relay {number} {direction:?} refused"), refused);
            }
        }
        all.backlogs();
        all
    }

    /// What has grown since `before`, in words.
    pub fn since(&self, before: &Losses) -> String {
        let grown = self.0.iter().filter_map(|(place, now)| {
            let more = now - before.0.get(place).unwrap_or(&0);
            (more > 0).then(|| format!("{place}: {more}"))
        });
        grown.collect::<Vec<_>>().join(", ")
    }

    fn note(&mut self, place: String, count: u64) {
        self.0.insert(place, count);
    }

    /// What xbr counts at each port, but for what came and left.
    fn switch(&mut self, stats: &Value) {
        for row in stats.as_array().into_iter().flatten() {
            let port = row["ifname"].as_str().unwrap_or_default();
            for (key, value) in row.as_object().into_iter().flatten() {
                if !["rx", "tx", "slow_path"].contains(&key.as_str()) {
                    self.numbers(&format!("{port} {key}"), value);
                }
            }
        }
    }

    fn numbers(&mut self, place: &str, value: &Value) {
        for (key, value) in value.as_object().into_iter().flatten() {
            self.numbers(&format!("{place}/{key}"), value);
        }
        if let Some(count) = value.as_u64() {
            self.note(place.to_owned(), count);
        }
    }

    /// What devices and sockets of a participant count.
    fn namespace(&mut self, ns: &Namespace) {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{name}"));
        let [devices, protocols] = ns.run(|| ["dev", "snmp"].map(|name| read(name).unwrap_or_default()));
        for line in devices.lines() {
            let Some((dev, counts)) = line.split_once(':') else { continue };
            let counts: Vec<u64> = counts.split_whitespace().map(|word| word.parse().unwrap_or(0)).collect();
            // As the head of /proc/net/dev says.
            for (at, name) in [(2, "rx_errors"), (3, "rx_dropped"), (10, "tx_errors"), (11, "tx_dropped")] {
                let count = counts.get(at).copied().unwrap_or(0);
                self.note(format!("{}:{} {name}", ns.name(), dev.trim()), count);
            }
        }
        let lines: Vec<&str> = protocols.lines().collect();
        for pair in lines.chunks_exact(2) {
            let (names, values) = (pair[0].split_whitespace(), pair[1].split_whitespace());
            for (name, value) in names.clone().zip(values).skip(1) {
                let protocol = names.clone().next().unwrap_or_default();
                let lost = ["Err", "Discard", "NoRoute", "Fail"].iter().any(|word| name.contains(word));
                if let (true, Ok(count)) = (lost, value.parse()) {
                    self.note(format!("{} {protocol}{name}", ns.name()), count);
                }
            }
        }
    }

    /// The second word of each processor's line: what `enqueue_to_backlog` had no room for, in the whole machine.
    fn backlogs(&mut self) {
        let text = std::fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
        for (processor, line) in text.lines().enumerate() {
            let dropped = line.split_whitespace().nth(1).and_then(|word| u64::from_str_radix(word, 16).ok());
            self.note(format!("backlog of processor {processor}"), dropped.unwrap_or(0));
        }
    }
}
