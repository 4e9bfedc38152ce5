//! A decision in words.

use bridge_common::{
    Decision, DropReason, FdbEntry, Frame, Learn, PortFlags, PortId, Verdict, forward::leave,
};
use serde::Serialize;

use super::Facts;

/// A decision, as `xbr trace -j` has it.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// `forward`, `flood` or `drop`.
    verdict: &'static str,
    /// Where the frame, or a copy of it, leaves.
    ports: Vec<String>,
    /// The counter that a dropped frame, or the missing copies of a flooded one, show in.
    drops: Vec<Dropped>,
    /// A sentence without a full stop.
    why: String,
    /// What the frame teaches about its source.
    source: String,
    /// The hook that decides: `xdp` or `tc`.
    hook: &'static str,
}

/// A frame, or a copy of it, that does not leave.
#[derive(Debug, Serialize)]
struct Dropped {
    /// Where it is counted.
    port: String,
    reason: &'static str,
}

impl Explained {
    /// Some lines for people.
    pub fn text(&self) -> String {
        let to = match (self.verdict, self.ports.join(", ")) {
            (_, ports) if ports.is_empty() => String::new(),
            (_, ports) => format!(" to {ports}"),
        };
        let mut text = format!("{}{to}: {}\n", self.verdict, self.why);
        for dropped in &self.drops {
            text += &format!("counted at {} as {}\n", dropped.port, dropped.reason);
        }
        text + &format!("source: {}\ndecided in {}\n", self.source, self.hook)
    }
}

/// Says what was decided about a frame.
pub fn explain(facts: &Facts, frame: &Frame, ingress: PortId, decision: Decision) -> Explained {
    let dropped =
        |port: PortId, reason: DropReason| Dropped { port: facts.name(port), reason: reason.name() };
    let (verdict, ports, drops, why) = match decision.verdict {
        Verdict::Forward(port) => ("forward", vec![port], Vec::new(), reason_to_forward(facts, frame)),
        Verdict::Flood(_) => {
            // A port that is down takes no part in it.
            let others = facts.ports.iter().filter(|(id, port)| **id != ingress && port.is_up());
            let (out, lost): (Vec<_>, Vec<_>) = others.partition(|(_, port)| leave(frame, port).is_ok());
            let lost =
                lost.into_iter().filter_map(|(id, port)| Some(dropped(*id, leave(frame, port).err()?)));
            let out = out.into_iter().map(|(id, _)| *id).collect();
            ("flood", out, lost.collect(), reason_to_flood(facts, frame))
        }
        Verdict::Drop(reason, port) => {
            ("drop", Vec::new(), vec![dropped(port, reason)], words(reason).into())
        }
    };
    let hook = hook(facts, frame, ingress, decision.verdict);
    let ports = ports.into_iter().map(|id| facts.name(id)).collect();
    Explained { verdict, ports, drops, why, source: source(facts, decision.learn, ingress), hook }
}

fn reason_to_forward(facts: &Facts, frame: &Frame) -> String {
    let to = frame.dst;
    match facts.stations.get(&frame.destination()) {
        _ if to.is_link_local_group() => format!("{to} stays between the host and the wire"),
        _ if to == facts.config.uplink_mac => format!("{to} is the host's own address"),
        Some(entry) => format!("{to} is there ({})", heard(facts, entry)),
        None => format!("{to} is there"),
    }
}

fn reason_to_flood(facts: &Facts, frame: &Frame) -> String {
    let to = frame.dst;
    match facts.stations.get(&frame.destination()) {
        _ if to.is_group() => format!("{to} is a group"),
        Some(entry) => {
            format!("{to} was at {}, too long ago ({})", facts.name(entry.port()), heard(facts, entry))
        }
        None => format!("{to} is not known"),
    }
}

fn heard(facts: &Facts, entry: &FdbEntry) -> String {
    let seconds = facts.now.saturating_sub(entry.last_seen) / 1_000_000_000;
    let state = if entry.is_static() { "static" } else { "learned" };
    format!("{state}, heard {seconds} s ago")
}

fn source(facts: &Facts, learn: Learn, ingress: PortId) -> String {
    let here = facts.name(ingress);
    match learn {
        Learn::Nothing => "nothing new".into(),
        Learn::Refresh => format!("known at {here}; its time is written"),
        Learn::New => format!("new; learned at {here} while the table has room"),
        Learn::Move(from) => format!("moves from {} to {here}", facts.name(from)),
        Learn::RefuseStatic(owner) => format!("stays at {}, where it is static", facts.name(owner)),
    }
}

/// XDP decides where the frame comes in by XDP, is no longer than a frame may be, and leaves, if at all, once
/// and through a port that takes XDP.
fn hook(facts: &Facts, frame: &Frame, ingress: PortId, verdict: Verdict) -> &'static str {
    let has = |id: PortId, flag| facts.ports.get(&id).is_some_and(|port| port.flags.has(flag));
    let fits = facts.ports.get(&ingress).is_some_and(|port| port.fits(frame.length));
    if ingress == PortId::HOST || !has(ingress, PortFlags::XDP) || !fits {
        return "tc";
    }
    match verdict {
        Verdict::Drop(..) => "xdp",
        Verdict::Forward(port) if port == PortId::HOST || !has(port, PortFlags::XDP) => "tc",
        Verdict::Forward(_) if has(ingress, PortFlags::GUARD) => {
            "xdp where its checksums are proved finished, else tc"
        }
        Verdict::Forward(_) => "xdp",
        Verdict::Flood(_) => "tc",
    }
}

fn words(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Malformed => "it is shorter than an Ethernet header",
        DropReason::BadSource => "no station has that source address",
        DropReason::HostSource => "the source is the host's own address, and the sender is not the host",
        DropReason::LinkLocal => "guests do not speak with the wire's link-local groups",
        DropReason::PortDown => "the port does not forward",
        DropReason::SamePort => "the destination is behind the port that it came from",
        DropReason::TooBig => "it is longer than the port's MTU",
        DropReason::Redirect => "the kernel refuses the redirect",
        DropReason::NoPort => "it comes from no port",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::sample;
    use bridge_common::{FdbFlags, FdbKey, Mac, decide};

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 1000 * SECOND;
    const VM1: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);
    const OUTSIDE: Mac = Mac([0x52, 0x54, 0, 0, 0, 2]);
    const GONE: Mac = Mac([0x52, 0x54, 0, 0, 0, 3]);
    const FIXED: Mac = Mac([0x52, 0x54, 0, 0, 0, 4]);
    const NEW: Mac = Mac([0x52, 0x54, 0, 0, 0, 5]);

    fn facts() -> Facts {
        let sample = sample();
        let key = |mac| FdbKey { vlan: 0, mac };
        let entry = |port, flags, ago: u64| FdbEntry::new(PortId(port), flags, NOW - ago * SECOND);
        let learned = FdbFlags::default();
        Facts {
            config: sample.config,
            now: NOW,
            stations: [
                (key(VM1), entry(2, learned, 5)),
                (key(OUTSIDE), entry(1, learned, 7)),
                (key(GONE), entry(1, learned, 301)),
                (key(FIXED), entry(2, FdbFlags::STATIC, 900)),
            ]
            .into(),
            ports: sample.ports.iter().map(|row| (row.id, row.port)).collect(),
            names: sample.ports.iter().map(|row| (row.id, row.name.clone())).collect(),
        }
    }

    fn said(ingress: u16, src: Mac, dst: Mac, length: u32) -> String {
        let facts = facts();
        let frame = Frame { dst, src, vlan: 0, length };
        let decision = decide(&frame, PortId(ingress), NOW, &facts.config, &facts);
        explain(&facts, &frame, PortId(ingress), decision).text()
    }

    #[test]
    fn each_verdict_has_its_words() {
        let uplink = facts().config.uplink_mac;
        insta::assert_snapshot!(said(2, VM1, OUTSIDE, 60), @r"
        forward to eth0: 52:54:00:00:00:02 is there (learned, heard 7 s ago)
        source: known at vm1; its time is written
        decided in tc
        ");
        insta::assert_snapshot!(said(2, NEW, uplink, 60), @r"
        forward to host: 52:54:00:12:34:56 is the host's own address
        source: new; learned at vm1 while the table has room
        decided in tc
        ");
        insta::assert_snapshot!(said(2, OUTSIDE, GONE, 60), @r"
        flood to host, eth0: 52:54:00:00:00:03 was at eth0, too long ago (learned, heard 301 s ago)
        source: moves from eth0 to vm1
        decided in tc
        ");
        insta::assert_snapshot!(said(1, FIXED, Mac::BROADCAST, 60), @r"
        flood to host, vm1: ff:ff:ff:ff:ff:ff is a group
        source: stays at vm1, where it is static
        decided in tc
        ");
        insta::assert_snapshot!(said(1, OUTSIDE, VM1, 1600), @r"
        drop: it is longer than the port's MTU
        counted at vm1 as too_big
        source: known at eth0; its time is written
        decided in tc
        ");
        insta::assert_snapshot!(said(2, uplink, OUTSIDE, 60), @r"
        drop: the source is the host's own address, and the sender is not the host
        counted at vm1 as host_source
        source: nothing new
        decided in tc
        ");
        insta::assert_snapshot!(said(2, VM1, Mac([1, 0x80, 0xc2, 0, 0, 0]), 60), @r"
        drop: guests do not speak with the wire's link-local groups
        counted at vm1 as link_local
        source: nothing new
        decided in tc
        ");
        insta::assert_snapshot!(said(3, VM1, OUTSIDE, 60), @r"
        drop: the port does not forward
        counted at veth1 as port_down
        source: nothing new
        decided in xdp
        ");
    }

    #[test]
    fn json_has_the_same() {
        let facts = facts();
        let frame = Frame { dst: NEW, src: VM1, vlan: 0, length: 60 };
        let decision = decide(&frame, PortId(2), NOW, &facts.config, &facts);
        let explained = explain(&facts, &frame, PortId(2), decision);
        insta::assert_snapshot!(serde_json::to_string(&explained).unwrap(), @r#"{"verdict":"flood","ports":["host","eth0"],"drops":[],"why":"52:54:00:00:00:05 is not known","source":"known at vm1; its time is written","hook":"tc"}"#);
    }
}
