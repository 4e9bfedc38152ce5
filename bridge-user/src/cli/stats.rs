//! `xbr stats`: what was counted for each port.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use bridge_common::{DropReason, SlowReason};
use clap::Args;
use serde::Serialize;

use super::{Common, output, table, which};
use crate::{
    Refusal, Result,
    link::Links,
    rates::{self, Rates, short},
    snapshot::{self, PortRow},
};

/// What to show.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Only this port; `host` for the host
    port: Option<String>,
    /// Repeat with rates, every second or every SECS
    #[arg(short, long, value_name = "SECS", num_args = 0..=1, default_missing_value = "1")]
    watch: Option<String>,
}

impl StatsArgs {
    /// The port, and the seconds between two looks. In `-w vm1` clap takes the port for the seconds.
    fn split(&self) -> Result<(Option<&str>, Option<u32>), Refusal> {
        let port = self.port.as_deref();
        let Some(watch) = self.watch.as_deref() else { return Ok((port, None)) };
        match (watch.parse(), port) {
            (Ok(seconds @ 1..=86_400), _) => Ok((port, Some(seconds))),
            (Err(_), None) => Ok((Some(watch), Some(1))),
            _ => {
                let message = format!("{watch} is no number of seconds to wait");
                Err(Refusal::new(message, "write a whole number from 1 to 86400"))
            }
        }
    }
}

/// Prints it.
pub fn run(common: &Common, args: &StatsArgs) -> Result<()> {
    let (port, watch) = args.split()?;
    let bridge = which::bridge(common.bridge.as_ref())?;
    let links = Links::open()?;
    let read =
        || Ok::<_, crate::Error>((Instant::now(), only(snapshot::ports(&bridge.tables, &links)?, port)?));
    let mut last = read()?;
    let Some(seconds) = watch else {
        let rows: Vec<_> = last.1.iter().map(|row| view(row, None)).collect();
        return output::print(&if common.json { output::json(&rows)? } else { text(&last.1) });
    };
    loop {
        thread::sleep(Duration::from_secs(seconds.into()));
        let next = read()?;
        let time = next.0 - last.0;
        let pairs: Vec<_> = next.1.iter().map(|row| (row, since(&last.1, row, time))).collect();
        let rows = || pairs.iter().map(|(row, rates)| view(row, Some(*rates))).collect::<Vec<_>>();
        output::print(&if common.json { output::json(&rows())? } else { rates_text(&pairs) })?;
        last = next;
    }
}

/// The rows that are wanted.
fn only(mut rows: Vec<PortRow>, port: Option<&str>) -> Result<Vec<PortRow>, Refusal> {
    let Some(port) = port else { return Ok(rows) };
    let known = rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>().join(", ");
    rows.retain(|row| row.name == port);
    if rows.is_empty() {
        return Err(Refusal::new(format!("the bridge has no port {port}"), format!("it has {known}")));
    }
    Ok(rows)
}

fn since(before: &[PortRow], row: &PortRow, time: Duration) -> Rates {
    let old = before.iter().find(|old| old.id == row.id);
    old.map(|old| rates::between(old, row, time)).unwrap_or_default()
}

/// A port's counters, as `xbr stats -j` has them. Frames are those of the wire, bytes with L2 header.
#[derive(Debug, Serialize)]
struct View {
    ifname: String,
    rx: Traffic,
    tx: Traffic,
    /// Frames dropped, by reason; every reason is there.
    drops: BTreeMap<&'static str, u64>,
    /// Frames that XDP left to TC, by reason; no loss.
    slow_path: BTreeMap<&'static str, u64>,
    /// Stations.
    learned: u64,
    moved: u64,
    refused: Refused,
    events: Events,
    /// Requests for neighbours that were answered for those.
    neigh_answered: u64,
    /// Frames redirected by XDP that the device did not take; they are in `tx` too.
    device_refused: u64,
    /// What only the device counted; absent for the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_tx_dropped: Option<u64>,
    /// Per second; only with `--watch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    rates: Option<Rates>,
}

#[derive(Debug, Serialize)]
struct Traffic {
    packets: u64,
    bytes: u64,
}

/// Stations that were not learned.
#[derive(Debug, Serialize)]
struct Refused {
    full: u64,
    r#static: u64,
    quota: u64,
    flap: u64,
}

/// Events that were not told.
#[derive(Debug, Serialize)]
struct Events {
    suppressed: u64,
    lost: u64,
}

fn view(row: &PortRow, rates: Option<Rates>) -> View {
    let counters = &row.counters;
    let reasons =
        |names: Vec<&'static str>, counts: &[u64]| names.into_iter().zip(counts.iter().copied()).collect();
    View {
        ifname: row.name.clone(),
        rx: Traffic { packets: counters.rx_packets, bytes: counters.rx_bytes },
        tx: Traffic { packets: counters.tx_packets, bytes: counters.tx_bytes },
        drops: reasons(DropReason::ALL.iter().map(|reason| reason.name()).collect(), &counters.drops),
        slow_path: reasons(SlowReason::ALL.iter().map(|reason| reason.name()).collect(), &counters.slow),
        learned: counters.learned,
        moved: counters.moved,
        refused: Refused {
            full: counters.refused_full,
            r#static: counters.refused_static,
            quota: counters.refused_quota,
            flap: counters.refused_flap,
        },
        events: Events { suppressed: counters.events_suppressed, lost: counters.events_lost },
        neigh_answered: counters.neigh_answered,
        device_refused: counters.device_refused,
        device_tx_dropped: row.device_tx_dropped(),
        rates,
    }
}

/// A paragraph for each port, with the counters that are not zero.
fn text(rows: &[PortRow]) -> String {
    rows.iter().map(paragraph).collect()
}

fn paragraph(row: &PortRow) -> String {
    let view = view(row, None);
    let line = |label: &str, counts: &[(&str, u64)]| {
        let counts: Vec<_> = counts.iter().filter(|(_, count)| *count > 0).collect();
        let words: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        if words.is_empty() { String::new() } else { format!("  {label:<9} {}\n", words.join(", ")) }
    };
    let mut text = format!("{}\n", view.ifname);
    for (label, traffic) in [("rx", &view.rx), ("tx", &view.tx)] {
        text += &format!("  {label:<9} {} packets, {} bytes\n", traffic.packets, traffic.bytes);
    }
    text += &line("drops", &view.drops.into_iter().collect::<Vec<_>>());
    text += &line("slow path", &view.slow_path.into_iter().collect::<Vec<_>>());
    let stations = [
        ("learned", view.learned),
        ("moved", view.moved),
        ("refused (table full)", view.refused.full),
        ("refused (static elsewhere)", view.refused.r#static),
        ("refused (over quota)", view.refused.quota),
        ("refused (moves too often)", view.refused.flap),
    ];
    text += &line("stations", &stations);
    text += &line("events", &[("suppressed", view.events.suppressed), ("lost", view.events.lost)]);
    text += &line("neighbours", &[("answered", view.neigh_answered)]);
    let device = [("refused", view.device_refused), ("tx_dropped", view.device_tx_dropped.unwrap_or(0))];
    text + &line("device", &device)
}

/// A table of rates, one line for each port, an empty line after it.
fn rates_text(rows: &[(&PortRow, Rates)]) -> String {
    let line = |(row, rates): &(&PortRow, Rates)| {
        vec![
            row.name.clone(),
            short(rates.rx_packets),
            short(rates.rx_bytes * 8.0),
            short(rates.tx_packets),
            short(rates.tx_bytes * 8.0),
            short(rates.drops),
        ]
    };
    let lines: Vec<_> = rows.iter().map(line).collect();
    table::render(&["port", "rx packet/s", "rx bit/s", "tx packet/s", "tx bit/s", "drop/s"], &lines) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::sample;

    #[test]
    fn text_leaves_zeroes_out() {
        insta::assert_snapshot!(text(&sample().ports[2..]), @r"
        vm1
          rx        1200 packets, 98000 bytes
          tx        40 packets, 5000 bytes
          drops     link_local 3
          slow path unfinished_checksum 9
          stations  learned 2, moved 1, refused (table full) 7
        veth1
          rx        0 packets, 0 bytes
          tx        0 packets, 0 bytes
        ");
    }

    #[test]
    fn json_leaves_nothing_out() {
        insta::assert_snapshot!(output::json(&view(&sample().ports[2], None)).unwrap(), @r#"{"ifname":"vm1","rx":{"packets":1200,"bytes":98000},"tx":{"packets":40,"bytes":5000},"drops":{"arp_guard":0,"bad_source":0,"bpdu":0,"dhcp_server":0,"double_tag":0,"host_source":0,"ip_guard":0,"isolated":0,"link_local":3,"locked":0,"mac_guard":0,"malformed":0,"nd_guard":0,"no_flood":0,"no_port":0,"port_down":0,"ra":0,"rate_in":0,"rate_out":0,"redirect":0,"retag":0,"same_port":0,"storm_broadcast":0,"storm_multicast":0,"storm_unknown":0,"too_big":0,"vlan_egress":0,"vlan_ingress":0},"slow_path":{"flood":0,"fragment":0,"multi_buffer":0,"no_checksum":0,"protocol":0,"retag":0,"to_host":0,"to_tc":0,"too_long":0,"tunnel":0,"unfinished_checksum":9},"learned":2,"moved":1,"refused":{"full":7,"static":0,"quota":0,"flap":0},"events":{"suppressed":0,"lost":0},"neigh_answered":0,"device_refused":0}"#);
    }

    #[test]
    fn rates_are_a_table() {
        let sample = sample();
        let rates = Rates { rx_packets: 12_345.0, rx_bytes: 1e6, ..Rates::default() };
        insta::assert_snapshot!(rates_text(&[(&sample.ports[0], rates), (&sample.ports[2], rates)]), @r"
        port  rx packet/s  rx bit/s  tx packet/s  tx bit/s  drop/s
        host        12.3k     8.00M            0         0       0
        vm1         12.3k     8.00M            0         0       0
        ");
    }

    #[test]
    fn an_unknown_port_is_refused() {
        insta::assert_snapshot!(only(sample().ports, Some("vm9")).unwrap_err(), @r"
        the bridge has no port vm9
        hint: it has host, eth0, vm1, veth1
        ");
    }

    #[test]
    fn a_port_may_follow_the_watch() {
        let split = |port: Option<&str>, watch: &str| {
            let args = StatsArgs { port: port.map(String::from), watch: Some(watch.into()) };
            args.split().map(|(port, seconds)| (port.map(String::from), seconds))
        };
        assert_eq!(split(None, "vm1").unwrap(), (Some("vm1".into()), Some(1)));
        assert_eq!(split(Some("vm1"), "2").unwrap(), (Some("vm1".into()), Some(2)));
        assert!(split(None, "0").is_err() && split(Some("vm1"), "vm2").is_err());
    }
}
