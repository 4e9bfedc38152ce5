//! Stations that were looked up lately: a table in front of the FDB, each station with one place that others may take.
//!
//! It is shared by all CPUs, and nobody locks it. A row is believed if all of its words belong together, and if nothing has happened to the
//! FDB since it was read there that it could not know of: whoever moves, writes or deletes an entry ends the generation *after* that, and a row bears the
//! generation that was read *before* the entry was. Time alone makes no row wrong, since it has the entry's own.

use crate::{FdbEntry, FdbKey};

/// Rows.
pub const RECENT_PLACES: usize = 1 << PLACE_BITS;

/// A table of 4 MiB, which is as large as one value of a map may be on 6.1 (`array_map_alloc_check`).
const PLACE_BITS: u32 = 17;

/// In what a row of zeroes says, the VLAN of its station, which is none.
const NOBODY: u64 = 0xffff;

/// A row.
#[repr(C, align(32))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// The station's key and the other words, all in one: a row that two CPUs have written half each is no station's.
    pub check: u64,
    /// See [`FdbEntry::place`].
    pub place: u64,
    /// See [`FdbEntry::last_seen`].
    pub last_seen: u64,
    /// The generation in bits 0 to 31; when the row was written, in bits 32 to 63.
    pub stamp: u64,
}

const _: () = assert!(size_of::<Recent>() == 32);

/// Where a station has its place.
#[inline(always)]
pub const fn place_of(key: &FdbKey) -> usize {
    // Fibonacci hashing: the upper bits depend on all of the key.
    (key.word().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACE_BITS)) as usize
}

impl Recent {
    /// Nobody's.
    pub const FREE: Self = Self { check: 0, place: 0, last_seen: 0, stamp: 0 };

    /// A row for an entry that was read, or written, in this generation.
    #[inline(always)]
    pub const fn new(key: &FdbKey, entry: &FdbEntry, generation: u64, now: u64) -> Self {
        let FdbEntry { place, last_seen } = *entry;
        let stamp = generation & 0xffff_ffff | tick(now) << 32;
        Self { check: key.word() ^ place ^ last_seen ^ stamp ^ NOBODY, place, last_seen, stamp }
    }

    /// What it says of a station, if it is that station's row, and true still.
    #[inline(always)]
    pub const fn entry(&self, key: &FdbKey, generation: u64) -> Option<FdbEntry> {
        let Self { check, place, last_seen, stamp } = *self;
        let same = check ^ place ^ last_seen ^ stamp ^ NOBODY == key.word();
        if same && stamp as u32 == generation as u32 { Some(FdbEntry { place, last_seen }) } else { None }
    }

    /// Whether another station may take the place: not if it has just been taken, or two busy stations of two CPUs would take it from each
    /// other with every frame.
    #[inline(always)]
    pub const fn is_free(&self, generation: u64, now: u64) -> bool {
        self.stamp != generation & 0xffff_ffff | tick(now) << 32
    }
}

/// A time as rows have it, in steps of a millisecond.
#[inline(always)]
const fn tick(now: u64) -> u64 {
    now >> 20 & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FdbFlags, Mac, PortId};

    const NOW: u64 = 77_000_000_000;

    const fn key(last: u8, vlan: u16) -> FdbKey {
        FdbKey { vlan, mac: Mac([2, 0, 0, 0, 0, last]) }
    }

    fn entry() -> FdbEntry {
        // With moves, all of which a row keeps.
        FdbEntry::new(PortId(7), FdbFlags::STICKY, NOW).moved(PortId(9), NOW, 10)
    }

    #[test]
    fn a_row_is_of_one_station_in_one_generation() {
        let row = Recent::new(&key(1, 5), &entry(), 3, NOW);
        assert_eq!(row.entry(&key(1, 5), 3), Some(entry()));
        assert_eq!(row.entry(&key(1, 6), 3), None);
        assert_eq!(row.entry(&key(2, 5), 3), None);
        assert_eq!(row.entry(&key(1, 5), 4), None);
    }

    #[test]
    fn a_row_of_zeroes_is_nobodys() {
        for key in [FdbKey::default(), key(1, 0), key(1, 4094)] {
            assert_eq!(Recent::default().entry(&key, 0), None);
        }
    }

    #[test]
    fn a_row_of_two_halves_is_nobodys() {
        let rows = [
            Recent::new(&key(1, 0), &entry(), 3, NOW),
            Recent::new(&key(2, 0), &FdbEntry::new(PortId(2), FdbFlags::default(), NOW + 5), 3, NOW + 9),
        ];
        let words = rows.map(|row| [row.check, row.place, row.last_seen, row.stamp]);
        for mix in 1..15_usize {
            let [check, place, last_seen, stamp] = core::array::from_fn(|word| words[mix >> word & 1][word]);
            let mixed = Recent { check, place, last_seen, stamp };
            // Those two that differ in nothing but a word that is the same in both are whole.
            if !rows.contains(&mixed) {
                assert_eq!([1, 2].map(|last| mixed.entry(&key(last, 0), 3)), [None; 2], "{mix:04b}");
            }
        }
    }

    #[test]
    fn a_place_is_free_again_a_moment_later() {
        let row = Recent::new(&key(1, 0), &entry(), 3, NOW);
        assert!(!row.is_free(3, NOW));
        assert!(row.is_free(4, NOW) && row.is_free(3, NOW + (1 << 20)));
        assert!(Recent::default().is_free(0, NOW));
    }

    #[test]
    fn neighbouring_addresses_have_places_of_their_own() {
        let places: std::collections::BTreeSet<usize> =
            (0..=255).flat_map(|last| [0, 7].map(|vlan| place_of(&key(last, vlan)))).collect();
        assert!(places.len() > 500, "{} places", places.len());
        assert!(places.iter().all(|place| *place < RECENT_PLACES));
    }
}
