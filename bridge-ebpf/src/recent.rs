//! The table in front of the FDB: see [`bridge_common::recent`].

use core::cell::UnsafeCell;

use bridge_common::{
    FdbEntry, FdbKey, Stations,
    fdb::Whereabouts,
    recent::{ROWS, Recent, SETS, Set, row_for, set_of},
};

use crate::{atomic, maps::ROWS_AT, state::Moment, tables};

/// The table, in memory of the programs' own: a row in it is an address, where an array would be looked up by a number on the stack. Whoever loads
/// the programs anew begins with an empty one. It has a cache line more than it needs, since where the kernel puts it is no line's start.
#[unsafe(link_section = ".bss.recent")]
static RECENT: Rows = Rows(UnsafeCell::new([0; (SETS + 1) * size_of::<Set>() / 8]));

struct Rows(UnsafeCell<[u64; (SETS + 1) * size_of::<Set>() / 8]>);

// SAFETY: its words are read and written one by one, and rows are believed only if both of them belong together.
unsafe impl Sync for Rows {}

/// The first row of a station's set.
#[inline(always)]
fn rows_of(key: &FdbKey) -> *mut Recent {
    let skipped = (ROWS_AT.load() & 56) as usize;
    // SAFETY: there are so many sets, and less than one more is skipped.
    unsafe { RECENT.0.get().cast::<u8>().add(skipped + set_of(key) * size_of::<Set>()).cast() }
}

/// The stations, as of a moment before the FDB is read or written.
#[derive(Clone, Copy)]
pub struct RecentStations(pub Moment);

impl RecentStations {
    /// The same key, for an entry that is to be read after the generation was.
    #[inline(always)]
    pub fn later(&self, key: &FdbKey) -> FdbKey {
        FdbKey::from_word(atomic::after(key.word(), self.0.generation))
    }

    /// Notes what the FDB has, or had when this was made.
    #[inline(always)]
    pub fn note(&self, key: &FdbKey, entry: &FdbEntry) {
        let rows = rows_of(key);
        let mut set = Set::default();
        for (index, row) in set.iter_mut().enumerate() {
            // SAFETY: a set has so many.
            *row = read(unsafe { rows.add(index) });
        }
        if let Some(row) = row_for(&set, key, self.0.generation, self.0.now) {
            // SAFETY: as above; the mask is for the verifier, which does not know.
            write(unsafe { rows.add(row & (ROWS - 1)) }, &Recent::new(key, entry, self.0.generation));
        }
    }
}

impl Stations for RecentStations {
    /// All of it, which the table does not have.
    #[inline(always)]
    fn station(&self, key: &FdbKey) -> Option<FdbEntry> {
        tables::entry(&self.later(key))
    }

    #[inline(always)]
    fn whereabouts(&self, key: &FdbKey, now: u64, ageing: u64) -> Whereabouts {
        let rows = rows_of(key);
        for index in 0..ROWS {
            // SAFETY: a set has so many.
            let row = read(unsafe { rows.add(index) });
            if row.is_of(key) {
                let here = row.whereabouts(now, ageing);
                if row.is_of_generation(self.0.generation) && here.is_known() {
                    return here;
                }
                break;
            }
        }
        Whereabouts(xbr_ask(key.word(), self.0.generation, now, ageing))
    }
}

/// Asks the FDB, and notes what it says. See [`crate::judge`] for why it is so.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_ask(key: u64, generation: u64, now: u64, ageing: u64) -> u32 {
    let (key, recent) = (FdbKey::from_word(key), RecentStations(Moment { now, generation }));
    let Some(entry) = recent.station(&key) else { return Whereabouts::NOWHERE.0 };
    let here = entry.whereabouts(now, ageing);
    if here.is_known() {
        recent.note(&key, &entry);
    }
    here.0
}

/// Word by word: other CPUs may be writing it.
#[inline(always)]
fn read(row: *const Recent) -> Recent {
    // SAFETY: aligned words of an array element.
    unsafe {
        Recent {
            check: (&raw const (*row).check).read_volatile(),
            facts: (&raw const (*row).facts).read_volatile(),
        }
    }
}

#[inline(always)]
fn write(row: *mut Recent, new: &Recent) {
    // SAFETY: as above.
    unsafe {
        (&raw mut (*row).check).write_volatile(new.check);
        (&raw mut (*row).facts).write_volatile(new.facts);
    }
}
