//! Frames that the controller is shown whole: those by which hosts and routers speak of groups.
//!
//! They go into a ring buffer from the program for floods, within a budget for each port and kind, so that a guest who sends
//! nothing else neither burns the controller nor hides what other ports, or other kinds of frames, have to say.

use crate::{PortId, port::MAX_PORTS};

/// What a shown frame is. Its number is a part of its budget's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SnoopKind {
    /// IGMP, of any version.
    Igmp = 0,
    /// Multicast listener discovery, of any version.
    Mld = 1,
}

impl SnoopKind {
    /// How many numbers there are room for.
    pub const COUNT: u32 = 4;

    /// The kind of this number.
    pub const fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            0 => Some(Self::Igmp),
            1 => Some(Self::Mld),
            _ => None,
        }
    }
}

/// Bytes that are kept of a frame: one of an MTU of 1500 whole, with two tags.
pub const KEPT: usize = 1528;

/// Frames that one port may have shown in a second, of each kind. A host with a thousand groups tells of them in six reports.
pub const SNOOPS_PER_SECOND: u64 = 64;

/// Bytes of the ring: some seven hundred frames.
pub const SNOOP_RING_BYTES: u32 = 1024 * 1024;

/// Elements of the map of budgets: see [`budget`].
pub const SNOOP_BUDGETS: u32 = MAX_PORTS * SnoopKind::COUNT;

/// The index of a budget.
#[inline(always)]
pub const fn budget(port: PortId, kind: u32) -> u32 {
    (kind & (SnoopKind::COUNT - 1)) * MAX_PORTS + port.index()
}

/// What stands before the bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnoopHead {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// Bytes of the frame; of them, at most [`KEPT`] are there.
    pub length: u32,
    /// A [`SnoopKind`].
    pub kind: u32,
    /// The port where it came in.
    pub port: PortId,
    /// Its VLAN; 0 while VLAN filtering is off.
    pub vlan: u16,
    /// Nothing; makes the size a multiple of the alignment.
    pub padding: u32,
}

/// One record of the ring buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Snoop {
    /// When and where.
    pub head: SnoopHead,
    /// The frame, from its destination address on; only as many bytes as it has, or as are kept, mean anything.
    pub bytes: [u8; KEPT],
}

const _: () = assert!(size_of::<SnoopHead>() == 24 && size_of::<Snoop>() == 24 + KEPT);

impl SnoopHead {
    /// Bytes of the frame that are there.
    pub const fn kept(&self) -> usize {
        if self.length as usize > KEPT { KEPT } else { self.length as usize }
    }
}

/// What a port has had shown, of one kind.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnoopBudget {
    /// The current second of the FDB's clock.
    pub second: u64,
    /// Frames in it, those over the budget included.
    pub used: u64,
    /// Frames that were shown.
    pub shown: u64,
    /// Frames over the budget, which were not.
    pub suppressed: u64,
    /// Frames that found the ring full.
    pub lost: u64,
}

const _: () = assert!(size_of::<SnoopBudget>() == 40);
