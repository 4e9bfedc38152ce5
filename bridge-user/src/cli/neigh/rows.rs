//! Neighbours as rows, text and JSON.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use bridge_common::{
    Config, FdbKey, PortId,
    neigh::{Neighbour, NeighbourKey},
};
use serde::Serialize;

use crate::{Result, datapath::Tables};

/// Which rows are wanted. What is `None` is not asked about.
#[derive(Debug, Default)]
pub struct Filter {
    /// Behind the port of this name.
    pub port: Option<String>,
    /// In this VLAN, 0 for untagged.
    pub vlan: Option<u16>,
}

/// A neighbour, as `xbr neigh show -j` has it: the keys of `ip -s -j neigh`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    dst: IpAddr,
    dev: String,
    lladdr: String,
    /// Absent where VLANs are not filtered.
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<u16>,
    /// It has said that it is a router.
    router: bool,
    /// Seconds since it last told its address.
    used: u64,
    /// `PERMANENT` for one that was written, `REACHABLE` for one that is answered for, `STALE` where the FDB does not have the station there,
    /// `DOUBTED` where another station says that it has the address.
    state: [&'static str; 1],
}

/// The rows that pass the filter, by VLAN and address. `now` is in nanoseconds of the FDB's clock; expired neighbours are no rows.
pub fn rows(
    neighbours: &BTreeMap<NeighbourKey, Neighbour>,
    tables: &Tables,
    names: &BTreeMap<PortId, String>,
    now: u64,
    filter: &Filter,
) -> Result<Vec<Row>> {
    let config = tables.config();
    let mut rows = Vec::new();
    for (key, neighbour) in
        neighbours.iter().filter(|(_, neighbour)| !neighbour.is_expired(now, config.ageing))
    {
        let alive = is_alive(key.vlan, neighbour, tables, &config, now)?;
        let row = row(key, neighbour, alive, names, now);
        let wanted = filter.port.as_ref().is_none_or(|port| *port == row.dev)
            && filter.vlan.is_none_or(|vlan| vlan == key.vlan);
        if wanted {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// As the programs see it ([`Neighbour::is_alive`]).
fn is_alive(vlan: u16, neighbour: &Neighbour, tables: &Tables, config: &Config, now: u64) -> Result<bool> {
    if neighbour.is_static() {
        return Ok(true);
    }
    if neighbour.mac() == config.uplink.mac() {
        return Ok(neighbour.port() == PortId::HOST);
    }
    let entry = tables.station(&FdbKey { vlan, mac: neighbour.mac() })?;
    Ok(entry.is_some_and(|entry| entry.port() == neighbour.port() && !entry.is_expired(now, config.ageing)))
}

fn row(
    key: &NeighbourKey,
    neighbour: &Neighbour,
    alive: bool,
    names: &BTreeMap<PortId, String>,
    now: u64,
) -> Row {
    let [a, b, c, d, ..] = key.address;
    let port = neighbour.port();
    Row {
        dst: if key.family == 4 {
            Ipv4Addr::new(a, b, c, d).into()
        } else {
            Ipv6Addr::from(key.address).into()
        },
        // A port that has just gone has no name any more.
        dev: names.get(&port).cloned().unwrap_or_else(|| format!("#{}", port.0)),
        lladdr: neighbour.mac().to_string(),
        vlan: (key.vlan != 0).then_some(key.vlan),
        router: neighbour.is_router(),
        used: if neighbour.is_static() { 0 } else { now.saturating_sub(neighbour.last_seen) / 1_000_000_000 },
        state: [match (neighbour.is_static(), neighbour.is_doubted(), alive) {
            (true, ..) => "PERMANENT",
            (_, true, _) => "DOUBTED",
            (.., true) => "REACHABLE",
            (.., false) => "STALE",
        }],
    }
}

/// One line for each row, in the words of `ip -s neigh`.
pub fn text(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let vlan = row.vlan.map(|vlan| format!(" vid {vlan}")).unwrap_or_default();
        let router = if row.router { " router" } else { "" };
        let [state] = row.state;
        format!(
            "{} dev {} lladdr {}{vlan}{router} used {}s {state}\n",
            row.dst, row.dev, row.lladdr, row.used
        )
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::output::json, snapshot::tests::sample};
    use bridge_common::Mac;

    #[test]
    fn rows_have_the_words_of_ip_neigh() {
        const NOW: u64 = 1_000_000_000_000;
        let mac = Mac([0x52, 0x54, 0, 0x75, 0xdd, 0x1a]);
        let mut v4 = [0; 16];
        v4[..4].copy_from_slice(&[10, 0, 0, 1]);
        let names = sample().ports.into_iter().map(|row| (row.id, row.name)).collect();
        let key = |vlan, family, address| NeighbourKey { vlan, family, address };
        let v6 = "fe80::1".parse::<Ipv6Addr>().unwrap().octets();
        let learned = Neighbour::new(mac, PortId(2), true, NOW - 7_000_000_000);
        let doubted = Neighbour { doubted: NOW - 1, ..learned };
        let rows = [
            row(&key(0, 4, v4), &Neighbour::fixed(mac, PortId(2)), true, &names, NOW),
            row(&key(10, 6, v6), &learned, true, &names, NOW),
            row(&key(0, 4, v4), &learned, false, &names, NOW),
            row(&key(0, 4, v4), &doubted, true, &names, NOW),
        ];
        insta::assert_snapshot!(text(&rows), @r"
        10.0.0.1 dev vm1 lladdr 52:54:00:75:dd:1a used 0s PERMANENT
        fe80::1 dev vm1 lladdr 52:54:00:75:dd:1a vid 10 router used 7s REACHABLE
        10.0.0.1 dev vm1 lladdr 52:54:00:75:dd:1a router used 7s STALE
        10.0.0.1 dev vm1 lladdr 52:54:00:75:dd:1a router used 7s DOUBTED
        ");
        insta::assert_snapshot!(json(&vec![&rows[0]]).unwrap(), @r#"[{"dst":"10.0.0.1","dev":"vm1","lladdr":"52:54:00:75:dd:1a","router":false,"used":0,"state":["PERMANENT"]}]"#);
    }
}
