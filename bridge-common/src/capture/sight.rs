//! What was seen of a frame, and what became of it.

use super::Tag;
use crate::{DropReason, PortId};

/// Which way a frame goes at a port, as the switch sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// It enters the switch there.
    In = 1,
    /// It leaves there, or would have.
    Out = 2,
}

/// Which program had the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Path {
    /// XDP.
    Xdp = 1,
    /// TC.
    Tc = 2,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// It went out of one port.
    Forwarded = 1,
    /// It, or this copy of it, went out of all others.
    Flooded = 2,
    /// It, or this copy of it, went nowhere.
    Dropped = 3,
}

/// What was seen of a frame at a port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Where.
    pub port: PortId,
    /// The port at the other end of its way; [`Self::port`] where there is none, or many.
    pub peer: PortId,
    /// A [`Direction`].
    pub direction: u8,
    /// A [`Path`].
    pub path: u8,
    /// An [`Outcome`].
    pub outcome: u8,
    /// A [`DropReason`]'s place in [`DropReason::ALL`], if it was dropped.
    pub reason: u8,
}

impl Sight {
    /// A frame on its way in that goes out of one port.
    #[inline(always)]
    pub const fn forwarded(ingress: PortId, egress: PortId, path: Path) -> Self {
        Self::incoming(ingress, egress, path, Outcome::Forwarded, 0)
    }

    /// A frame on its way in of which every other port gets a copy.
    #[inline(always)]
    pub const fn flooded(ingress: PortId, path: Path) -> Self {
        Self::incoming(ingress, ingress, path, Outcome::Flooded, 0)
    }

    /// A frame on its way in that goes nowhere, for a reason of this port's.
    #[inline(always)]
    pub const fn dropped(ingress: PortId, port: PortId, path: Path, reason: DropReason) -> Self {
        Self::incoming(ingress, port, path, Outcome::Dropped, reason as u8)
    }

    #[inline(always)]
    const fn incoming(port: PortId, peer: PortId, path: Path, outcome: Outcome, reason: u8) -> Self {
        let (direction, path, outcome) = (Direction::In as u8, path as u8, outcome as u8);
        Self { port, peer, direction, path, outcome, reason }
    }

    /// A flood's copy on its way out, or what kept it from leaving.
    #[inline(always)]
    pub const fn copy(ingress: PortId, egress: PortId, path: Path, outcome: Result<(), DropReason>) -> Self {
        let (outcome, reason) = match outcome {
            Ok(()) => (Outcome::Flooded, 0),
            Err(reason) => (Outcome::Dropped, reason as u8),
        };
        let (direction, path, outcome) = (Direction::Out as u8, path as u8, outcome as u8);
        Self { port: egress, peer: ingress, direction, path, outcome, reason }
    }

    /// The same frame at the other end of its way.
    #[inline(always)]
    pub const fn at_peer(self) -> Self {
        Self { port: self.peer, peer: self.port, direction: Direction::Out as u8, ..self }
    }

    /// Whether it was on its way in; `None` for a number that is no [`Direction`].
    pub const fn direction(&self) -> Option<Direction> {
        match self.direction {
            1 => Some(Direction::In),
            2 => Some(Direction::Out),
            _ => None,
        }
    }

    /// Who had it.
    pub const fn path(&self) -> Option<Path> {
        match self.path {
            1 => Some(Path::Xdp),
            2 => Some(Path::Tc),
            _ => None,
        }
    }

    /// What became of it.
    pub const fn outcome(&self) -> Option<Outcome> {
        match self.outcome {
            1 => Some(Outcome::Forwarded),
            2 => Some(Outcome::Flooded),
            3 => Some(Outcome::Dropped),
            _ => None,
        }
    }

    /// Why it went nowhere, if it did.
    pub fn reason(&self) -> Option<DropReason> {
        match self.outcome() {
            Some(Outcome::Dropped) => DropReason::ALL.get(self.reason as usize).copied(),
            _ => None,
        }
    }
}

/// The head of a record; [`Self::kept`] bytes of the frame follow it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// What.
    pub sight: Sight,
    /// Bytes of the frame, without [`Self::tag`].
    pub length: u32,
    /// Bytes of it that were kept.
    pub kept: u32,
    /// Payload bytes of each segment that it is to be cut into; 0 for a frame that is whole.
    pub gso_size: u32,
    /// A tag beside the frame.
    pub tag: Tag,
}

const _: () = assert!(size_of::<Sighting>() == 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sight_has_another_end() {
        let sight = Sight::dropped(PortId(515), PortId(259), Path::Xdp, DropReason::TooBig);
        assert_eq!((sight.outcome(), sight.reason()), (Some(Outcome::Dropped), Some(DropReason::TooBig)));
        let out = sight.at_peer();
        assert_eq!((out.port, out.peer, out.direction()), (PortId(259), PortId(515), Some(Direction::Out)));
    }
}
