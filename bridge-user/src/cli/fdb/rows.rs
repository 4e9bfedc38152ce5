//! The FDB as rows, text and JSON.

use std::collections::BTreeMap;

use bridge_common::{Config, FdbFlags, Mac, PortId};
use serde::Serialize;

use super::State;
use crate::{datapath::Station, snapshot::HOST};

/// Which rows are wanted. What is `None` is not asked about.
#[derive(Debug, Default)]
pub struct Filter {
    /// Behind the port of this name.
    pub port: Option<String>,
    /// In this VLAN, 0 for untagged.
    pub vlan: Option<u16>,
    /// Of this address.
    pub mac: Option<Mac>,
    /// Of this state.
    pub state: Option<State>,
}

/// A station, as `xbr fdb show -j` has it: the keys of `bridge -j fdb`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    mac: String,
    ifname: String,
    /// Absent where untagged.
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<u16>,
    /// Seconds since it was last heard; up to one second stale, since that is how often it is written.
    used: u64,
    /// `sticky`, or nothing.
    flags: Vec<&'static str>,
    /// Empty for a learned station, else `static` or `permanent`.
    state: &'static str,
}

/// The rows that pass the filter: the uplink's own address, then the stations by address and VLAN. `now` is
/// in nanoseconds of the FDB's clock; expired stations are no rows.
pub fn rows(
    stations: &[Station],
    config: &Config,
    names: &BTreeMap<PortId, String>,
    now: u64,
    filter: &Filter,
) -> Vec<Row> {
    let own = Row {
        mac: config.uplink.mac().to_string(),
        ifname: HOST.into(),
        vlan: None,
        used: 0,
        flags: Vec::new(),
        state: "permanent",
    };
    let own = (config.uplink.mac(), State::Permanent, own);
    let mut live: Vec<_> =
        stations.iter().filter(|station| !station.entry.is_expired(now, config.ageing)).collect();
    live.sort_by_key(|station| (station.key.mac, station.key.vlan));
    let stations = live.into_iter().map(|station| row(station, names, now));
    std::iter::once(own)
        // Until the controller has written it, there is none.
        .filter(|(mac, ..)| *mac != Mac::ZERO)
        .chain(stations)
        .filter(|(mac, state, row)| passes(filter, *mac, *state, row))
        .map(|(.., row)| row)
        .collect()
}

fn row(station: &Station, names: &BTreeMap<PortId, String>, now: u64) -> (Mac, State, Row) {
    let Station { key, entry } = station;
    let state = if entry.is_static() { State::Static } else { State::Learned };
    let row = Row {
        mac: key.mac.to_string(),
        // A port that has just gone has no name any more.
        ifname: names.get(&entry.port()).cloned().unwrap_or_else(|| format!("#{}", entry.port().0)),
        vlan: (key.vlan != 0).then_some(key.vlan),
        used: now.saturating_sub(entry.last_seen) / 1_000_000_000,
        flags: entry.flags().has(FdbFlags::STICKY).then_some("sticky").into_iter().collect(),
        state: if entry.is_static() { "static" } else { "" },
    };
    (key.mac, state, row)
}

fn passes(filter: &Filter, mac: Mac, state: State, row: &Row) -> bool {
    filter.port.as_ref().is_none_or(|port| *port == row.ifname)
        && filter.vlan.is_none_or(|vlan| vlan == row.vlan.unwrap_or(0))
        && filter.mac.is_none_or(|wanted| wanted == mac)
        && filter.state.is_none_or(|wanted| wanted == state)
}

/// One line for each row, in the words of `bridge -s fdb`.
pub fn text(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        text += &format!("{} dev {}", row.mac, row.ifname);
        if let Some(vlan) = row.vlan {
            text += &format!(" vlan {vlan}");
        }
        if row.state != "permanent" {
            text += &format!(" used {}s", row.used);
        }
        if !row.state.is_empty() {
            text += &format!(" {}", row.state);
        }
        for flag in &row.flags {
            text += &format!(" {flag}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::output::json, snapshot::tests::sample};
    use bridge_common::{FdbEntry, FdbKey};

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 1000 * SECOND;

    fn station(last: u8, vlan: u16, port: u16, flags: FdbFlags, seconds_ago: u64) -> Station {
        Station {
            key: FdbKey { vlan, mac: Mac([0x52, 0x54, 0, 0x75, 0xdd, last]) },
            entry: FdbEntry::new(PortId(port), flags, NOW - seconds_ago * SECOND),
        }
    }

    fn show(filter: &Filter) -> Vec<Row> {
        let learned = FdbFlags::default();
        let stations = [
            station(0x1b, 10, 2, FdbFlags::STATIC, 3),
            station(0x1b, 0, 0, learned, 0),
            station(0x1a, 0, 2, learned, 299),
            station(0x1c, 0, 2, learned, 301),
            station(0x1d, 0, 2, FdbFlags::STATIC, 900),
            station(0x1e, 0, 77, learned, 1),
            station(0x1f, 20, 3, FdbFlags::STICKY, 7),
        ];
        let sample = sample();
        let names = sample.ports.into_iter().map(|row| (row.id, row.name)).collect();
        rows(&stations, &sample.config, &names, NOW, filter)
    }

    #[test]
    fn text_has_the_words_of_bridge_fdb() {
        insta::assert_snapshot!(text(&show(&Filter::default())), @r"
        52:54:00:12:34:56 dev host permanent
        52:54:00:75:dd:1a dev vm1 used 299s
        52:54:00:75:dd:1b dev host used 0s
        52:54:00:75:dd:1b dev vm1 vlan 10 used 3s static
        52:54:00:75:dd:1d dev vm1 used 900s static
        52:54:00:75:dd:1e dev #77 used 1s
        52:54:00:75:dd:1f dev veth1 vlan 20 used 7s sticky
        ");
    }

    #[test]
    fn json_has_the_keys_of_bridge_fdb() {
        let filter = Filter { vlan: Some(10), ..Filter::default() };
        insta::assert_snapshot!(json(&show(&filter)).unwrap(), @r#"[{"mac":"52:54:00:75:dd:1b","ifname":"vm1","vlan":10,"used":3,"flags":[],"state":"static"}]"#);
        let filter = Filter { port: Some("host".into()), ..Filter::default() };
        insta::assert_snapshot!(json(&show(&filter)).unwrap(), @r#"[{"mac":"52:54:00:12:34:56","ifname":"host","used":0,"flags":[],"state":"permanent"},{"mac":"52:54:00:75:dd:1b","ifname":"host","used":0,"flags":[],"state":""}]"#);
    }

    #[test]
    fn filters_add_up() {
        let count = |filter: Filter| show(&filter).len();
        assert_eq!(count(Filter { state: Some(State::Static), ..Filter::default() }), 2);
        assert_eq!(count(Filter { state: Some(State::Permanent), ..Filter::default() }), 1);
        assert_eq!(count(Filter { vlan: Some(0), state: Some(State::Learned), ..Filter::default() }), 3);
        let mac = Some(Mac([0x52, 0x54, 0, 0x75, 0xdd, 0x1b]));
        assert_eq!(count(Filter { mac, ..Filter::default() }), 2);
        assert_eq!(count(Filter { mac, port: Some("vm1".into()), ..Filter::default() }), 1);
    }
}
