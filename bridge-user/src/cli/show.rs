//! `xbr show`: the bridges, in the shape of `brctl show`.

use serde::Serialize;

use super::{Common, output, table, which};
use crate::Result;
use bridge_common::{Config, Mac, PortId};

/// A bridge, as `xbr show -j` has it.
#[derive(Debug, Serialize)]
struct Row {
    /// The bridge's name.
    ifname: String,
    /// As `brctl` writes it: the priority (always 8000) and the uplink's MAC.
    id: String,
    /// The uplink's name; empty while the bridge has none.
    uplink: String,
    /// The other ports' names.
    ports: Vec<String>,
    /// In seconds; 0 is never.
    ageing_time: u64,
    /// The most stations.
    fdb_max: u32,
    /// Whether VLANs are filtered: 1 or 0, as in `ip -d -j link`.
    vlan_filtering: u8,
}

/// Prints them. Without `--bridge` all of this network namespace, which may be none.
pub fn run(common: &Common) -> Result<()> {
    let bridges = match &common.bridge {
        Some(name) => vec![which::bridge(Some(name))?],
        None => which::here()?,
    };
    let rows = bridges.iter().map(read).collect::<Result<Vec<_>>>()?;
    output::print(&if common.json { output::json(&rows)? } else { text(&rows) })
}

fn read(bridge: &which::Bridge) -> Result<Row> {
    let names = bridge.tables.records()?.into_iter().map(|(id, record)| (id, record.name().to_string()));
    let config = bridge.tables.config();
    Ok(row(bridge.name().as_str(), &config, names.collect(), bridge.tables.fdb_max()))
}

fn row(bridge: &str, config: &Config, mut names: Vec<(PortId, String)>, fdb_max: u32) -> Row {
    let uplink = names.extract_if(.., |(id, _)| *id == PortId::UPLINK).next();
    Row {
        ifname: bridge.into(),
        id: id(config.uplink.mac()),
        uplink: uplink.map(|(_, name)| name).unwrap_or_default(),
        ports: names.into_iter().map(|(_, name)| name).collect(),
        ageing_time: config.ageing / 1_000_000_000,
        fdb_max,
        vlan_filtering: u8::from(config.filters_vlans()),
    }
}

fn id(mac: Mac) -> String {
    format!("8000.{}", mac.to_string().replace(':', ""))
}

/// One line for each port but the uplink, the bridge's own columns on the first.
fn text(rows: &[Row]) -> String {
    let mut lines = Vec::new();
    for row in rows {
        let first = [row.ifname.clone(), row.id.clone(), row.uplink.clone()];
        let ports = if row.ports.is_empty() { &[String::new()][..] } else { &row.ports };
        for (at, port) in ports.iter().enumerate() {
            let mut line = if at == 0 { first.to_vec() } else { vec![String::new(); 3] };
            line.push(port.clone());
            lines.push(line);
        }
    }
    table::render(&["bridge name", "bridge id", "uplink", "ports"], &lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::sample;

    fn rows() -> Vec<Row> {
        let sample = sample();
        let names = sample.ports.iter().skip(1).map(|row| (row.id, row.name.clone())).collect();
        vec![row("xbr0", &sample.config, names, 65_536)]
    }

    #[test]
    fn text_has_the_shape_of_brctl() {
        insta::assert_snapshot!(text(&rows()), @r"
        bridge name  bridge id          uplink  ports
        xbr0         8000.525400123456  eth0    vm1
                                                veth1
        ");
        insta::assert_snapshot!(text(&[]), @"bridge name  bridge id  uplink  ports");
    }

    #[test]
    fn json_has_everything() {
        insta::assert_snapshot!(output::json(&rows()).unwrap(), @r#"[{"ifname":"xbr0","id":"8000.525400123456","uplink":"eth0","ports":["vm1","veth1"],"ageing_time":300,"fdb_max":65536,"vlan_filtering":0}]"#);
    }
}
