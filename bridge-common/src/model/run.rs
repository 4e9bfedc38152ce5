//! From arrival to what became of it: the part of `bridge-ebpf` around the decision.

use std::{vec, vec::Vec};

use super::Model;
use crate::{
    Decision, DropReason, FdbEvent, FdbEventKind, Frame, Port, PortFlags, PortId, Ports as _, Question,
    SlowReason, Verdict, commit, decide,
    forward::{Report, leave_for},
    frame::Segments,
    guard,
    inspect::inspect,
    plain::at_once,
    port::LINK_OVERHEAD,
    vlan::Retag,
};

/// The programs, as in [`crate::maps::programs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// XDP of any device.
    Xdp,
    /// TC ingress of a guest's port.
    Port,
    /// TC ingress of the uplink.
    Wire,
    /// TC egress of the uplink.
    Host,
}

/// A frame at a program's door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Which program.
    pub program: Program,
    /// The device.
    pub ifindex: u32,
    /// The frame.
    pub bytes: Vec<u8>,
    /// Payload bytes of each segment, for TC; 0 for a frame that is one.
    pub gso_size: u32,
    /// Whether the frame is in several buffers, for XDP.
    pub fragmented: bool,
    /// Whether the sender left a checksum unfinished. No switch can see that; the laws ask for it.
    pub unfinished: bool,
}

/// What a program returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// TC: the kernel's own way.
    LetThrough,
    /// TC: ends here.
    Consume,
    /// XDP: left to TC.
    Pass,
    /// XDP: ends here.
    Drop,
    /// XDP: copies, out of all devices that they are for.
    Spread,
    /// Out of the device of a port, or through it into the host.
    Redirect(PortId),
}

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What the program returned.
    pub action: Action,
    /// Where the frame and its copies went.
    pub sent: Vec<Sent>,
}

/// A frame, or a copy of one, that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Where.
    pub port: PortId,
    /// What was done to its tag.
    pub retag: Retag,
    /// The VLAN by which it went.
    pub vlan: u16,
}

impl Done {
    /// Whether the frame or a copy left there.
    pub fn reached(&self, port: PortId) -> bool {
        self.sent.iter().any(|sent| sent.port == port)
    }

    const fn nowhere(action: Action) -> Self {
        Self { action, sent: Vec::new() }
    }
}

impl Model {
    /// The port where a frame comes in; `None` if the device is none for this program.
    pub fn ingress(&self, arrival: &Arrival) -> Option<PortId> {
        let port = self.port_of.get(&arrival.ifindex).copied();
        match arrival.program {
            Program::Xdp => port,
            Program::Port => port.filter(|port| port.is_guest()),
            Program::Wire => Some(PortId::UPLINK),
            Program::Host => Some(PortId::HOST),
        }
    }

    /// Whether TC would flood a frame.
    pub fn floods(&self, arrival: &Arrival) -> bool {
        let packet = arrival.bytes.as_slice();
        let frames = Segments::of(&packet, arrival.length(), arrival.gso_size);
        let frame = Frame::parse(&packet, frames, None, self.config.filters_vlans());
        frame.zip(self.ingress(arrival)).is_some_and(|(frame, ingress)| {
            let question = Question { frame, ingress, now: self.now, config: &self.config };
            matches!(self.decide(&question, &packet).verdict, Verdict::Flood(_))
        })
    }

    /// Runs a program on a frame.
    pub fn run(&mut self, arrival: &Arrival) -> Done {
        let ingress = self.ingress(arrival);
        match (arrival.program, ingress) {
            (Program::Xdp, Some(port)) => self.xdp(arrival, port),
            (Program::Xdp, None) => Done::nowhere(Action::Pass),
            (_, Some(port)) => self.tc(arrival, port),
            (_, None) => {
                let frames = Segments::of(&arrival.bytes.as_slice(), arrival.length(), arrival.gso_size);
                self.count_drop(PortId::HOST, DropReason::NoPort, &frames);
                Done::nowhere(Action::Consume)
            }
        }
    }

    fn tc(&mut self, arrival: &Arrival, ingress: PortId) -> Done {
        let packet = arrival.bytes.as_slice();
        let frames = Segments::of(&packet, arrival.length(), arrival.gso_size);
        self.count_received(ingress, &frames);
        let Some(frame) = Frame::parse(&packet, frames, None, self.config.filters_vlans()) else {
            self.count_drop(ingress, DropReason::Malformed, &frames);
            return Done::nowhere(Action::Consume);
        };
        let config = self.config;
        let question = Question { frame, ingress, now: self.now, config: &config };
        let decision = self.decide(&question, &packet);
        self.count_vlan_received(decision.vlan, &frames);
        self.commit(&question, &decision);
        match decision.verdict {
            Verdict::Drop(reason, port) => {
                self.count_drop(port, reason, &frames);
                Done::nowhere(Action::Consume)
            }
            Verdict::Forward(egress) => {
                self.depart(&question, &decision, egress, decision.retag);
                let straight = !ingress.is_guest() && !egress.is_guest();
                let action = if straight { Action::LetThrough } else { Action::Redirect(egress) };
                Done { action, sent: vec![Sent { port: egress, retag: decision.retag, vlan: decision.vlan }] }
            }
            Verdict::Flood(_) => {
                let set = self.look_for_group(&question, &decision, &packet);
                self.flood(&question, &decision, set)
            }
        }
    }

    /// Copies for everybody that takes one; between host and wire the original itself goes on. What a guest sent goes itself to the last one
    /// whose copies are not counted, while VLANs are not filtered.
    fn flood(&mut self, question: &Question<'_>, decision: &Decision, set: u32) -> Done {
        let mut done = Done::nowhere(Action::Consume);
        let rest = match question.ingress {
            PortId::HOST => Some(PortId::UPLINK),
            PortId::UPLINK => Some(PortId::HOST),
            _ => None,
        };
        let frames = question.frame.frames;
        let holds = rest.is_none() && !self.config.filters_vlans();
        let mut held = None;
        for egress in (0..self.config.ports_end).map(PortId).filter(|id| Some(*id) != rest) {
            match leave_for(question, decision, set, egress, self) {
                // Between host and wire there are no clones, not even back to where the frame came from.
                Ok(_) if egress == question.ingress && rest.is_some() => {}
                Ok((port, _)) if holds && !port.flags.has(PortFlags::RATE_OUT) => {
                    if let Some((egress, port)) = held.replace((egress, port)) {
                        self.copy(question, decision, (egress, port), Retag::Keep, &mut done);
                    }
                }
                Ok((port, retag)) => self.copy(question, decision, (egress, port), retag, &mut done),
                Err(reason) if reason.abstains() => {}
                Err(reason) => self.count_drop(egress, reason, &frames),
            }
        }
        if let Some((egress, _)) = held {
            // Nobody hears whether the device takes it.
            self.depart(question, decision, egress, Retag::Keep);
            done.sent.push(Sent { port: egress, retag: Retag::Keep, vlan: decision.vlan });
            done.action = Action::Redirect(egress);
        }
        let Some(rest) = rest else { return done };
        match leave_for(question, decision, set, rest, self) {
            Ok((_, retag)) => {
                self.depart(question, decision, rest, retag);
                done.sent.push(Sent { port: rest, retag, vlan: decision.vlan });
                done.action = Action::LetThrough;
            }
            Err(reason) if reason.abstains() && reason != DropReason::PortDown => {}
            Err(reason) => self.count_drop(rest, reason, &frames),
        }
        done
    }

    /// A clone, which the device may refuse.
    fn copy(
        &mut self,
        question: &Question<'_>,
        decision: &Decision,
        (egress, port): (PortId, Port),
        retag: Retag,
        done: &mut Done,
    ) {
        if self.refusing.contains(&port.ifindex) {
            self.count_drop(egress, DropReason::Redirect, &question.frame.frames);
        } else {
            self.depart(question, decision, egress, retag);
            done.sent.push(Sent { port: egress, retag, vlan: decision.vlan });
        }
    }

    fn xdp(&mut self, arrival: &Arrival, ingress: PortId) -> Done {
        self.take(arrival, ingress).unwrap_or_else(|reason| {
            self.counters(ingress).slow[reason as usize] += 1;
            Done::nowhere(Action::Pass)
        })
    }

    /// XDP's answer, or why it leaves the frame to TC. Nothing is written before the last chance to leave it.
    fn take(&mut self, arrival: &Arrival, ingress: PortId) -> Result<Done, SlowReason> {
        let port = self.port(ingress).unwrap_or_default();
        let (packet, length) = (arrival.bytes.as_slice(), arrival.length());
        if arrival.fragmented {
            return Err(SlowReason::MultiBuffer);
        }
        if length > port.mtu + LINK_OVERHEAD {
            return Err(SlowReason::TooLong);
        }
        let frames = Segments::one(length);
        let Some(frame) = Frame::parse(&packet, frames, None, self.config.filters_vlans()) else {
            self.count_received(ingress, &frames);
            self.count_drop(ingress, DropReason::Malformed, &frames);
            return Ok(Done::nowhere(Action::Drop));
        };
        let config = self.config;
        let question = Question { frame, ingress, now: self.now, config: &config };
        let decision = self.decide(&question, &packet);
        let done = match decision.verdict {
            Verdict::Flood(_) => self.spread(&question, &decision, &packet)?,
            Verdict::Forward(PortId::HOST) => return Err(SlowReason::ToHost),
            Verdict::Forward(egress) => {
                self.can_redirect(&port, egress, &packet)?;
                self.depart(&question, &decision, egress, decision.retag);
                let sent = vec![Sent { port: egress, retag: decision.retag, vlan: decision.vlan }];
                Done { action: Action::Redirect(egress), sent }
            }
            Verdict::Drop(reason, egress) => {
                self.count_drop(egress, reason, &frames);
                Done::nowhere(Action::Drop)
            }
        };
        self.count_received(ingress, &frames);
        self.count_vlan_received(decision.vlan, &frames);
        self.commit(&question, &decision);
        Ok(done)
    }

    fn decide(&self, question: &Question<'_>, packet: &&[u8]) -> Decision {
        let (src, ingress) = (question.frame.src, question.ingress);
        let port = self.port(ingress);
        let decision =
            decide(question, port.as_ref(), self, self, |guards| inspect(packet, src, ingress, guards, self));
        if let Some(found) = port.and_then(|port| at_once(question, &port, self, self)) {
            assert_eq!(Some(found), decision.plain(), "{question:?}");
        }
        decision
    }

    fn can_redirect(&self, from: &Port, to: PortId, packet: &&[u8]) -> Result<(), SlowReason> {
        if !self.port(to).is_some_and(|port| port.flags.has(PortFlags::XDP)) {
            return Err(SlowReason::ToTc);
        }
        if self.guard && from.flags.has(PortFlags::GUARD) {
            guard::prove(packet)?;
        }
        if self.devices.contains(&to) { Ok(()) } else { Err(SlowReason::ToTc) }
    }

    fn commit(&mut self, question: &Question<'_>, decision: &Decision) {
        let ingress = question.ingress;
        let Some(Report { kind, from }) = commit(question, decision, self) else { return };
        let counters = self.counters(ingress);
        match kind {
            FdbEventKind::Learned => counters.learned += 1,
            FdbEventKind::Moved => counters.moved += 1,
            FdbEventKind::RefusedFull => counters.refused_full += 1,
            FdbEventKind::RefusedStatic => counters.refused_static += 1,
            FdbEventKind::RefusedQuota => counters.refused_quota += 1,
            FdbEventKind::RefusedFlap => counters.refused_flap += 1,
            FdbEventKind::Bpdu => {}
        }
        if self.within_budget(ingress, kind) {
            let key = question.frame.source(decision.vlan);
            let (time, kind) = (question.now, kind as u32);
            self.events.push(FdbEvent { time, key, kind, port: ingress, from });
        } else {
            self.counters(ingress).events_suppressed += 1;
        }
    }
}

impl Arrival {
    /// Bytes of the frame.
    pub fn length(&self) -> u32 {
        self.bytes.len() as u32
    }
}
