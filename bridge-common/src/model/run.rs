//! From arrival to what became of it: the part of `bridge-ebpf` around the decision.

use std::{vec, vec::Vec};

use super::Model;
use crate::{
    DropReason, FdbEvent, FdbEventKind, Frame, Learn, Port, PortFlags, PortId, Ports as _, SlowReason,
    Verdict, commit, decide,
    forward::{Report, leave},
    frame::Segments,
    guard,
    port::LINK_OVERHEAD,
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
    /// Out of the device of a port, or through it into the host.
    Redirect(PortId),
}

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What the program returned.
    pub action: Action,
    /// Where the frame and its copies went.
    pub sent: Vec<PortId>,
}

impl Done {
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
        let Some(frame) = Frame::parse(&packet, frames.longest) else {
            self.count_drop(ingress, DropReason::Malformed, &frames);
            return Done::nowhere(Action::Consume);
        };
        let decision = decide(&frame, ingress, self.now, &self.config, self);
        self.commit(decision.learn, &frame, ingress);
        match decision.verdict {
            Verdict::Drop(reason, port) => {
                self.count_drop(port, reason, &frames);
                Done::nowhere(Action::Consume)
            }
            Verdict::Forward(egress) => {
                self.count_sent(egress, &frames);
                let straight = !ingress.is_guest() && !egress.is_guest();
                let action = if straight { Action::LetThrough } else { Action::Redirect(egress) };
                Done { action, sent: vec![egress] }
            }
            Verdict::Flood(_) => self.flood(&frame, ingress, &frames),
        }
    }

    /// Copies for everybody else; between host and wire the original itself goes on.
    fn flood(&mut self, frame: &Frame, ingress: PortId, frames: &Segments) -> Done {
        let mut done = Done::nowhere(Action::Consume);
        let rest = match ingress {
            PortId::HOST => Some(PortId::UPLINK),
            PortId::UPLINK => Some(PortId::HOST),
            _ => None,
        };
        for egress in (0..self.config.ports_end).map(PortId) {
            let Some(port) = self.port(egress).filter(Port::is_up) else { continue };
            if egress == ingress || Some(egress) == rest {
                continue;
            }
            match leave(frame, &port) {
                Err(reason) => self.count_drop(egress, reason, frames),
                Ok(()) if self.refusing.contains(&port.ifindex) => {
                    self.count_drop(egress, DropReason::Redirect, frames);
                }
                Ok(()) => {
                    self.count_sent(egress, frames);
                    done.sent.push(egress);
                }
            }
        }
        let Some(rest) = rest else { return done };
        match leave(frame, &self.port(rest).unwrap_or_default()) {
            Err(reason) => self.count_drop(rest, reason, frames),
            Ok(()) => {
                self.count_sent(rest, frames);
                done.sent.push(rest);
                done.action = Action::LetThrough;
            }
        }
        done
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
        let frames = Segments::of(&packet, length, 0);
        let Some(frame) = Frame::parse(&packet, length) else {
            self.count_received(ingress, &frames);
            self.count_drop(ingress, DropReason::Malformed, &frames);
            return Ok(Done::nowhere(Action::Drop));
        };
        let decision = decide(&frame, ingress, self.now, &self.config, self);
        let done = match decision.verdict {
            Verdict::Flood(_) => return Err(SlowReason::Flood),
            Verdict::Forward(PortId::HOST) => return Err(SlowReason::ToHost),
            Verdict::Forward(egress) => {
                self.can_redirect(&port, egress, &packet)?;
                self.count_sent(egress, &frames);
                Done { action: Action::Redirect(egress), sent: vec![egress] }
            }
            Verdict::Drop(reason, egress) => {
                self.count_drop(egress, reason, &frames);
                Done::nowhere(Action::Drop)
            }
        };
        self.count_received(ingress, &frames);
        self.commit(decision.learn, &frame, ingress);
        Ok(done)
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

    fn commit(&mut self, learn: Learn, frame: &Frame, ingress: PortId) {
        let (key, now, config) = (frame.source(), self.now, self.config);
        let Some(Report { kind, from }) = commit(learn, &key, ingress, now, &config, self) else { return };
        let counters = self.counters(ingress);
        match kind {
            FdbEventKind::Learned => counters.learned += 1,
            FdbEventKind::Moved => counters.moved += 1,
            FdbEventKind::RefusedFull => counters.refused_full += 1,
            FdbEventKind::RefusedStatic => counters.refused_static += 1,
        }
        if self.within_budget(ingress) {
            self.events.push(FdbEvent { time: now, key, kind: kind as u32, port: ingress, from });
        } else {
            self.counters(ingress).events_suppressed += 1;
        }
    }

    fn count_received(&mut self, port: PortId, frames: &Segments) {
        let counters = self.counters(port);
        counters.rx_packets += frames.packets;
        counters.rx_bytes += frames.bytes;
    }

    fn count_sent(&mut self, port: PortId, frames: &Segments) {
        let counters = self.counters(port);
        counters.tx_packets += frames.packets;
        counters.tx_bytes += frames.bytes;
    }

    fn count_drop(&mut self, port: PortId, reason: DropReason, frames: &Segments) {
        self.counters(port).drops[reason as usize] += frames.packets;
    }
}

impl Arrival {
    /// Bytes of the frame.
    pub fn length(&self) -> u32 {
        self.bytes.len() as u32
    }
}
