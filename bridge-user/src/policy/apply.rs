//! From what an operator says to what the programs read.

use std::net::IpAddr;

use bridge_common::{
    Policy, PortFlags, PortId,
    multicast::{GroupPolicy, RouterMode},
    policy::{Guards, Rate, Source, SourceKind},
};

use super::{
    MaxGroups, PortOptions,
    limits::{Limit, Storm},
    units::LEAST_BURST,
    values::{AllowedIp, AllowedMac, BpduGuard, Switch},
};
use crate::{Refusal, datapath::Rules};

/// What may come at once if nothing is said: a quarter of a second. A TCP that loses the tail of its window is silent for at
/// least 200 ms (`TCP_RTO_MIN`), for which a smaller bucket does not make up: with 50 ms it came to a quarter of its rate.
const BURSTS_A_SECOND: u64 = 4;
/// Two segments of 64 KiB.
const USUAL_BURST: u64 = 2 * LEAST_BURST;
/// The most floods that may come at once, whatever their rate: each is copied into the queues of all others, a TAP's holds 1000 frames
/// (`DEFAULT_TX_QUEUE_LEN`), and what does not fit there is lost to whoever it was for.
const FLOODS_AT_ONCE: u64 = 250;

/// What a port is allowed, changed as the options say.
pub fn apply(id: PortId, mut rules: Rules, options: &PortOptions) -> Result<Rules, Refusal> {
    flags(&mut rules.policy, options);
    guards(&mut rules.policy.guards, options);
    limits(&mut rules.policy, options);
    groups(&mut rules.groups, options);
    if let Some(macs) = &options.mac {
        let listed = macs.iter().map(|mac| match mac {
            AllowedMac::Off => None,
            AllowedMac::One(mac) => Some(Source::mac(id, *mac)),
        });
        list(&mut rules, Guards::MACS, "mac", listed.collect(), |kind| kind == SourceKind::Mac as u16)?;
    }
    if let Some(ips) = &options.ip {
        let listed = ips.iter().map(|ip| match ip {
            AllowedIp::Off => None,
            AllowedIp::One(IpAddr::V4(v4)) => Some(Source::v4(id, v4.octets())),
            AllowedIp::One(IpAddr::V6(v6)) => Some(Source::v6(id, v6.octets())),
        });
        list(&mut rules, Guards::ADDRESSES, "ip", listed.collect(), |kind| kind != SourceKind::Mac as u16)?;
    }
    rules.policy = rules.policy.settled();
    Ok(rules)
}

fn flags(policy: &mut Policy, options: &PortOptions) {
    // The programs know the unusual: a word of zeroes is a port of which nothing was said.
    let inverted = [
        (&options.learning, PortFlags::NO_LEARNING),
        (&options.flood, PortFlags::NO_FLOOD),
        (&options.mcast_flood, PortFlags::NO_MCAST_FLOOD),
        (&options.bcast_flood, PortFlags::NO_BCAST_FLOOD),
    ];
    let plain = [
        (&options.hairpin, PortFlags::HAIRPIN),
        (&options.isolated, PortFlags::ISOLATED),
        (&options.locked, PortFlags::LOCKED),
        (&options.neigh_suppress, PortFlags::NEIGH_SUPPRESS),
    ];
    for (switch, flag) in inverted {
        if let Some(Switch(on)) = switch {
            policy.flags = policy.flags.with(flag, !on);
        }
    }
    for (switch, flag) in plain {
        if let Some(Switch(on)) = switch {
            policy.flags = policy.flags.with(flag, *on);
        }
    }
}

fn guards(guards: &mut Guards, options: &PortOptions) {
    let shut = options.bpdu_guard.map(|guard| Switch(guard == BpduGuard::Shut));
    let switches = [
        (options.no_dhcp_server, Guards::NO_DHCP_SERVER),
        (options.no_ra, Guards::NO_RA),
        (shut, Guards::BPDU_SHUT),
    ];
    for (switch, guard) in switches {
        if let Some(Switch(on)) = switch {
            *guards = guards.with(guard, on);
        }
    }
}

fn groups(groups: &mut GroupPolicy, options: &PortOptions) {
    if let Some(router) = options.mcast_router {
        groups.router = RouterMode::from(router) as u16;
    }
    if let Some(Switch(on)) = options.mcast_fast_leave {
        groups.fast_leave = u16::from(on);
    }
    if let Some(MaxGroups(max)) = options.mcast_max_groups {
        groups.groups_max = max;
    }
}

fn limits(policy: &mut Policy, options: &PortOptions) {
    if let Some(max) = options.max_macs {
        policy.stations_max = max.0;
    }
    let [broadcast, multicast, unknown, rate_in, rate_out] = &mut policy.rates;
    let Storm { broadcast: b, multicast: m, unknown: u } = options.storm.unwrap_or_default();
    for (rate, limit) in [(broadcast, b), (multicast, m), (unknown, u)] {
        if let Some(limit) = limit {
            *rate = Rate::frames(limit, (limit / BURSTS_A_SECOND).clamp(1, FLOODS_AT_ONCE));
        }
    }
    for (rate, limit) in
        [(rate_in, options.rate_in.or(options.rate)), (rate_out, options.rate_out.or(options.rate))]
    {
        if let Some(Limit { bits, burst }) = limit {
            *rate = Rate::bits(bits, burst.unwrap_or((bits / 8 / BURSTS_A_SECOND).max(USUAL_BURST)));
        }
    }
}

/// Replaces a list of addresses. No address, or the word `off`, takes its guard off.
fn list(
    rules: &mut Rules,
    guard: Guards,
    name: &str,
    listed: Vec<Option<Source>>,
    of_list: impl Fn(u16) -> bool,
) -> Result<(), Refusal> {
    if listed.len() > 1 && listed.contains(&None) {
        let message = format!("{name} is given addresses and off");
        return Err(Refusal::new(message, "write the addresses, or off for any"));
    }
    rules.sources.retain(|source| !of_list(source.kind));
    rules.sources.extend(listed.iter().flatten());
    let on = listed.iter().any(Option::is_some);
    rules.policy.guards = rules.policy.guards.with(guard, on);
    Ok(())
}

/// Refuses what makes no sense for the host and the uplink. They must never be cut off from each other.
pub fn check(id: PortId, name: &str, options: &PortOptions) -> Result<(), Refusal> {
    if id.is_guest() {
        return Ok(());
    }
    let host = id == PortId::HOST;
    let circles = match host {
        true => "the host hears its own frames itself",
        false => "frames sent back to where they came from would circle outside",
    };
    let unknown = "the host and the outside speak for addresses that nobody knows beforehand";
    let switched = |switch: Option<Switch>, on: bool| switch == Some(Switch(on));
    let listed = options.mac.is_some() || options.ip.is_some();
    let guards = switched(options.no_dhcp_server, true) || switched(options.no_ra, true);
    let why = if switched(options.hairpin, true) {
        Some(("hairpin", circles))
    } else if switched(options.isolated, true) {
        Some(("isolated", "isolated guests are to reach the host and the outside, and nobody else"))
    } else if switched(options.locked, true) {
        Some(("locked", unknown))
    } else if host && switched(options.neigh_suppress, true) {
        Some(("neigh_suppress", "the host answers for its own addresses, and hears what it asks for"))
    } else if switched(options.bcast_flood, false) {
        Some(("bcast_flood off", "without broadcasts nobody finds the host, nor it anybody"))
    } else if switched(options.mcast_flood, false) {
        Some(("mcast_flood off", "without multicasts nobody finds the host by IPv6, nor it anybody"))
    } else if listed || guards || options.bpdu_guard == Some(BpduGuard::Shut) {
        Some(("a guard", unknown))
    } else {
        None
    };
    let Some((what, why)) = why else { return Ok(()) };
    let which = if host { "the host".into() } else { format!("{name}, the uplink") };
    Err(Refusal::new(format!("{what} is not for {which}: {why}"), "set it at the guests' ports"))
}
