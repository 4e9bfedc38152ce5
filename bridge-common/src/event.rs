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
    /// Not learned: a static entry says otherwise.
    RefusedStatic = 4,
}

impl FdbEventKind {
    /// The kind of this number.
    pub const fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            1 => Some(Self::Learned),
            2 => Some(Self::Moved),
            3 => Some(Self::RefusedFull),
            4 => Some(Self::RefusedStatic),
            _ => None,
        }
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
