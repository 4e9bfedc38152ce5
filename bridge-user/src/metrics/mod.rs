//! Metrics for Prometheus: a snapshot as text, and the small server that gives it away.

mod multicast;
mod serve;

use std::fmt;

use bridge_common::{DropReason, PortCounters, PortId, SlowReason, policy::Stop, vlan::VlanCounters};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, prometheus_text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};

pub use serve::Server;

use crate::{
    Error, Result,
    snapshot::{PortRow, Snapshot},
};

/// A snapshot in Prometheus' text format 0.0.4. Frames are those of the wire: a segmented frame counts as its
/// segments, bytes with L2 header and tags, without FCS.
pub fn render(snapshot: Snapshot) -> Result<String> {
    let mut registry = Registry::with_prefix("xbr");
    registry.register_collector(Box::new(Bridge(snapshot)));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)
        .map_err(std::io::Error::other)
        .map_err(Error::io("write the metrics"))?;
    Ok(text)
}

#[derive(Debug)]
struct Bridge(Snapshot);

/// A sample: its labels and value.
type Sample<'a> = (Vec<(&'a str, &'a str)>, u64);

impl Collector for Bridge {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        self.traffic(&mut encoder)?;
        self.losses(&mut encoder)?;
        self.stations(&mut encoder)?;
        self.policy(&mut encoder)?;
        self.vlans(&mut encoder)?;
        self.multicast(&mut encoder)?;
        self.state(&mut encoder)
    }
}

impl Bridge {
    fn traffic(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let received = "Frames that came in at the port, those dropped later included";
        let sent = "Frames that left through the port";
        let bytes = Some(Unit::Bytes);
        counter(encoder, "port_receive", received, packets(), self.each(|row| row.counters.rx_packets))?;
        counter(
            encoder,
            "port_receive",
            "Their bytes",
            bytes.clone(),
            self.each(|row| row.counters.rx_bytes),
        )?;
        counter(encoder, "port_transmit", sent, packets(), self.each(|row| row.counters.tx_packets))?;
        counter(encoder, "port_transmit", "Their bytes", bytes, self.each(|row| row.counters.tx_bytes))
    }

    fn losses(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let reasons: Vec<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        let drops = self.by_reason(&reasons, |row| row.counters.drops.to_vec());
        let help = "Frames dropped, by reason; at the port of the way in or out that the reason is about";
        counter(encoder, "port_drops", help, None, drops)?;
        let reasons: Vec<_> = SlowReason::ALL.iter().map(|reason| reason.name()).collect();
        let slow = self.by_reason(&reasons, |row| row.counters.slow.to_vec());
        counter(encoder, "slow_path", "Frames that XDP left to TC, by reason; no loss", packets(), slow)?;
        let help =
            "Frames that the port's device itself dropped on the way out, such as a TAP with a slow guest";
        let dropped =
            self.0.ports.iter().filter_map(|row| Some((self.labels(row, None), row.device_tx_dropped()?)));
        counter(encoder, "port_device_transmit_dropped", help, packets(), dropped.collect())?;
        let refused = self.each(|row| row.counters.device_refused);
        let help = "Frames redirected by XDP that the port's device did not take: it is not open, or full";
        counter(encoder, "port_device_refused", help, packets(), refused)
    }

    fn stations(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let mut entries = Vec::new();
        for row in &self.0.ports {
            let count = self.0.stations.get(&row.id).copied().unwrap_or_default();
            // The uplink's own address is the host's, for ever.
            let permanent = (row.id == PortId::HOST).then_some(("permanent", 1));
            let states = [("learned", count.learned), ("static", count.fixed)].into_iter().chain(permanent);
            entries.extend(states.map(|(state, count)| (self.labels(row, Some(("state", state))), count)));
        }
        gauge(encoder, "fdb_entries", "Stations in the forwarding database, without expired ones", entries)?;
        let max = (vec![("bridge", self.0.bridge.as_str())], u64::from(self.0.fdb_max));
        gauge(encoder, "fdb_max", "The most stations that the forwarding database holds", vec![max])?;
        let learned = self.each(|row| row.counters.learned);
        counter(encoder, "fdb_learned", "Stations learned at the port", None, learned)?;
        let moved = self.each(|row| row.counters.moved);
        counter(encoder, "fdb_moved", "Stations that moved to the port", None, moved)?;
        let refused = |row: &PortRow| {
            let counters = &row.counters;
            let PortCounters { refused_full, refused_static, refused_quota, refused_flap, .. } = counters;
            vec![*refused_full, *refused_static, *refused_quota, *refused_flap]
        };
        let refused = self.by_reason(&["full", "static", "quota", "flap"], refused);
        let help = "Frames whose station was not learned: the table is full, a static entry has it elsewhere, the \
                    port has all that it may have, or it has moved too often";
        counter(encoder, "fdb_refused", help, None, refused)
    }

    fn policy(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let used = self.each(|row| row.stations_used);
        gauge(encoder, "port_stations", "Stations that count against the port's quota", used)?;
        let limited = self.0.ports.iter().filter(|row| row.rules.policy.stations_max != 0);
        let max =
            limited.map(|row| (self.labels(row, None), u64::from(row.rules.policy.stations_max))).collect();
        gauge(encoder, "port_stations_max", "The most stations that the port may have, where limited", max)?;
        let stopped = self.each(|row| u64::from(row.rules.policy.stopped != 0));
        gauge(
            encoder,
            "port_stopped",
            "1 where the operator, a guard or the search for loops has stopped the port, else 0",
            stopped,
        )?;
        let looped = self.each(|row| u64::from(row.rules.policy.stopped == Stop::Loop as u32));
        gauge(encoder, "port_looped", "1 where the port was stopped as part of a loop, else 0", looped)?;
        let answered = self.each(|row| row.counters.neigh_answered);
        let help = "Requests of the port for neighbours that were answered for those";
        counter(encoder, "neigh_answered", help, None, answered)
    }

    fn vlans(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let on = (vec![("bridge", self.0.bridge.as_str())], u64::from(self.0.config.filters_vlans()));
        gauge(encoder, "vlan_filtering", "1 while VLANs are filtered, else 0", vec![on])?;
        let names: Vec<String> = self.0.vlans.iter().map(|row| row.vid.to_string()).collect();
        let each = |value: fn(&VlanCounters) -> u64| {
            let rows = self.0.vlans.iter().zip(&names);
            let labels = |vlan| vec![("bridge", self.0.bridge.as_str()), ("vlan", vlan)];
            rows.map(|(row, name)| (labels(name.as_str()), value(&row.counters))).collect::<Vec<_>>()
        };
        let received = "Frames of the VLAN that came in, those dropped later included";
        let sent = "Frames of the VLAN, and copies, that left";
        let bytes = Some(Unit::Bytes);
        counter(encoder, "vlan_receive", received, packets(), each(|counters| counters.rx_packets))?;
        counter(encoder, "vlan_receive", "Their bytes", bytes.clone(), each(|counters| counters.rx_bytes))?;
        counter(encoder, "vlan_transmit", sent, packets(), each(|counters| counters.tx_packets))?;
        counter(encoder, "vlan_transmit", "Their bytes", bytes, each(|counters| counters.tx_bytes))
    }

    fn state(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let up = self.each(|row| u64::from(row.port.is_up()));
        gauge(encoder, "port_up", "1 where the port forwards, else 0", up)?;
        let suppressed = self.each(|row| row.counters.events_suppressed);
        counter(encoder, "events_suppressed", "Events over the port's budget, not told", None, suppressed)?;
        let lost = self.each(|row| row.counters.events_lost);
        counter(encoder, "events_lost", "Events that found the ring full", None, lost)
    }

    /// A sample for each port.
    fn each(&self, value: impl Fn(&PortRow) -> u64) -> Vec<Sample<'_>> {
        self.0.ports.iter().map(|row| (self.labels(row, None), value(row))).collect()
    }

    /// A sample for each port and reason.
    fn by_reason<'a>(
        &'a self,
        reasons: &'a [&'static str],
        values: impl Fn(&PortRow) -> Vec<u64>,
    ) -> Vec<Sample<'a>> {
        let each = |row: &'a PortRow| {
            let label =
                |(reason, value): (&&'static str, u64)| (self.labels(row, Some(("reason", *reason))), value);
            reasons.iter().zip(values(row)).map(label).collect::<Vec<_>>()
        };
        self.0.ports.iter().flat_map(each).collect()
    }

    fn labels<'a>(&'a self, row: &'a PortRow, third: Option<(&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
        [("bridge", self.0.bridge.as_str()), ("port", row.name.as_str())].into_iter().chain(third).collect()
    }
}

/// The suffix of what is counted in frames.
fn packets() -> Option<Unit> {
    Some(Unit::Other("packets".into()))
}

/// Writes a family; its name gets the unit and `_total` behind it.
fn counter(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    unit: Option<Unit>,
    samples: Vec<Sample<'_>>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
    for (labels, value) in samples {
        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// Writes a family.
fn gauge(encoder: &mut DescriptorEncoder, name: &str, help: &str, samples: Vec<Sample<'_>>) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in samples {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::sample;

    #[test]
    fn every_family_is_there() {
        let text = render(sample()).unwrap();
        let heads: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        insta::assert_snapshot!(heads.join("\n"), @r"
        # TYPE xbr_port_receive_packets_total counter
        # TYPE xbr_port_receive_bytes_total counter
        # TYPE xbr_port_transmit_packets_total counter
        # TYPE xbr_port_transmit_bytes_total counter
        # TYPE xbr_port_drops_total counter
        # TYPE xbr_slow_path_packets_total counter
        # TYPE xbr_port_device_transmit_dropped_packets_total counter
        # TYPE xbr_port_device_refused_packets_total counter
        # TYPE xbr_fdb_entries gauge
        # TYPE xbr_fdb_max gauge
        # TYPE xbr_fdb_learned_total counter
        # TYPE xbr_fdb_moved_total counter
        # TYPE xbr_fdb_refused_total counter
        # TYPE xbr_port_stations gauge
        # TYPE xbr_port_stations_max gauge
        # TYPE xbr_port_stopped gauge
        # TYPE xbr_port_looped gauge
        # TYPE xbr_neigh_answered_total counter
        # TYPE xbr_vlan_filtering gauge
        # TYPE xbr_vlan_receive_packets_total counter
        # TYPE xbr_vlan_receive_bytes_total counter
        # TYPE xbr_vlan_transmit_packets_total counter
        # TYPE xbr_vlan_transmit_bytes_total counter
        # TYPE xbr_mcast_snooping gauge
        # TYPE xbr_mcast_querier_known gauge
        # TYPE xbr_mcast_groups gauge
        # TYPE xbr_mcast_reports_total counter
        # TYPE xbr_mcast_queries_total counter
        # TYPE xbr_mcast_malformed_total counter
        # TYPE xbr_mcast_refused_total counter
        # TYPE xbr_mcast_suppressed_total counter
        # TYPE xbr_mcast_lost_total counter
        # TYPE xbr_port_up gauge
        # TYPE xbr_events_suppressed_total counter
        # TYPE xbr_events_lost_total counter
        ");
    }

    #[test]
    fn values_have_their_labels() {
        let text = render(sample()).unwrap();
        let busy: Vec<_> = text
            .lines()
            .filter(|line| {
                line.contains("port=\"vm1\"")
                    || line.contains("vlan=\"10\"")
                    || line.contains("permanent")
                    || line.contains("max")
            })
            .filter(|line| !line.ends_with(" 0"))
            .collect();
        insta::assert_snapshot!(busy.join("\n"), @r#"
        xbr_port_receive_packets_total{bridge="xbr0",port="vm1"} 1200
        xbr_port_receive_bytes_total{bridge="xbr0",port="vm1"} 98000
        xbr_port_transmit_packets_total{bridge="xbr0",port="vm1"} 40
        xbr_port_transmit_bytes_total{bridge="xbr0",port="vm1"} 5000
        xbr_port_drops_total{bridge="xbr0",port="vm1",reason="link_local"} 3
        xbr_slow_path_packets_total{bridge="xbr0",port="vm1",reason="unfinished_checksum"} 9
        xbr_fdb_entries{bridge="xbr0",port="host",state="permanent"} 1
        xbr_fdb_entries{bridge="xbr0",port="vm1",state="learned"} 2
        xbr_fdb_entries{bridge="xbr0",port="vm1",state="static"} 1
        # HELP xbr_fdb_max The most stations that the forwarding database holds
        # TYPE xbr_fdb_max gauge
        xbr_fdb_max{bridge="xbr0"} 65536
        xbr_fdb_learned_total{bridge="xbr0",port="vm1"} 2
        xbr_fdb_moved_total{bridge="xbr0",port="vm1"} 1
        xbr_fdb_refused_total{bridge="xbr0",port="vm1",reason="full"} 7
        # HELP xbr_port_stations_max The most stations that the port may have, where limited
        # TYPE xbr_port_stations_max gauge
        xbr_vlan_receive_packets_total{bridge="xbr0",vlan="10"} 7
        xbr_vlan_receive_bytes_total{bridge="xbr0",vlan="10"} 700
        xbr_vlan_transmit_packets_total{bridge="xbr0",vlan="10"} 6
        xbr_vlan_transmit_bytes_total{bridge="xbr0",vlan="10"} 600
        xbr_port_up{bridge="xbr0",port="vm1"} 1
        "#);
    }
}
