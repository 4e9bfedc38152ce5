//! What of others' rules, filters and queueing disciplines frames would never meet once a device is a port.
//!
//! XDP and TC ingress run before nftables' bridge family, before ebtables, before the netdev family's ingress
//! and before the filters that others have at TC ingress. So what comes in from a port meets none of those.
//! What leaves by a port is another matter: our TC programs hand it to the device as everybody does
//! (`dev_queue_xmit`), through its queueing disciplines and the filters at egress, and only what XDP redirects
//! goes past them.

use crate::{
    Refusal,
    link::{Direction, Filter, InterfaceName, Qdisc, rules::Rule},
};

/// What is found at a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Rules that name any interface.
    pub rules: Vec<Rule>,
    /// The device's queueing disciplines.
    pub qdiscs: Vec<Qdisc>,
    /// Its filters at TC's ingress and egress.
    pub filters: Vec<(Direction, Filter)>,
    /// What the kernel gives to devices by default.
    pub default_qdisc: Option<String>,
}

/// Something that frames go past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bypassed {
    /// What it is, in words that begin a sentence.
    pub what: String,
    /// A command that shows it.
    pub see: String,
    /// Only what XDP redirects goes past it.
    pub by_xdp_only: bool,
}

/// Queueing disciplines that nobody chose for a policy.
const PLAIN: [&str; 5] = ["noqueue", "pfifo_fast", "fq_codel", "mq", "pfifo"];

/// How the filters of xbr are called, of whatever bridge.
const OWN: &str = "xbr/";

/// All that frames of a device would go past; `index` is none for one that is yet to be made.
pub fn bypassed(name: &InterfaceName, index: Option<u32>, found: &Found) -> Vec<Bypassed> {
    let rule = |rule: &Rule| {
        let key = rule.names(name.as_str(), index)?;
        let what = match key {
            "device" => format!("{} hangs on {name}", rule.place),
            key => format!("{} names {name} ({key})", rule.place),
        };
        Some(Bypassed { what, see: rule.see.clone(), by_xdp_only: false })
    };
    let mut all: Vec<_> = found.rules.iter().filter_map(rule).collect();
    all.extend(filters(name, found));
    all.extend(qdisc(name, found));
    all
}

/// The filters of others, one for each priority.
fn filters(name: &InterfaceName, found: &Found) -> Vec<Bypassed> {
    let mut all: Vec<Bypassed> = Vec::new();
    let own: Vec<_> = found.filters.iter().filter(|(_, filter)| is_own(filter)).collect();
    for (direction, filter) in &found.filters {
        // Each priority has an entry of its own beside those of its filters.
        let ours = |(at, own): &&(Direction, Filter)| {
            (*at, own.priority, own.chain) == (*direction, filter.priority, filter.chain)
        };
        if is_own(filter) || (filter.handle == 0 && own.iter().any(ours)) {
            continue;
        }
        let (word, Filter { priority, kind, .. }) = (direction.word(), filter);
        let bypassed = Bypassed {
            what: format!("a filter at TC {word} ({kind}, priority {priority}) sits on {name}"),
            see: format!("tc filter show dev {name} {word}"),
            by_xdp_only: *direction == Direction::Egress,
        };
        if !all.contains(&bypassed) {
            all.push(bypassed);
        }
    }
    all
}

fn is_own(filter: &Filter) -> bool {
    filter.name.as_deref().is_some_and(|name| name.starts_with(OWN))
}

/// The topmost queueing discipline that somebody chose.
fn qdisc(name: &InterfaceName, found: &Found) -> Option<Bypassed> {
    let plain = |kind: &str| PLAIN.contains(&kind) || found.default_qdisc.as_deref() == Some(kind);
    let chosen = found.qdiscs.iter().find(|qdisc| !qdisc.is_for_filters() && !plain(&qdisc.kind))?;
    Some(Bypassed {
        what: format!(
            "the queueing discipline {} {:x}: shapes what {name} sends",
            chosen.kind,
            chosen.handle >> 16
        ),
        see: format!("tc qdisc show dev {name}"),
        by_xdp_only: true,
    })
}

/// Refuses a port whose frames go past something. `xdp` is whether XDP was asked for by name: where it was
/// not, a port that something at its egress depends on gets TC.
pub fn refuse(name: &InterfaceName, bypassed: &[Bypassed], xdp: bool) -> Result<(), Refusal> {
    let Some(first) = bypassed.iter().find(|bypassed| xdp || !bypassed.by_xdp_only) else { return Ok(()) };
    let Bypassed { what, see, .. } = first;
    if first.by_xdp_only {
        let message = format!("{what}, and what XDP redirects to {name} would go past it");
        let hint =
            format!("take --hook {name}=tc, see it with `{see}`, or attach all the same: --allow-bypass");
        return Err(Refusal::new(message, hint));
    }
    let message = format!("{what}, and what xbr forwards from {name} would go past it");
    Err(Refusal::new(message, format!("see it with `{see}`, or attach all the same: --allow-bypass")))
}

/// Why a port that could have XDP gets TC, if something at its egress depends on it.
pub fn why_tc(bypassed: &[Bypassed]) -> Option<String> {
    bypassed.iter().find(|bypassed| bypassed.by_xdp_only).map(|bypassed| {
        let what = &bypassed.what;
        format!("{what}, which XDP would go past")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::rules::{Interface, Test};

    fn found() -> Found {
        let filter = |priority, kind: &str, name: Option<&str>| Filter {
            priority,
            handle: 1,
            chain: 0,
            kind: kind.into(),
            all_protocols: true,
            name: name.map(String::from),
        };
        let qdisc = |kind: &str, handle| Qdisc { kind: kind.into(), handle };
        Found {
            rules: vec![Rule {
                place: "rule 7 of nftables chain bridge filter FORWARD".into(),
                see: "nft -a list chain bridge filter FORWARD".into(),
                tests: vec![Test { key: "oifname", with: Interface::Prefix(b"vnet".to_vec()) }],
            }],
            qdiscs: vec![qdisc("htb", 0x1_0000), qdisc("fq_codel", 0x2_0000), qdisc("ingress", 0xffff_0000)],
            filters: vec![
                (Direction::Ingress, filter(1, "bpf", Some("xbr/xbr0"))),
                (Direction::Ingress, Filter { handle: 0, ..filter(1, "bpf", None) }),
                (Direction::Ingress, filter(49152, "u32", None)),
                (Direction::Ingress, filter(49152, "u32", None)),
                (Direction::Egress, filter(49152, "bpf", Some("cil_to_netdev"))),
            ],
            default_qdisc: None,
        }
    }

    fn what(name: &str, found: &Found) -> Vec<String> {
        let all = bypassed(&name.parse().unwrap(), Some(7), found);
        all.iter().map(|one| format!("{}{}", one.what, if one.by_xdp_only { " [xdp]" } else { "" })).collect()
    }

    #[test]
    fn what_names_a_port_is_named() {
        insta::assert_snapshot!(what("vnet0", &found()).join("\n"), @r"
        rule 7 of nftables chain bridge filter FORWARD names vnet0 (oifname)
        a filter at TC ingress (u32, priority 49152) sits on vnet0
        a filter at TC egress (bpf, priority 49152) sits on vnet0 [xdp]
        the queueing discipline htb 1: shapes what vnet0 sends [xdp]
        ");
        assert_eq!(what("xvm0", &found()).len(), 3, "the rule is about others");
    }

    #[test]
    fn defaults_are_no_policy() {
        for kind in PLAIN.into_iter().chain(["cake"]) {
            let qdiscs = vec![Qdisc { kind: kind.into(), handle: 0 }];
            let found = Found { qdiscs, default_qdisc: Some("cake".into()), ..Found::default() };
            assert_eq!(what("vm1", &found), Vec::<String>::new(), "{kind}");
        }
    }

    #[test]
    fn only_what_would_truly_be_bypassed_is_refused() {
        let name: InterfaceName = "vm1".parse().unwrap();
        let shaped = Found { rules: Vec::new(), filters: Vec::new(), ..found() };
        let all = bypassed(&name, Some(7), &shaped);
        refuse(&name, &all, false).unwrap();
        insta::assert_snapshot!(why_tc(&all).unwrap(), @"the queueing discipline htb 1: shapes what vm1 sends, which XDP would go past");
        insta::assert_snapshot!(refuse(&name, &all, true).unwrap_err(), @r"
        the queueing discipline htb 1: shapes what vm1 sends, and what XDP redirects to vm1 would go past it
        hint: take --hook vm1=tc, see it with `tc qdisc show dev vm1`, or attach all the same: --allow-bypass
        ");
        let vnet: InterfaceName = "vnet3".parse().unwrap();
        insta::assert_snapshot!(refuse(&vnet, &bypassed(&vnet, None, &found()), false).unwrap_err(), @r"
        rule 7 of nftables chain bridge filter FORWARD names vnet3 (oifname), and what xbr forwards from vnet3 would go past it
        hint: see it with `nft -a list chain bridge filter FORWARD`, or attach all the same: --allow-bypass
        ");
    }
}
