//! The generation of the FDB, which programs and controllers end alike: see `bridge_common::recent`. So it is not written, which would undo
//! what a program does meanwhile, but added to, in memory that is the map's own.

use std::{
    num::NonZeroUsize,
    os::fd::AsFd as _,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use aya::maps::MapData;
use bridge_common::{maps::PULSE, recent::Pulse};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::error::{Error, Result};

/// The map's element, in this process's memory.
pub(super) struct Generation(NonNull<Pulse>);

// SAFETY: it is memory of the process, whatever thread it is in, and only touched by atomic instructions.
unsafe impl Send for Generation {}
// SAFETY: as above.
unsafe impl Sync for Generation {}

const LENGTH: NonZeroUsize = NonZeroUsize::new(size_of::<Pulse>()).expect("it has a size");

impl Generation {
    pub(super) fn open(map: &MapData) -> Result<Self> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: new memory, where the kernel likes.
        let place = unsafe { mmap(None, LENGTH, protection, MapFlags::MAP_SHARED, map.fd().as_fd(), 0) };
        place
            .map(|place| Self(place.cast()))
            .map_err(|errno| Error::OpenMap { map: PULSE, reason: errno.desc().into() })
    }

    /// To be called after an entry was written or deleted: what was read of it before counts no more.
    pub(super) fn end(&self) {
        // SAFETY: an aligned word of the map's element, mapped for as long as this lives.
        let generation = unsafe { AtomicU64::from_ptr(&raw mut (*self.0.as_ptr()).generation) };
        generation.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        // SAFETY: nobody else has the address. It cannot fail for what `mmap` gave.
        let _ = unsafe { munmap(self.0.cast(), LENGTH.get()) };
    }
}
