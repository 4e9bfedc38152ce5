//! What the programs tell the controller.

use crate::{FdbKey, PortId};

/// What happened to a station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum FdbEventKind {
    /// Seen for the first time, or for the first time since it expired.
    Learned = 1,
    /// Now behind another port.
    Moved = 2,
    /// Not learned: the table is full.
    RefusedFull = 3,
    /// Not learned: a static or sticky entry says otherwise.
    RefusedStatic = 4,
    /// Not learned: the port has all the stations that it may have.
    RefusedQuota = 5,
    /// Not moved: it has moved too often.
    RefusedFlap = 6,
    /// A guest sent a BPDU; the key is its sender.
    Bpdu = 7,
}

impl FdbEventKind {
    /// The kind of this number.
    pub const fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            1 => Some(Self::Learned),
            2 => Some(Self::Moved),
            3 => Some(Self::RefusedFull),
            4 => Some(Self::RefusedStatic),
            5 => Some(Self::RefusedQuota),
            6 => Some(Self::RefusedFlap),
            7 => Some(Self::Bpdu),
            _ => None,
        }
    }

    /// Whether it tells of something that a port was not allowed: one such a second is enough.
    #[inline(always)]
    pub const fn is_refusal(self) -> bool {
        !matches!(self, Self::Learned | Self::Moved)
    }
}

/// One record of the ring buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FdbEvent {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// Which station.
    pub key: FdbKey,
    /// A [`FdbEventKind`].
    pub kind: u32,
    /// The port where its frame came in.
    pub port: PortId,
    /// The port where it was before; [`Self::port`] unless it moved or was refused.
    pub from: PortId,
}

const _: () = assert!(size_of::<FdbEvent>() == 24);

/// Events that one port may report in a second; what is over is counted, not reported, or a guest that
/// alternates its source would burn the controller.
pub const EVENTS_PER_SECOND: u32 = 10;
