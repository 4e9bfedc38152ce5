//! The forwarding decision: the only place where xbr decides where a frame goes.
//!
//! [`decide`] looks and says; [`commit`] writes down what it said about the source. They are two functions
//! because XDP commits entirely or not at all: a frame that it leaves to TC must have left no trace.
//! [`leave`] is the part that each copy of a flood asks anew.

pub use crate::decision::{Decision, Learn, Lesson, Spread, Verdict};
use crate::{
    Config, DropReason, Fdb, FdbEntry, FdbEventKind, Frame, Mac, Port, PortFlags, PortId, Ports,
    config::ConfigFlags,
    fdb::{FdbFlags, Full, Stations, Whereabouts},
    link_local::link_local,
    multicast::{EVERYONE, Groups},
    policy::{Guards, Meter, Policies},
    vlan::{ANY_VLAN, Membership, Retag, Vlans, retag},
};

/// All that the decision asks. There are two implementations: the BPF maps, and the tests' model.
pub trait Tables: Fdb + Ports + Vlans + Policies {}

impl<T: Fdb + Ports + Vlans + Policies> Tables for T {}

/// A frame that came in, and when and where.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The frame.
    pub frame: Frame,
    /// Where it came in.
    pub ingress: PortId,
    /// In nanoseconds of the FDB's clock.
    pub now: u64,
    /// What holds for the whole bridge.
    pub config: &'a Config,
}

/// Decides about a frame. `port` is where it came in, which the caller has read already; `stations` is the FDB, or a table in front of it
/// ([`crate::recent`]). `inspect` looks into it as the guards of its port say ([`crate::inspect::inspect`]); it is asked only
/// where there are any, and is a function of its own so that no other frame pays for it.
///
/// Order: link → ingress policy → learn → look up → egress policy.
#[inline(always)]
pub fn decide<T: Tables>(
    question: &Question<'_>,
    port: Option<&Port>,
    stations: &impl Stations,
    tables: &T,
    inspect: impl FnOnce(Guards) -> Option<DropReason>,
) -> Decision {
    let Question { frame, ingress, config, .. } = question;
    let ingress = *ingress;
    if !frame.src.is_station() {
        return Decision::refuse(DropReason::BadSource, ingress);
    }
    let host_source = frame.src.is(config.uplink);
    if host_source && ingress != PortId::HOST {
        return Decision::refuse(DropReason::HostSource, ingress);
    }
    let Some(port) = port.filter(|port| port.is_up()) else {
        return Decision::refuse(DropReason::PortDown, ingress);
    };
    let mut decision = Decision { from: port.flags, ..Decision::refuse(DropReason::PortDown, ingress) };
    if frame.dst.is_link_local_group() {
        link_local(question, &mut decision, tables);
        return decision;
    }
    match enter(question, port.flags, tables, inspect) {
        Ok(vlan) => decision.vlan = vlan,
        Err(reason) => {
            decision.verdict = Verdict::Drop(reason, ingress);
            return decision;
        }
    }
    // The uplink's own address is a fact of the port, not a station.
    if !host_source && let Err(reason) = source(question, &mut decision, stations, tables) {
        decision.verdict = Verdict::Drop(reason, ingress);
        return decision;
    }
    // Else the verifier goes through all that follows once for each lesson: most of what a start took.
    decision.lesson = decision.lesson.unforeseen(question.now);
    destination(question, &mut decision, stations, tables);
    decision
}

/// Ingress policy: the frame's VLAN, or why it does not come in.
#[inline(always)]
fn enter<T: Tables>(
    question: &Question<'_>,
    port: PortFlags,
    tables: &T,
    inspect: impl FnOnce(Guards) -> Option<DropReason>,
) -> Result<u16, DropReason> {
    let Question { frame, ingress, now, config } = question;
    let mut vlan = 0;
    if config.filters_vlans() {
        // No tag, or one of priority only, is the port's own VLAN.
        vlan = if frame.tag.vid() == 0 { port.pvid() } else { frame.tag.vid() };
        if vlan == 0 || vlan == 0xfff || tables.membership(vlan, *ingress) == Membership::None {
            return Err(DropReason::VlanIngress);
        }
    }
    if port.has(PortFlags::INSPECTED)
        && let Some(reason) = inspect(tables.guards(*ingress))
    {
        return Err(reason);
    }
    if port.has(PortFlags::RATE_IN) && !tables.may(*ingress, Meter::In, *now, frame.frames.bytes) {
        return Err(DropReason::RateIn);
    }
    Ok(vlan)
}

/// Writes what the frame teaches about its source, or says why that one may not send.
#[inline(always)]
fn source(
    question: &Question<'_>,
    decision: &mut Decision,
    stations: &impl Stations,
    tables: &impl Policies,
) -> Result<(), DropReason> {
    let Question { frame, ingress, now, config } = question;
    let port = decision.from;
    if port.has(PortFlags::NO_LEARNING) && !port.has(PortFlags::LOCKED) {
        return Ok(());
    }
    let station = frame.source(decision.vlan);
    let here = stations.whereabouts(&station, *now, config.ageing);
    if here.is_known() && here.port() == *ingress {
        if here.is_due() {
            decision.lesson = Lesson::Refresh;
        }
        return Ok(());
    }
    if port.has(PortFlags::LOCKED) {
        return Err(DropReason::Locked);
    }
    let mut known = false;
    if let Some(entry) = stations.station(&station) {
        known = !entry.is_expired(*now, config.ageing);
        decision.about = entry;
    }
    let entry = decision.about;
    if known && entry.port() == *ingress {
        // Another CPU was faster.
        return Ok(());
    }
    if config.filters_vlans()
        && let Some(owner) = stations.station(&frame.source(ANY_VLAN))
        && owner.port() != *ingress
    {
        (decision.lesson, decision.about) = (Lesson::RefuseStatic, owner);
    } else if known && entry.is_fixed() {
        decision.lesson = Lesson::RefuseStatic;
    } else if known && config.flap_moves != 0 && entry.moves(*now, config.flap_window) >= config.flap_moves {
        decision.lesson = Lesson::RefuseFlap;
    } else if port.has(PortFlags::QUOTA) && !tables.has_room(*ingress) {
        decision.lesson = Lesson::RefuseQuota;
    } else {
        decision.lesson = if known { Lesson::Move } else { Lesson::New };
    }
    Ok(())
}

/// Writes verdict, spread and tag.
#[inline(always)]
fn destination<T: Tables>(
    question: &Question<'_>,
    decision: &mut Decision,
    stations: &impl Stations,
    tables: &T,
) {
    let Question { frame, ingress, now, config } = question;
    let egress = if frame.dst.is_group() {
        let all = frame.dst.is(Mac::BROADCAST.address());
        decision.spread = if all { Spread::Broadcast } else { Spread::Multicast };
        return flood(question, decision, tables);
    } else if frame.dst.is(config.uplink) {
        PortId::HOST
    } else {
        let mut to = stations.whereabouts(&frame.destination(decision.vlan), *now, config.ageing);
        // To its own sender, which this very frame tells to be here.
        if frame.dst.is(frame.src) && decision.tells_where() {
            to = Whereabouts::of(*ingress, false);
        }
        if !to.is_known() {
            decision.spread = Spread::Unknown;
            return flood(question, decision, tables);
        }
        to.port()
    };
    decision.verdict = match leave(question, decision, egress, tables) {
        Ok((port, retag)) => {
            (decision.to, decision.retag) = (port, retag);
            Verdict::Forward(egress)
        }
        Err(reason) => Verdict::Drop(reason, egress),
    };
}

/// A frame for many, unless its port has sent too many of its kind: then it does not even teach.
#[inline(always)]
fn flood<T: Tables>(question: &Question<'_>, decision: &mut Decision, tables: &T) {
    let Question { frame, ingress, now, .. } = question;
    decision.verdict = Verdict::Flood(*ingress);
    if !decision.from.has(PortFlags::STORM) {
        return;
    }
    let (meter, reason) = match decision.spread {
        Spread::Broadcast => (Meter::Broadcast, DropReason::StormBroadcast),
        Spread::Multicast => (Meter::Multicast, DropReason::StormMulticast),
        Spread::Unknown | Spread::One => (Meter::Unknown, DropReason::StormUnknown),
    };
    if !tables.may(*ingress, meter, *now, frame.frames.packets) {
        decision.verdict = Verdict::Drop(reason, *ingress);
        decision.lesson = Lesson::Nothing;
    }
}

/// Egress policy: whether a frame, or a flood's copy of it, may leave through this port, and with which tag.
#[inline(always)]
pub fn leave<T: Ports + Vlans + Policies>(
    question: &Question<'_>,
    decision: &Decision,
    egress: PortId,
    tables: &T,
) -> Result<(Port, Retag), DropReason> {
    leave_as(question, decision, decision.spread, egress, tables)
}

/// [`leave`], of a copy that is for a set of ports: see [`crate::multicast::look`]. A port that is in a group gets it whether unknown
/// multicasts leave there or not, as in the Linux bridge (`br_multicast_flood`).
#[inline(always)]
pub fn leave_for<T: Tables + Groups>(
    question: &Question<'_>,
    decision: &Decision,
    set: u32,
    egress: PortId,
    tables: &T,
) -> Result<(Port, Retag), DropReason> {
    if set == EVERYONE {
        return leave(question, decision, egress, tables);
    }
    if !tables.is_member(set, egress) {
        return Err(DropReason::NoFlood);
    }
    leave_as(question, decision, Spread::One, egress, tables)
}

#[inline(always)]
fn leave_as<T: Ports + Vlans + Policies>(
    question: &Question<'_>,
    decision: &Decision,
    spread: Spread,
    egress: PortId,
    tables: &T,
) -> Result<(Port, Retag), DropReason> {
    let Question { frame, ingress, now, .. } = question;
    let Some(port) = tables.port(egress).filter(Port::is_up) else { return Err(DropReason::PortDown) };
    let (from, to) = (decision.from, port.flags);
    if egress == *ingress && !from.has(PortFlags::HAIRPIN) {
        return Err(DropReason::SamePort);
    }
    if from.has(PortFlags::ISOLATED) && to.has(PortFlags::ISOLATED) {
        return Err(DropReason::Isolated);
    }
    let unwanted = match spread {
        Spread::One => PortFlags(0),
        // As the Linux bridge's own device, unless that is promiscuous (`br_handle_frame_finish`).
        Spread::Unknown if egress == PortId::HOST && question.config.flags.has(ConfigFlags::HOST_ALONE) => {
            return Err(DropReason::NoFlood);
        }
        Spread::Unknown => PortFlags::NO_FLOOD,
        Spread::Multicast => PortFlags::NO_MCAST_FLOOD,
        Spread::Broadcast => PortFlags::NO_BCAST_FLOOD,
    };
    if to.any(unwanted) {
        return Err(DropReason::NoFlood);
    }
    let tag = tag_out(question, decision, egress, tables)?;
    if !port.fits(frame.frames.longest) {
        return Err(DropReason::TooBig);
    }
    if to.has(PortFlags::RATE_OUT) && !tables.may(egress, Meter::Out, *now, frame.frames.bytes) {
        return Err(DropReason::RateOut);
    }
    Ok((port, tag))
}

/// With which tag a frame leaves through a port, if it is in its VLAN.
#[inline(always)]
pub fn tag_out<T: Vlans>(
    question: &Question<'_>,
    decision: &Decision,
    egress: PortId,
    tables: &T,
) -> Result<Retag, DropReason> {
    if !question.config.filters_vlans() {
        return Ok(Retag::Keep);
    }
    match tables.membership(decision.vlan, egress) {
        Membership::None => Err(DropReason::VlanEgress),
        membership => {
            retag(question.frame.tag, membership == Membership::Untagged).ok_or(DropReason::DoubleTag)
        }
    }
}

/// Takes what a frame, or a copy of it, costs the port where it has left.
#[inline(always)]
pub fn departed<T: Tables>(question: &Question<'_>, egress: PortId, port: PortFlags, tables: &mut T) {
    if port.has(PortFlags::RATE_OUT) {
        tables.charge(egress, Meter::Out, question.now, question.frame.frames.bytes);
    }
}

/// What [`commit`] did that somebody may want to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What happened.
    pub kind: FdbEventKind,
    /// Where the station was, or is for the table.
    pub from: PortId,
}

/// Writes down what the frame taught about its source, and what it cost its port.
#[inline(always)]
pub fn commit<T: Tables>(question: &Question<'_>, decision: &Decision, tables: &mut T) -> Option<Report> {
    let Question { frame, ingress, now, config } = question;
    charge(question, decision, tables);
    let station = frame.source(decision.vlan);
    let report = |kind, from| Some(Report { kind, from });
    let about = decision.about;
    let (kind, entry, from) = match decision.lesson {
        Lesson::Nothing => {
            let bpdu = matches!(decision.verdict, Verdict::Drop(DropReason::Bpdu, _));
            return if bpdu { report(FdbEventKind::Bpdu, *ingress) } else { None };
        }
        Lesson::Refresh => {
            tables.refresh(&station, *now);
            return None;
        }
        Lesson::RefuseStatic => return report(FdbEventKind::RefusedStatic, about.port()),
        Lesson::RefuseFlap => return report(FdbEventKind::RefusedFlap, about.port()),
        Lesson::RefuseQuota => {
            // Some of its stations may have expired while there is no controller to sweep them away.
            tables.make_room(config.ageing);
            return report(FdbEventKind::RefusedQuota, *ingress);
        }
        Lesson::New => (FdbEventKind::Learned, FdbEntry::new(*ingress, FdbFlags::default(), *now), *ingress),
        Lesson::Move => (FdbEventKind::Moved, about.moved(*ingress, *now, config.flap_window), about.port()),
    };
    match tables.learn(&station, entry, config.ageing) {
        Ok(()) => report(kind, from),
        Err(Full) => report(FdbEventKind::RefusedFull, *ingress),
    }
}

/// What a frame that came in costs. One that was dropped there costs nothing: a storm is not to keep its bucket empty.
#[inline(always)]
fn charge<T: Tables>(question: &Question<'_>, decision: &Decision, tables: &mut T) {
    let Question { frame, ingress, now, .. } = question;
    if !decision.from.any(PortFlags::STORM.or(PortFlags::RATE_IN)) {
        return;
    }
    if let Verdict::Drop(_, port) = decision.verdict
        && port == *ingress
    {
        return;
    }
    if decision.from.has(PortFlags::RATE_IN) {
        tables.charge(*ingress, Meter::In, *now, frame.frames.bytes);
    }
    if decision.from.has(PortFlags::STORM) {
        let meter = match decision.spread {
            Spread::One => return,
            Spread::Unknown => Meter::Unknown,
            Spread::Multicast => Meter::Multicast,
            Spread::Broadcast => Meter::Broadcast,
        };
        tables.charge(*ingress, meter, *now, frame.frames.packets);
    }
}
