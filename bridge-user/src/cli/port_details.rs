//! What a port is allowed, for people and as JSON.

use std::net::{Ipv4Addr, Ipv6Addr};

use bridge_common::{
    Mac, PortFlags,
    multicast::RouterMode,
    policy::{Guards, Meter, Policy, Rate, Source, SourceKind, Stop},
};
use serde::Serialize;

use crate::{
    multicast,
    policy::{McastRouter, bits_text},
    snapshot::PortRow,
};

/// What a port is allowed; the first eight keys are those of `bridge -d -j link`.
#[derive(Debug, Serialize)]
pub struct Details {
    learning: bool,
    flood: bool,
    mcast_flood: bool,
    bcast_flood: bool,
    hairpin: bool,
    isolated: bool,
    locked: bool,
    neigh_suppress: bool,
    /// Stations that count against `max_macs`.
    stations: u64,
    /// Absent where any number is learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_macs: Option<u32>,
    /// The only sources; empty where any may be used.
    mac: Vec<String>,
    ip: Vec<String>,
    no_dhcp_server: bool,
    no_ra: bool,
    /// `drop` or `shut`.
    bpdu_guard: &'static str,
    storm: Storm,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_in: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_out: Option<Limit>,
    /// Why the port forwards nothing although its device is up: `operator`, `bpdu` or `loop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<&'static str>,
    /// By the numbers of `bridge link`: 0 never, 1 while one is heard, 2 always.
    mcast_router: u8,
    fastleave: bool,
    mcast_max_groups: u32,
}

/// Frames a second; absent where there is no limit.
#[derive(Debug, Serialize)]
struct Storm {
    #[serde(skip_serializing_if = "Option::is_none")]
    broadcast: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multicast: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Limit {
    /// Bits a second.
    rate: u64,
    /// Bytes.
    burst: u64,
}

impl Details {
    /// Those of a port.
    pub fn of(row: &PortRow) -> Self {
        let groups = &row.rules.groups;
        let Policy { flags, guards, stations_max, stopped, rates, .. } = row.rules.policy;
        let rate = |meter: Meter| Some(rates[meter as usize]).filter(Rate::is_limit);
        let frames = |meter| rate(meter).map(|rate| rate.per_second);
        let limit = |meter| rate(meter).map(|rate| Limit { rate: rate.per_second, burst: rate.burst });
        let sources = |macs: bool| {
            let wanted = |source: &&Source| (source.kind == SourceKind::Mac as u16) == macs;
            row.rules.sources.iter().filter(wanted).map(address).collect()
        };
        Self {
            learning: !flags.has(PortFlags::NO_LEARNING),
            flood: !flags.has(PortFlags::NO_FLOOD),
            mcast_flood: !flags.has(PortFlags::NO_MCAST_FLOOD),
            bcast_flood: !flags.has(PortFlags::NO_BCAST_FLOOD),
            hairpin: flags.has(PortFlags::HAIRPIN),
            isolated: flags.has(PortFlags::ISOLATED),
            locked: flags.has(PortFlags::LOCKED),
            neigh_suppress: flags.has(PortFlags::NEIGH_SUPPRESS),
            stations: row.stations_used,
            max_macs: Some(stations_max).filter(|max| *max != 0),
            mac: sources(true),
            ip: sources(false),
            no_dhcp_server: guards.has(Guards::NO_DHCP_SERVER),
            no_ra: guards.has(Guards::NO_RA),
            bpdu_guard: if guards.has(Guards::BPDU_SHUT) { "shut" } else { "drop" },
            storm: Storm {
                broadcast: frames(Meter::Broadcast),
                multicast: frames(Meter::Multicast),
                unknown: frames(Meter::Unknown),
            },
            rate_in: limit(Meter::In),
            rate_out: limit(Meter::Out),
            stopped: match Stop::from_raw(stopped) {
                Stop::No => None,
                Stop::Operator => Some("operator"),
                Stop::Bpdu => Some("bpdu"),
                Stop::Loop => Some("loop"),
            },
            mcast_router: McastRouter::from(RouterMode::from_raw(groups.router)).number(),
            fastleave: groups.fast_leave != 0,
            mcast_max_groups: multicast::most(row.id, groups.groups_max),
        }
    }

    /// Why it is stopped, as a word for a list of flags.
    pub fn stopped(&self) -> Option<&'static str> {
        match self.stopped? {
            "bpdu" => Some("stopped:bpdu"),
            "loop" => Some("stopped:loop"),
            _ => Some("stopped:operator"),
        }
    }

    /// Lines in the words of `xbr port set`.
    pub fn text(&self) -> String {
        let switches = [
            ("learning", self.learning),
            ("flood", self.flood),
            ("mcast_flood", self.mcast_flood),
            ("bcast_flood", self.bcast_flood),
            ("hairpin", self.hairpin),
            ("isolated", self.isolated),
            ("locked", self.locked),
            ("neigh_suppress", self.neigh_suppress),
        ];
        let on = |on: bool| if on { "on" } else { "off" };
        let flags = switches.map(|(name, is)| format!("{name} {}", on(is))).join(" ");
        let max = self.max_macs.map_or("off".into(), |max| max.to_string());
        let mut text = format!("    {flags}\n    max-macs {max} (has {})", self.stations);
        for (name, list) in [("mac", &self.mac), ("ip", &self.ip)] {
            if !list.is_empty() {
                text += &format!(" {name} {}", list.join(" "));
            }
        }
        let guards = [on(self.no_dhcp_server), on(self.no_ra), self.bpdu_guard];
        let [dhcp, ra, bpdu] = guards;
        text +=
            &format!("\n    no-dhcp-server {dhcp} no-ra {ra} bpdu-guard {bpdu} storm {}", self.storm.text());
        for (name, limit) in [("rate-in", &self.rate_in), ("rate-out", &self.rate_out)] {
            if let Some(Limit { rate, burst }) = limit {
                text += &format!(" {name} {},burst={burst}", bits_text(*rate));
            }
        }
        let (router, leave, most) = (self.mcast_router, on(self.fastleave), self.mcast_max_groups);
        text + &format!("\n    mcast_router {router} mcast_fast_leave {leave} mcast_max_groups {most}\n")
    }
}

impl Storm {
    fn text(&self) -> String {
        let kinds = [("broadcast", self.broadcast), ("multicast", self.multicast), ("unknown", self.unknown)];
        let given: Vec<_> =
            kinds.iter().filter_map(|(kind, limit)| Some(format!("{kind}={}pps", (*limit)?))).collect();
        if given.is_empty() { "off".into() } else { given.join(",") }
    }
}

fn address(source: &Source) -> String {
    let [a, b, c, d, e, f, ..] = source.address;
    match source.kind {
        kind if kind == SourceKind::Mac as u16 => Mac([a, b, c, d, e, f]).to_string(),
        kind if kind == SourceKind::V4 as u16 => Ipv4Addr::new(a, b, c, d).to_string(),
        _ => Ipv6Addr::from(source.address).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{datapath::Rules, policy, snapshot::tests::sample};

    fn details() -> Details {
        let mut row = sample().ports[2].clone();
        let options = serde_json::from_str(
            r#"{"isolated":"on","mac":["52:54:00:00:00:01"],"ip":["10.0.0.1","fd00::1"],"rate":"500mbit","no-ra":"on"}"#,
        );
        let options = policy::PortOptions::or(options.unwrap(), policy::PortOptions::of_tap());
        row.rules = policy::apply(row.id, Rules::default(), &options).unwrap();
        row.rules.policy.stopped = Stop::Bpdu as u32;
        row.stations_used = 7;
        Details::of(&row)
    }

    #[test]
    fn details_are_in_the_words_that_set_them() {
        insta::assert_snapshot!(details().text(), @r"
        learning on flood on mcast_flood on bcast_flood on hairpin off isolated on locked off neigh_suppress off
        max-macs 256 (has 7) mac 52:54:00:00:00:01 ip 10.0.0.1 fd00::1
        no-dhcp-server off no-ra on bpdu-guard drop storm broadcast=1000pps,multicast=10000pps,unknown=10000pps rate-in 500mbit,burst=15625000 rate-out 500mbit,burst=15625000
        mcast_router 0 mcast_fast_leave off mcast_max_groups 256
        ");
        assert_eq!(details().stopped(), Some("stopped:bpdu"));
    }

    #[test]
    fn json_has_the_keys_of_bridge_link() {
        insta::assert_snapshot!(serde_json::to_string(&details()).unwrap(), @r#"{"learning":true,"flood":true,"mcast_flood":true,"bcast_flood":true,"hairpin":false,"isolated":true,"locked":false,"neigh_suppress":false,"stations":7,"max_macs":256,"mac":["52:54:00:00:00:01"],"ip":["10.0.0.1","fd00::1"],"no_dhcp_server":false,"no_ra":true,"bpdu_guard":"drop","storm":{"broadcast":1000,"multicast":10000,"unknown":10000},"rate_in":{"rate":500000000,"burst":15625000},"rate_out":{"rate":500000000,"burst":15625000},"stopped":"bpdu","mcast_router":0,"fastleave":false,"mcast_max_groups":256}"#);
    }
}
