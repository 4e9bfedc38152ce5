//! Options become rules.

use bridge_common::{PortFlags, PortId, policy::Guards};

use super::*;
use crate::datapath::Rules;

const GUEST: PortId = PortId(5);

fn options(json: &str) -> PortOptions {
    serde_json::from_str(json).unwrap()
}

fn applied(rules: Rules, json: &str) -> Rules {
    apply(GUEST, rules, &options(json)).unwrap()
}

#[test]
fn each_option_has_its_bit_both_ways() {
    let words = [
        ("learning", false, PortFlags::NO_LEARNING),
        ("flood", false, PortFlags::NO_FLOOD),
        ("mcast-flood", false, PortFlags::NO_MCAST_FLOOD),
        ("bcast-flood", false, PortFlags::NO_BCAST_FLOOD),
        ("hairpin", true, PortFlags::HAIRPIN),
        ("isolated", true, PortFlags::ISOLATED),
        ("locked", true, PortFlags::LOCKED),
        ("no-dhcp-server", true, PortFlags::INSPECTED),
        ("no-ra", true, PortFlags::INSPECTED),
    ];
    for (word, on, flag) in words {
        let set = applied(Rules::default(), &format!("{{\"{word}\":{on}}}"));
        assert_eq!(set.policy.flags, flag, "{word}");
        assert_eq!(applied(set, &format!("{{\"{word}\":{}}}", !on)), Rules::default(), "{word}");
    }
}

#[test]
fn what_is_not_said_stays() {
    let all = applied(
        Rules::default(),
        r#"{"isolated":"on","max-macs":5,"mac":["52:54:00:00:00:01"],"ip":["10.0.0.1","fd00::1"],"storm":"broadcast=100pps",
            "rate":"8mbit","bpdu-guard":"shut"}"#,
    );
    assert_eq!(apply(GUEST, all.clone(), &PortOptions::default()).unwrap(), all);
    assert_eq!(all.sources.len(), 3);
    assert_eq!(all.policy.guards, Guards(Guards::MACS.0 | Guards::ADDRESSES.0 | Guards::BPDU_SHUT.0));
    let [broadcast, _, _, rate_in, _] = all.policy.rates;
    assert_eq!((broadcast.per_second, broadcast.burst), (100, 25));
    assert_eq!((rate_in.per_second, rate_in.burst), (8_000_000, 250_000));
    // One list and one limit do not touch the others.
    let less = applied(all, r#"{"ip":["off"],"storm":"unknown=7","rate-out":"off"}"#);
    assert_eq!((less.sources.len(), less.policy.guards.has(Guards::ADDRESSES)), (1, false));
    let limits = less.policy.rates.map(|rate| rate.per_second);
    assert_eq!(limits, [100, 0, 7, 8_000_000, 0]);
    assert!(!less.policy.flags.has(PortFlags::RATE_OUT) && less.policy.flags.has(PortFlags::RATE_IN));
    let one = r#"{"mac":[],"max-macs":"off"}"#;
    assert!(applied(less, one).sources.is_empty());
}

#[test]
fn a_tap_has_limits_by_itself() {
    let rules = apply(GUEST, Rules::default(), &PortOptions::of_tap()).unwrap();
    assert_eq!(rules.policy.stations_max, 256);
    assert_eq!(rules.policy.flags, PortFlags::QUOTA.or(PortFlags::STORM));
    // No more at once than a quarter of a TAP's queue.
    assert_eq!([0, 1, 2].map(|meter| rules.policy.rates[meter].burst), [250; 3]);
    // One kind that is asked for leaves the others as they are.
    let asked = applied(rules.clone(), r#"{"storm":"broadcast=50pps"}"#);
    assert_eq!(
        asked.policy.rates[..3].iter().map(|rate| rate.per_second).collect::<Vec<_>>(),
        [50, 10_000, 10_000]
    );
    assert_eq!(applied(rules, r#"{"storm":"off","max-macs":"off","mcast-router":"1"}"#), Rules::default());
}

#[test]
fn nobody_cuts_the_host_off() {
    let why = |id, json: &str| check(id, "eth0", &options(json)).map_err(|refusal| refusal.to_string());
    for json in [
        r#"{"hairpin":"on"}"#,
        r#"{"isolated":"on"}"#,
        r#"{"locked":"on"}"#,
        r#"{"bcast-flood":"off"}"#,
        r#"{"mac":["52:54:00:00:00:01"]}"#,
        r#"{"no-ra":"on"}"#,
        r#"{"bpdu-guard":"shut"}"#,
    ] {
        assert!(why(PortId::HOST, json).is_err() && why(PortId::UPLINK, json).is_err(), "{json}");
        why(GUEST, json).unwrap();
    }
    insta::assert_snapshot!(why(PortId::UPLINK, r#"{"isolated":"on"}"#).unwrap_err(), @r"
    isolated is not for eth0, the uplink: isolated guests are to reach the host and the outside, and nobody else
    hint: set it at the guests' ports
    ");
    why(PortId::UPLINK, r#"{"isolated":"off","flood":"off","max-macs":9,"rate":"1gbit"}"#).unwrap();
}

#[test]
fn addresses_and_off_do_not_go_together() {
    let both = options(r#"{"mac":["off","52:54:00:00:00:01"]}"#);
    let refusal = apply(GUEST, Rules::default(), &both).unwrap_err();
    assert_eq!(refusal.message, "mac is given addresses and off");
}
