//! The bridge's row that every frame reads (`bridge_common::state`), in memory that is the map's own: programs write in it too, and what they
//! write meanwhile is not to be undone, so it is never written as a whole.

use std::{
    num::NonZeroUsize,
    os::fd::AsFd as _,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use aya::maps::MapData;
use bridge_common::{
    Config, Port, PortId,
    capture::Capture,
    maps::STATE,
    state::{Device, State, place_of},
};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::error::{Error, Result};

/// The map's element, in this process's memory.
pub(super) struct Shared(NonNull<State>);

// SAFETY: it is memory of the process, whatever thread it is in, and only touched by atomic instructions.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

const LENGTH: NonZeroUsize = NonZeroUsize::new(size_of::<State>()).expect("it has a size");

impl Shared {
    pub(super) fn open(map: &MapData) -> Result<Self> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: new memory, where the kernel likes.
        let place = unsafe { mmap(None, LENGTH, protection, MapFlags::MAP_SHARED, map.fd().as_fd(), 0) };
        place
            .map(|place| Self(place.cast()))
            .map_err(|errno| Error::OpenMap { map: STATE, reason: errno.desc().into() })
    }

    /// To be called after an entry of the FDB was written or deleted: what was read of it before counts no more.
    pub(super) fn end_generation(&self) {
        // SAFETY: an aligned word of the map's element, mapped for as long as this lives.
        let generation = unsafe { AtomicU64::from_ptr(&raw mut (*self.0.as_ptr()).generation) };
        generation.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn config(&self) -> Config {
        // SAFETY: part of the element, and plain integers in whole words, for which every bit pattern is a value.
        unsafe { read(&raw mut (*self.0.as_ptr()).config) }
    }

    pub(super) fn set_config(&self, config: Config) {
        // SAFETY: as above.
        unsafe { write(&raw mut (*self.0.as_ptr()).config, config) };
    }

    pub(super) fn capture(&self) -> Capture {
        // SAFETY: as above.
        unsafe { read(&raw mut (*self.0.as_ptr()).capture) }
    }

    pub(super) fn set_capture(&self, capture: Capture) {
        // SAFETY: as above.
        unsafe { write(&raw mut (*self.0.as_ptr()).capture, capture) };
    }

    /// Tells the programs what is true of a port, if its device has its place.
    pub(super) fn set_port(&self, id: PortId, port: &Port) {
        let (device, [whose, facts]) = (Device::of(id, port), self.place(port.ifindex));
        if whose.load(Ordering::Acquire) == device.whose {
            facts.store(device.facts, Ordering::Release);
        }
    }

    /// Tells the programs which port a device is, if there is a place for it: one that another device has stays that one's.
    pub(super) fn set_device(&self, id: PortId, port: &Port) {
        let (device, [whose, facts]) = (Device::of(id, port), self.place(port.ifindex));
        let before = whose.load(Ordering::Acquire);
        if before == 0 || is_of(before, port.ifindex) {
            whose.store(0, Ordering::SeqCst);
            facts.store(device.facts, Ordering::SeqCst);
            whose.store(device.whose, Ordering::SeqCst);
        }
    }

    /// Tells the programs that a device is no port.
    pub(super) fn clear_device(&self, ifindex: u32) {
        let [whose, _] = self.place(ifindex);
        if is_of(whose.load(Ordering::Acquire), ifindex) {
            whose.store(0, Ordering::SeqCst);
        }
    }

    fn place(&self, ifindex: u32) -> [&AtomicU64; 2] {
        // SAFETY: aligned words of the element, mapped for as long as this lives, and there are so many places.
        unsafe {
            let place = (&raw mut (*self.0.as_ptr()).devices).cast::<Device>().add(place_of(ifindex));
            [&raw mut (*place).whose, &raw mut (*place).facts].map(|word| AtomicU64::from_ptr(word))
        }
    }
}

const fn is_of(whose: u64, ifindex: u32) -> bool {
    Device { whose, facts: 0 }.is(ifindex)
}

/// # Safety
///
/// `at` is part of the element, and `T` is plain integers in whole words.
unsafe fn read<T>(at: *mut T) -> T {
    let mut value = std::mem::MaybeUninit::<T>::uninit();
    for word in 0..size_of::<T>() / 8 {
        // SAFETY: the word lies within both.
        unsafe {
            let now = AtomicU64::from_ptr(at.cast::<u64>().add(word)).load(Ordering::Acquire);
            value.as_mut_ptr().cast::<u64>().add(word).write_unaligned(now);
        }
    }
    // SAFETY: every word was written.
    unsafe { value.assume_init() }
}

/// The first word last: it says what the others are for.
///
/// # Safety
///
/// As above.
unsafe fn write<T>(at: *mut T, value: T) {
    for word in (0..size_of::<T>() / 8).rev() {
        // SAFETY: as above.
        unsafe {
            let new = (&raw const value).cast::<u64>().add(word).read_unaligned();
            AtomicU64::from_ptr(at.cast::<u64>().add(word)).store(new, Ordering::Release);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: nobody else has the address. It cannot fail for what `mmap` gave.
        let _ = unsafe { munmap(self.0.cast(), LENGTH.get()) };
    }
}
