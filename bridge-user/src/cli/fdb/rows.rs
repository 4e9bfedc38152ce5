//! The FDB as rows, text and JSON.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    io::{self, Write},
};

use bridge_common::{Config, FdbFlags, Mac, PortId};
use serde::{Serialize, Serializer};

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
pub struct Row<'a> {
    #[serde(serialize_with = "as_text")]
    mac: Mac,
    ifname: Cow<'a, str>,
    /// Absent where untagged.
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<u16>,
    /// Seconds since it was last heard; up to one second stale, since that is how often it is written.
    used: u64,
    /// `sticky`, or nothing.
    flags: &'static [&'static str],
    /// Empty for a learned station, else `static` or `permanent`.
    state: &'static str,
}

fn as_text<S: Serializer>(mac: &Mac, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(mac)
}

/// The rows that pass the filter: the uplink's own address, then the stations by address and VLAN. `now` is
/// in nanoseconds of the FDB's clock; expired stations are no rows.
pub fn rows<'a>(
    mut stations: Vec<Station>,
    config: &Config,
    names: &'a BTreeMap<PortId, String>,
    now: u64,
    filter: &Filter,
) -> Vec<Row<'a>> {
    let own = Row {
        mac: config.uplink.mac(),
        ifname: HOST.into(),
        vlan: None,
        used: 0,
        flags: &[],
        state: "permanent",
    };
    stations.retain(|station| !station.entry.is_expired(now, config.ageing));
    stations
        .sort_unstable_by_key(|station| (station.key.mac.address().word().swap_bytes(), station.key.vlan));
    std::iter::once((State::Permanent, own))
        // Until the controller has written it, there is none.
        .filter(|(_, row)| row.mac != Mac::ZERO)
        .chain(stations.iter().map(|station| row(station, names, now)))
        .filter(|(state, row)| passes(filter, *state, row))
        .map(|(_, row)| row)
        .collect()
}

fn row<'a>(station: &Station, names: &'a BTreeMap<PortId, String>, now: u64) -> (State, Row<'a>) {
    let Station { key, entry } = station;
    let state = if entry.is_static() { State::Static } else { State::Learned };
    let row = Row {
        mac: key.mac,
        // A port that has just gone has no name any more.
        ifname: match names.get(&entry.port()) {
            Some(name) => name.into(),
            None => format!("#{}", entry.port().0).into(),
        },
        vlan: (key.vlan != 0).then_some(key.vlan),
        used: now.saturating_sub(entry.last_seen) / 1_000_000_000,
        flags: if entry.flags().has(FdbFlags::STICKY) { &["sticky"] } else { &[] },
        state: if entry.is_static() { "static" } else { "" },
    };
    (state, row)
}

fn passes(filter: &Filter, state: State, row: &Row<'_>) -> bool {
    filter.port.as_ref().is_none_or(|port| *port == row.ifname)
        && filter.vlan.is_none_or(|vlan| vlan == row.vlan.unwrap_or(0))
        && filter.mac.is_none_or(|wanted| wanted == row.mac)
        && filter.state.is_none_or(|wanted| wanted == state)
}

/// A line, in the words of `bridge -s fdb`.
impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {}", self.mac, self.ifname)?;
        if let Some(vlan) = self.vlan {
            write!(f, " vlan {vlan}")?;
        }
        if self.state != "permanent" {
            write!(f, " used {}s", self.used)?;
        }
        for word in [self.state].iter().filter(|word| !word.is_empty()).chain(self.flags) {
            write!(f, " {word}")?;
        }
        Ok(())
    }
}

/// Writes all rows, a line each.
pub fn text(rows: &[Row<'_>], out: &mut impl Write) -> io::Result<()> {
    rows.iter().try_for_each(|row| writeln!(out, "{row}"))
}

/// Writes all rows as one line of JSON.
pub fn json(rows: &[Row<'_>], out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, rows)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::sample;
    use bridge_common::{FdbEntry, FdbKey};

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 1000 * SECOND;

    fn station(last: u8, vlan: u16, port: u16, flags: FdbFlags, seconds_ago: u64) -> Station {
        Station {
            key: FdbKey { vlan, mac: Mac([0x52, 0x54, 0, 0x75, 0xdd, last]) },
            entry: FdbEntry::new(PortId(port), flags, NOW - seconds_ago * SECOND),
        }
    }

    fn written(write: impl FnOnce(&[Row<'_>], &mut Vec<u8>) -> io::Result<()>, filter: &Filter) -> String {
        let mut out = Vec::new();
        show(filter, |rows| write(rows, &mut out).unwrap());
        String::from_utf8(out).unwrap()
    }

    fn show<T>(filter: &Filter, see: impl FnOnce(&[Row<'_>]) -> T) -> T {
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
        see(&rows(stations.to_vec(), &sample.config, &names, NOW, filter))
    }

    #[test]
    fn text_has_the_words_of_bridge_fdb() {
        insta::assert_snapshot!(written(text, &Filter::default()), @r"
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
        insta::assert_snapshot!(written(json, &filter), @r#"[{"mac":"52:54:00:75:dd:1b","ifname":"vm1","vlan":10,"used":3,"flags":[],"state":"static"}]"#);
        let filter = Filter { port: Some("host".into()), ..Filter::default() };
        insta::assert_snapshot!(written(json, &filter), @r#"[{"mac":"52:54:00:12:34:56","ifname":"host","used":0,"flags":[],"state":"permanent"},{"mac":"52:54:00:75:dd:1b","ifname":"host","used":0,"flags":[],"state":""}]"#);
    }

    #[test]
    fn filters_add_up() {
        let count = |filter: Filter| show(&filter, |rows| rows.len());
        assert_eq!(count(Filter { state: Some(State::Static), ..Filter::default() }), 2);
        assert_eq!(count(Filter { state: Some(State::Permanent), ..Filter::default() }), 1);
        assert_eq!(count(Filter { vlan: Some(0), state: Some(State::Learned), ..Filter::default() }), 3);
        let mac = Some(Mac([0x52, 0x54, 0, 0x75, 0xdd, 0x1b]));
        assert_eq!(count(Filter { mac, ..Filter::default() }), 2);
        assert_eq!(count(Filter { mac, port: Some("vm1".into()), ..Filter::default() }), 1);
    }
}
