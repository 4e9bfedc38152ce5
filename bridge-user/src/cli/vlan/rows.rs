//! VLANs as rows, text and JSON.

use bridge_common::{PortId, Vlan};
use serde::Serialize;

use crate::{
    snapshot::VlanRow,
    vlan::{PortVlan, of_port},
};

/// A port and its VLANs, as `xbr vlan show -j` has it: the keys of `bridge -j -compressvlans vlan`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    ifname: String,
    vlans: Vec<Part>,
}

/// A port's part in VLANs that follow on one another.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Part {
    vlan: u16,
    /// The last of several.
    #[serde(rename = "vlanEnd", skip_serializing_if = "Option::is_none")]
    vlan_end: Option<u16>,
    /// `PVID` and `Egress Untagged`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<String>,
}

/// The ports that are in some VLAN. A port is its number, its name and its PVID.
pub fn rows(ports: &[(PortId, String, u16)], vlans: &[VlanRow]) -> Vec<Row> {
    let vlans: Vec<(u16, Vlan)> = vlans.iter().map(|row| (row.vid, row.vlan)).collect();
    let rows = ports.iter().map(|(id, name, pvid)| Row {
        ifname: name.clone(),
        vlans: of_port(&vlans, *id, *pvid).iter().map(part).collect(),
    });
    rows.filter(|row| !row.vlans.is_empty()).collect()
}

fn part(vlan: &PortVlan) -> Part {
    let (first, last) = (*vlan.vids.each().start(), *vlan.vids.each().end());
    Part { vlan: first, vlan_end: (first != last).then_some(last), flags: vlan.flags() }
}

/// One line for each part, in the columns of `bridge vlan`, and whether it counts.
pub fn text(rows: &[Row], filtering: bool) -> String {
    let mut text = format!("{:<16}  vlan-id\n", "port");
    for row in rows {
        let mut name = row.ifname.as_str();
        for Part { vlan, vlan_end, flags } in &row.vlans {
            let last = vlan_end.map(|last| format!("-{last}")).unwrap_or_default();
            let words = [format!("{vlan}{last}")].into_iter().chain(flags.iter().cloned());
            text += &format!("{name:<16}  {}\n", words.collect::<Vec<_>>().join(" "));
            name = "";
        }
    }
    if !filtering {
        text += "VLAN filtering is off: tags say nothing (xbr vlan filtering on)\n";
    }
    text
}

/// A bridge and what it counted for each VLAN, as `xbr vlan show -s -j` has it: the keys of `bridge -s -j vlan`.
#[derive(Debug, Serialize)]
pub struct Counted {
    /// The bridge, since VLANs are counted on all of its ports together.
    ifname: String,
    vlans: Vec<Counts>,
}

#[derive(Debug, Serialize)]
struct Counts {
    vlan: u16,
    rx_bytes: u64,
    rx_packets: u64,
    tx_bytes: u64,
    tx_packets: u64,
}

/// What was counted.
pub fn counted(bridge: &str, vlans: &[VlanRow]) -> Counted {
    let counts = |row: &VlanRow| Counts {
        vlan: row.vid,
        rx_bytes: row.counters.rx_bytes,
        rx_packets: row.counters.rx_packets,
        tx_bytes: row.counters.tx_bytes,
        tx_packets: row.counters.tx_packets,
    };
    Counted { ifname: bridge.into(), vlans: vlans.iter().map(counts).collect() }
}

/// Three lines for each VLAN, as in `bridge -s vlan`.
pub fn counted_text(rows: &[Counted]) -> String {
    let mut text = format!("{:<16}  vlan-id\n", "port");
    for row in rows {
        let mut name = row.ifname.as_str();
        for Counts { vlan, rx_bytes, rx_packets, tx_bytes, tx_packets } in &row.vlans {
            text += &format!("{name:<16}  {vlan}\n");
            text += &format!("{:<18}  RX: {rx_bytes} bytes {rx_packets} packets\n", "");
            text += &format!("{:<18}  TX: {tx_bytes} bytes {tx_packets} packets\n", "");
            name = "";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::output::json, snapshot::tests::sample};
    use bridge_common::vlan::Membership;

    fn sample_rows() -> Vec<Row> {
        let mut vlans = sample().vlans;
        for vid in 20..=30 {
            let vlan = Vlan::default().with(PortId(1), Membership::Tagged);
            vlans.push(VlanRow { vid, vlan, counters: Default::default() });
        }
        let port = |id, name: &str, pvid| (PortId(id), name.to_string(), pvid);
        rows(&[port(0, "host", 1), port(1, "eth0", 1), port(2, "vm1", 10), port(3, "veth1", 0)], &vlans)
    }

    #[test]
    fn text_has_the_columns_of_bridge_vlan() {
        insta::assert_snapshot!(text(&sample_rows(), true), @r"
        port              vlan-id
        host              1 PVID Egress Untagged
        eth0              1 PVID Egress Untagged
                          10
                          20-30
        vm1               10 PVID Egress Untagged
        ");
        insta::assert_snapshot!(text(&[], false), @r"
        port              vlan-id
        VLAN filtering is off: tags say nothing (xbr vlan filtering on)
        ");
    }

    #[test]
    fn json_has_the_keys_of_bridge_vlan() {
        insta::assert_snapshot!(json(&sample_rows().split_off(1)).unwrap(), @r#"[{"ifname":"eth0","vlans":[{"vlan":1,"flags":["PVID","Egress Untagged"]},{"vlan":10},{"vlan":20,"vlanEnd":30}]},{"ifname":"vm1","vlans":[{"vlan":10,"flags":["PVID","Egress Untagged"]}]}]"#);
    }

    #[test]
    fn what_was_counted_is_the_bridges() {
        let rows = [counted("xbr0", &sample().vlans)];
        insta::assert_snapshot!(counted_text(&rows), @r"
        port              vlan-id
        xbr0              1
                            RX: 0 bytes 0 packets
                            TX: 0 bytes 0 packets
                          10
                            RX: 700 bytes 7 packets
                            TX: 600 bytes 6 packets
        ");
        insta::assert_snapshot!(json(&rows).unwrap(), @r#"[{"ifname":"xbr0","vlans":[{"vlan":1,"rx_bytes":0,"rx_packets":0,"tx_bytes":0,"tx_packets":0},{"vlan":10,"rx_bytes":700,"rx_packets":7,"tx_bytes":600,"tx_packets":6}]}]"#);
    }
}
