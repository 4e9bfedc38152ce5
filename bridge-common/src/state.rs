//! What every frame reads of the bridge, in one row of a map, so that it is looked up once.

use crate::{Config, capture::Capture};

/// The row. Programs and controllers both write it, words of their own each, in memory that user space maps.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Of the FDB: counts up whenever an entry was moved, written or deleted, by atomic additions. See [`crate::recent`].
    pub generation: u64,
    /// The kernel's tick of which [`Self::now`] is the time. Written after it, by programs.
    pub tick: u64,
    /// In nanoseconds of the FDB's clock.
    pub now: u64,
    /// The settings. Written by the controller.
    pub config: Config,
    /// Whose frames are shown, if any are. Its first word, all that is read of it while none are, is in the first cache line.
    pub capture: Capture,
    /// Nothing; makes the size a multiple of the alignment.
    pub padding: [u64; 2],
}

const _: () = assert!(size_of::<State>() == 128);
