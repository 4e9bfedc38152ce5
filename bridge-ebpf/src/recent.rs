//! The table in front of the FDB: see [`bridge_common::recent`].

use core::cell::UnsafeCell;

use bridge_common::{
    FdbEntry, FdbKey, Stations,
    recent::{RECENT_PLACES, Recent, place_of},
};

use crate::{
    atomic,
    maps::{Moment, moment},
    tables::Tables,
};

/// The table, in memory of the programs' own: a place in it is an address, where an array would be looked up by a number on the stack. Whoever loads
/// the programs anew begins with an empty one.
#[unsafe(link_section = ".bss.recent")]
static RECENT: Rows = Rows(UnsafeCell::new([Recent::FREE; RECENT_PLACES]));

struct Rows(UnsafeCell<[Recent; RECENT_PLACES]>);

// SAFETY: its words are read and written one by one, and rows are believed only if all of them belong together.
unsafe impl Sync for Rows {}

/// A station's row.
#[inline(always)]
fn row_of(key: &FdbKey) -> *mut Recent {
    // SAFETY: a place is one of so many.
    unsafe { RECENT.0.get().cast::<Recent>().add(place_of(key)) }
}

/// The stations, as of a moment before the FDB is read or written.
#[derive(Clone, Copy)]
pub struct RecentStations(pub Moment);

impl RecentStations {
    /// Of now.
    #[inline(always)]
    pub fn now() -> Self {
        Self(moment())
    }

    /// The same key, for an entry that is to be read after the generation was.
    #[inline(always)]
    pub fn later(&self, key: &FdbKey) -> FdbKey {
        FdbKey::from_word(atomic::after(key.word(), self.0.generation))
    }

    /// Notes what the FDB has, or had when this was made.
    #[inline(always)]
    pub fn note(&self, key: &FdbKey, entry: &FdbEntry) {
        write(row_of(key), &Recent::new(key, entry, self.0.generation, self.0.now));
    }
}

impl Stations for RecentStations {
    #[inline(always)]
    fn station(&self, key: &FdbKey) -> Option<FdbEntry> {
        let place = row_of(key);
        let row = read(place);
        if let Some(entry) = row.entry(key, self.0.generation) {
            return Some(entry);
        }
        let entry = Tables.station(&self.later(key))?;
        if row.is_free(self.0.generation, self.0.now) {
            write(place, &Recent::new(key, &entry, self.0.generation, self.0.now));
        }
        Some(entry)
    }
}

/// Word by word: other CPUs may be writing it.
#[inline(always)]
fn read(row: *const Recent) -> Recent {
    // SAFETY: aligned words of an array element.
    unsafe {
        Recent {
            check: (&raw const (*row).check).read_volatile(),
            place: (&raw const (*row).place).read_volatile(),
            last_seen: (&raw const (*row).last_seen).read_volatile(),
            stamp: (&raw const (*row).stamp).read_volatile(),
        }
    }
}

#[inline(always)]
fn write(row: *mut Recent, new: &Recent) {
    // SAFETY: as above.
    unsafe {
        (&raw mut (*row).check).write_volatile(new.check);
        (&raw mut (*row).place).write_volatile(new.place);
        (&raw mut (*row).last_seen).write_volatile(new.last_seen);
        (&raw mut (*row).stamp).write_volatile(new.stamp);
    }
}
