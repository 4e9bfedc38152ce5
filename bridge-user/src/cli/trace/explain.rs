//! A decision in words.

use bridge_common::{
    Decision, DropReason, FdbEntry, Frame, Learn, PortFlags, PortId, Question, Verdict, Vlans as _,
    forward::leave, vlan::Membership,
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
    /// Its VLAN, while VLANs are filtered and if it came as far as that.
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<u16>,
    /// Those of `ports` where it leaves with a tag, while VLANs are filtered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tagged: Vec<String>,
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
        if let Some(vlan) = self.vlan {
            let tagged = match self.tagged.join(", ") {
                _ if self.ports.is_empty() => String::new(),
                ports if ports.is_empty() => "; leaves without a tag".into(),
                ports => format!("; leaves with a tag at {ports}"),
            };
            text += &format!("in VLAN {vlan}{tagged}\n");
        }
        text + &format!("source: {}\ndecided in {}\n", self.source, self.hook)
    }
}

/// Says what was decided about a frame.
pub fn explain(facts: &Facts, question: &Question<'_>, decision: Decision) -> Explained {
    let (frame, ingress) = (&question.frame, question.ingress);
    let dropped =
        |port: PortId, reason: DropReason| Dropped { port: facts.name(port), reason: reason.name() };
    let (verdict, ports, drops, why) = match decision.verdict {
        Verdict::Forward(port) => {
            ("forward", vec![port], Vec::new(), reason_to_forward(facts, frame, decision.vlan))
        }
        Verdict::Flood(_) => {
            let mut out = Vec::new();
            let mut lost = Vec::new();
            for id in facts.ports.keys() {
                match leave(question, &decision, *id, facts) {
                    Ok(_) => out.push(*id),
                    Err(reason) if reason.abstains() => {}
                    Err(reason) => lost.push(dropped(*id, reason)),
                }
            }
            ("flood", out, lost, reason_to_flood(facts, frame, decision.vlan))
        }
        Verdict::Drop(reason, port) => {
            ("drop", Vec::new(), vec![dropped(port, reason)], words(reason).into())
        }
    };
    let hook = hook(facts, frame, ingress, decision.verdict);
    let tagged = |id: &PortId| facts.membership(decision.vlan, *id) == Membership::Tagged;
    let tagged = ports.iter().copied().filter(|_| decision.vlan != 0).filter(tagged);
    let tagged = tagged.map(|id| facts.name(id)).collect();
    let vlan = (decision.vlan != 0).then_some(decision.vlan);
    let ports = ports.into_iter().map(|id| facts.name(id)).collect();
    let source = source(facts, decision.learn(), ingress);
    Explained { verdict, ports, drops, why, vlan, tagged, source, hook }
}

fn reason_to_forward(facts: &Facts, frame: &Frame, vlan: u16) -> String {
    let to = frame.dst;
    match facts.stations.get(&frame.destination(vlan)) {
        _ if to.is_link_local_group() => format!("{to} stays between the host and the wire"),
        _ if to.is(facts.config.uplink) => format!("{to} is the host's own address"),
        Some(entry) => format!("{to} is there ({})", heard(facts, entry)),
        None => format!("{to} is there"),
    }
}

fn reason_to_flood(facts: &Facts, frame: &Frame, vlan: u16) -> String {
    let to = frame.dst;
    match facts.stations.get(&frame.destination(vlan)) {
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
        Learn::Move(entry) => format!("moves from {} to {here}", facts.name(entry.port())),
        Learn::RefuseStatic(owner) => format!("stays at {}, where it is static", facts.name(owner)),
        Learn::RefuseQuota => format!("new, and {here} has all the stations that it may have"),
        Learn::RefuseFlap(owner) => format!("stays at {}: it has moved too often", facts.name(owner)),
    }
}

/// XDP decides where the frame comes in by XDP, is no longer than a frame may be, and leaves, if at all, once
/// and through a port that takes XDP.
fn hook(facts: &Facts, frame: &Frame, ingress: PortId, verdict: Verdict) -> &'static str {
    let has = |id: PortId, flag| facts.ports.get(&id).is_some_and(|port| port.flags.has(flag));
    let fits = facts.ports.get(&ingress).is_some_and(|port| port.fits(frame.frames.longest));
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
        DropReason::Bpdu => "guests take no part in spanning tree",
        DropReason::VlanIngress => "the port is not in the frame's VLAN",
        DropReason::VlanEgress => "the port where it would leave is not in its VLAN",
        DropReason::DoubleTag => "without its tag it would show another one",
        DropReason::Isolated => "both ports are isolated",
        DropReason::NoFlood => "the port takes no floods of its kind",
        DropReason::Locked => "the port is locked, and the source is not known there",
        DropReason::MacGuard => "the port may not use that source address",
        DropReason::IpGuard => "the port may not use that IP address",
        DropReason::ArpGuard => "it speaks ARP for an address that the port may not use",
        DropReason::NdGuard => "it speaks for an IPv6 address that the port may not use",
        DropReason::DhcpServer => "the port is not to answer DHCP",
        DropReason::Ra => "the port is not to advertise a router",
        DropReason::StormBroadcast => "the port has sent too many broadcasts",
        DropReason::StormMulticast => "the port has sent too many multicasts",
        DropReason::StormUnknown => "the port has sent too many frames to nobody known",
        DropReason::RateIn => "the port has sent too much",
        DropReason::RateOut => "the port has been sent too much",
        DropReason::Retag => "the kernel cannot change its tag",
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
    use bridge_common::{
        FdbFlags, FdbKey, Mac, Ports as _,
        config::ConfigFlags,
        decide,
        frame::Segments,
        vlan::{ANY_VLAN, Tag},
    };

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
            vlans: Default::default(),
            allowed: Default::default(),
        }
    }

    fn decided(facts: &Facts, question: &Question<'_>) -> Explained {
        let port = facts.port(question.ingress);
        explain(facts, question, decide(question, port.as_ref(), facts, facts, |_| None))
    }

    fn said(ingress: u16, src: Mac, dst: Mac, length: u32) -> String {
        let facts = facts();
        let frame =
            Frame { dst: dst.address(), src: src.address(), tag: Tag::NONE, frames: Segments::one(length) };
        let question = Question { frame, ingress: PortId(ingress), now: NOW, config: &facts.config };
        decided(&facts, &question).text()
    }

    #[test]
    fn each_verdict_has_its_words() {
        let uplink = facts().config.uplink.mac();
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
        drop: guests take no part in spanning tree
        counted at vm1 as bpdu
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

    /// VLAN 10 with a tag at eth0 and without at vm1, whose PVID it is; the host in VLAN 1.
    fn with_vlans(ingress: u16, tag: Tag, dst: Mac) -> Explained {
        let mut facts = facts();
        facts.config.flags = facts.config.flags.with(ConfigFlags::VLAN_FILTERING, true);
        facts.vlans = sample().vlans.iter().map(|row| (row.vid, row.vlan)).collect();
        let vm1 = facts.ports.get_mut(&PortId(2)).unwrap();
        vm1.flags = vm1.flags.with_pvid(10);
        let entry = FdbEntry::new(PortId(1), FdbFlags::STATIC, NOW);
        facts.stations.insert(FdbKey { vlan: ANY_VLAN, mac: FIXED }, entry);
        let frame = Frame { dst: dst.address(), src: FIXED.address(), tag, frames: Segments::one(60) };
        let question = Question { frame, ingress: PortId(ingress), now: NOW, config: &facts.config };
        decided(&facts, &question)
    }

    #[test]
    fn vlans_and_tags_are_told() {
        insta::assert_snapshot!(with_vlans(2, Tag::NONE, Mac::BROADCAST).text(), @r"
        flood to eth0: ff:ff:ff:ff:ff:ff is a group
        in VLAN 10; leaves with a tag at eth0
        source: stays at eth0, where it is static
        decided in tc
        ");
        insta::assert_snapshot!(with_vlans(1, Tag::new(10, false), Mac::BROADCAST).text(), @r"
        flood to vm1: ff:ff:ff:ff:ff:ff is a group
        in VLAN 10; leaves without a tag
        source: new; learned at eth0 while the table has room
        decided in tc
        ");
        insta::assert_snapshot!(with_vlans(2, Tag::new(20, false), NEW).text(), @r"
        drop: the port is not in the frame's VLAN
        counted at vm1 as vlan_ingress
        source: nothing new
        decided in tc
        ");
        insta::assert_snapshot!(serde_json::to_string(&with_vlans(2, Tag::NONE, NEW)).unwrap(), @r#"{"verdict":"flood","ports":["eth0"],"drops":[],"why":"52:54:00:00:00:05 is not known","vlan":10,"tagged":["eth0"],"source":"stays at eth0, where it is static","hook":"tc"}"#);
    }

    #[test]
    fn what_a_port_is_allowed_is_asked_too() {
        let mut facts = facts();
        let options = serde_json::from_str(r#"{"max-macs":3,"storm":"broadcast=1"}"#).unwrap();
        let rules = crate::policy::apply(PortId(2), Default::default(), &options).unwrap();
        facts.ports.get_mut(&PortId(2)).unwrap().flags = PortFlags::UP.or(rules.policy.flags);
        let said = |facts: &Facts, dst: Mac| {
            let frame =
                Frame { dst: dst.address(), src: NEW.address(), tag: Tag::NONE, frames: Segments::one(60) };
            let question = Question { frame, ingress: PortId(2), now: NOW, config: &facts.config };
            decided(facts, &question).text()
        };
        let allowed = super::super::Allowed { rules, stations_used: 2, ..Default::default() };
        facts.allowed.insert(PortId(2), allowed);
        assert!(said(&facts, OUTSIDE).contains("new; learned at vm1"), "{}", said(&facts, OUTSIDE));
        assert!(said(&facts, Mac::BROADCAST).starts_with("flood"));
        let allowed = facts.allowed.get_mut(&PortId(2)).unwrap();
        allowed.stations_used = 3;
        // As after a frame just now, of one a second.
        allowed.levels[0] = NOW + SECOND;
        insta::assert_snapshot!(said(&facts, OUTSIDE) + &said(&facts, Mac::BROADCAST), @r"
        forward to eth0: 52:54:00:00:00:02 is there (learned, heard 7 s ago)
        source: new, and vm1 has all the stations that it may have
        decided in tc
        drop: the port has sent too many broadcasts
        counted at vm1 as storm_broadcast
        source: nothing new
        decided in tc
        ");
    }

    #[test]
    fn json_has_the_same() {
        let facts = facts();
        let frame =
            Frame { dst: NEW.address(), src: VM1.address(), tag: Tag::NONE, frames: Segments::one(60) };
        let question = Question { frame, ingress: PortId(2), now: NOW, config: &facts.config };
        let explained = decided(&facts, &question);
        insta::assert_snapshot!(serde_json::to_string(&explained).unwrap(), @r#"{"verdict":"flood","ports":["host","eth0"],"drops":[],"why":"52:54:00:00:00:05 is not known","source":"known at vm1; its time is written","hook":"tc"}"#);
    }
}
