//! The forwarding decision: the only place where xbr decides where a frame goes.
//!
//! [`decide`] looks and says; [`commit`] writes down what it said about the source. They are two functions
//! because XDP commits entirely or not at all: a frame that it leaves to TC must have left no trace.

use crate::{
    Config, DropReason, Fdb, FdbEntry, FdbEventKind, FdbKey, Frame, Port, PortId, Ports, fdb::FdbFlags,
    fdb::Full,
};

/// A known station's time is written at most once in so many nanoseconds: a write for each frame would
/// bounce the entry's cache line between CPUs.
pub const REFRESH_INTERVAL: u64 = 1_000_000_000;

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Out of one port; [`PortId::HOST`] is local delivery.
    Forward(PortId),
    /// Out of every port but this one, its own, the host included; each copy asks [`leave`].
    ///
    /// (Were there no port in it, LLVM would leave that of the other two unwritten and mask it all the same, ahead of
    /// the `match`: to the verifier a read of a register that nobody wrote.)
    Flood(PortId),
    /// Nowhere, for this reason, counted at this port.
    Drop(DropReason, PortId),
}

/// What a frame teaches about its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learn {
    /// Nothing new.
    Nothing,
    /// Still there; its time is due.
    Refresh,
    /// Not known, or not any more.
    New,
    /// Known behind another port.
    Move(PortId),
    /// Static behind another port.
    RefuseStatic(PortId),
}

/// The whole of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Where the frame goes.
    pub verdict: Verdict,
    /// What it teaches.
    pub learn: Learn,
}

impl Decision {
    /// A frame that is refused teaches nothing.
    const fn refuse(reason: DropReason, port: PortId) -> Self {
        Self { verdict: Verdict::Drop(reason, port), learn: Learn::Nothing }
    }
}

/// Decides about a frame that came in at `ingress`. `now` is in nanoseconds of the FDB's clock.
///
/// Order: guard → ingress policy → learn → look up → egress policy.
#[inline(always)]
pub fn decide<T: Fdb + Ports>(
    frame: &Frame,
    ingress: PortId,
    now: u64,
    config: &Config,
    tables: &T,
) -> Decision {
    if !frame.src.is_station() {
        return Decision::refuse(DropReason::BadSource, ingress);
    }
    let from_host = ingress == PortId::HOST;
    let host_source = frame.src == config.uplink_mac;
    if host_source && !from_host {
        return Decision::refuse(DropReason::HostSource, ingress);
    }
    if !tables.port(ingress).is_some_and(|port| port.is_up()) {
        return Decision::refuse(DropReason::PortDown, ingress);
    }
    if frame.dst.is_link_local_group() {
        return Decision { verdict: link_local(frame, ingress, tables), learn: Learn::Nothing };
    }
    // The uplink's own address is a fact of the port, not a station.
    let learn = if host_source { Learn::Nothing } else { source(frame, ingress, now, config, tables) };
    Decision { verdict: destination(frame, ingress, now, config, tables), learn }
}

/// The protocols of one link stay on it: the host speaks with the wire, and guests with neither.
#[inline(always)]
fn link_local(frame: &Frame, ingress: PortId, ports: &impl Ports) -> Verdict {
    match ingress {
        PortId::HOST => forward(frame, PortId::UPLINK, ports),
        PortId::UPLINK => forward(frame, PortId::HOST, ports),
        guest => Verdict::Drop(DropReason::LinkLocal, guest),
    }
}

#[inline(always)]
fn source(frame: &Frame, ingress: PortId, now: u64, config: &Config, fdb: &impl Fdb) -> Learn {
    match fdb.station(&frame.source()) {
        Some(entry) if !entry.is_expired(now, config.ageing) => match entry.port() {
            port if port == ingress => {
                let due = now.saturating_sub(entry.last_seen) >= REFRESH_INTERVAL;
                if due { Learn::Refresh } else { Learn::Nothing }
            }
            elsewhere if entry.is_static() => Learn::RefuseStatic(elsewhere),
            elsewhere => Learn::Move(elsewhere),
        },
        _ => Learn::New,
    }
}

#[inline(always)]
fn destination<T: Fdb + Ports>(
    frame: &Frame,
    ingress: PortId,
    now: u64,
    config: &Config,
    tables: &T,
) -> Verdict {
    if frame.dst.is_group() {
        return Verdict::Flood(ingress);
    }
    let egress = if frame.dst == config.uplink_mac {
        PortId::HOST
    } else {
        match tables.station(&frame.destination()) {
            Some(entry) if !entry.is_expired(now, config.ageing) => entry.port(),
            _ => return Verdict::Flood(ingress),
        }
    };
    if egress == ingress {
        return Verdict::Drop(DropReason::SamePort, ingress);
    }
    forward(frame, egress, tables)
}

#[inline(always)]
fn forward(frame: &Frame, egress: PortId, ports: &impl Ports) -> Verdict {
    match ports.port(egress) {
        Some(port) => match leave(frame, &port) {
            Ok(()) => Verdict::Forward(egress),
            Err(reason) => Verdict::Drop(reason, egress),
        },
        None => Verdict::Drop(DropReason::PortDown, egress),
    }
}

/// Egress policy: whether a frame, or a flood's copy of it, may leave through this port.
#[inline(always)]
pub fn leave(frame: &Frame, port: &Port) -> Result<(), DropReason> {
    if !port.is_up() {
        Err(DropReason::PortDown)
    } else if !port.fits(frame.length) {
        Err(DropReason::TooBig)
    } else {
        Ok(())
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

/// Writes down what the frame taught about its source.
#[inline(always)]
pub fn commit(
    learn: Learn,
    station: &FdbKey,
    ingress: PortId,
    now: u64,
    config: &Config,
    fdb: &mut impl Fdb,
) -> Option<Report> {
    let (kind, from) = match learn {
        Learn::Nothing => return None,
        Learn::Refresh => {
            fdb.refresh(station, now);
            return None;
        }
        Learn::RefuseStatic(owner) => {
            return Some(Report { kind: FdbEventKind::RefusedStatic, from: owner });
        }
        Learn::New => (FdbEventKind::Learned, ingress),
        Learn::Move(from) => (FdbEventKind::Moved, from),
    };
    let entry = FdbEntry::new(ingress, FdbFlags::default(), now);
    match fdb.learn(station, entry, config.ageing) {
        Ok(()) => Some(Report { kind, from }),
        Err(Full) => Some(Report { kind: FdbEventKind::RefusedFull, from: ingress }),
    }
}
