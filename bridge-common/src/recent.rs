//! Stations that were looked up lately: a table in front of the FDB, in sets of [`ROWS`] rows. A station may have any row of its set, whose rows
//! are one cache line.
//!
//! It is shared by all CPUs, and nobody locks it. A row is believed if its two words belong together, and if nothing has happened to the
//! FDB since it was read there that it could not know of: whoever moves, writes or deletes an entry ends the generation *after* that, and a row bears the
//! generation that was read *before* the entry was. Time alone makes no row wrong: it says when the station was last heard, to a step of
//! [`crate::fdb::REFRESH_STEP`], and where that is not enough to tell it says nothing.

use crate::{
    FdbEntry, FdbKey, PortId,
    fdb::{REFRESH_STEP, Whereabouts, step},
    port::MAX_PORTS,
};

/// Sets.
pub const SETS: usize = 1 << SET_BITS;

/// A table of 2 MiB: 131,072 rows. Of 65,536 stations, which is what an FDB holds by default, 19 in 20 find one.
const SET_BITS: u32 = 15;

/// Rows of a set.
pub const ROWS: usize = 4;

/// A set's rows.
pub type Set = [Recent; ROWS];

/// In what a row of zeroes says, the VLAN of its station, which is none.
const NOBODY: u64 = 0xffff;

/// A row.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// The station's key, and the other word with its bits mixed, in one: a row that two CPUs have written half each is no station's.
    pub check: u64,
    /// The port in bits 0 to 7; bit 8 if anything was written; bit 9 if the station is static; when the station was last heard, in steps, in bits 10 to 34; the generation in bits 35 to 63.
    /// Times wrap around in 52 days: a station that was silent for so long, and that nobody has swept away, may be taken for one that was
    /// just heard.
    pub facts: u64,
}

const _: () = assert!(size_of::<Set>() == 64 && MAX_PORTS == 1 << 8);

const WRITTEN: u64 = 1 << 8;
const STATIC: u64 = 1 << 9;
const SEEN_SHIFT: u32 = 10;
const SEEN: u64 = (1 << 25) - 1;
const GENERATION_SHIFT: u32 = 35;
const GENERATION: u64 = (1 << (64 - GENERATION_SHIFT)) - 1;

/// Any odd number does whose bits are mixed: the upper bits of a product depend on all of the word. (Fibonacci hashing.)
const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where a station has its set.
#[inline(always)]
pub const fn set_of(key: &FdbKey) -> usize {
    (key.word().wrapping_mul(MIXER) >> (64 - SET_BITS)) as usize
}

/// Such that no difference of two rows' facts is the difference of two stations.
#[inline(always)]
const fn mixed(facts: u64) -> u64 {
    facts.wrapping_mul(MIXER)
}

impl Recent {
    /// A row for an entry that was read, or written, in this generation.
    #[inline(always)]
    pub const fn new(key: &FdbKey, entry: &FdbEntry, generation: u64) -> Self {
        let fixed = if entry.is_static() { STATIC } else { 0 };
        let seen = (step(entry.last_seen) & SEEN) << SEEN_SHIFT;
        let port = entry.port().0 as u64 & 0xff;
        let facts = port | WRITTEN | fixed | seen | (generation & GENERATION) << GENERATION_SHIFT;
        Self { check: key.word() ^ mixed(facts) ^ NOBODY, facts }
    }

    /// Whether it is this station's, of whichever generation.
    #[inline(always)]
    pub const fn is_of(&self, key: &FdbKey) -> bool {
        self.check ^ mixed(self.facts) ^ NOBODY == key.word()
    }

    /// Whether it is of this generation.
    #[inline(always)]
    pub const fn is_of_generation(&self, generation: u64) -> bool {
        self.facts >> GENERATION_SHIFT == generation & GENERATION
    }

    /// Where its station is, as [`FdbEntry::whereabouts`], if it can tell. For one that is not known, and where it cannot, `NOWHERE`.
    #[inline(always)]
    pub const fn whereabouts(&self, now: u64, ageing: u64) -> Whereabouts {
        // Of a time that is ahead it makes one that is long ago.
        let age = step(now).wrapping_sub(self.facts >> SEEN_SHIFT) & SEEN;
        let lives = self.facts & STATIC != 0 || ageing == 0 || (age + 1) * REFRESH_STEP <= ageing;
        if !lives {
            return Whereabouts::NOWHERE;
        }
        Whereabouts::aged(PortId((self.facts & 0xff) as u16), age)
    }
}

/// Which row of its set a station takes: its own, or one that is of no use. Where there is none it may take another's, but only now and then, and another one each time: busy
/// stations of two CPUs would take it from each other with every frame.
#[inline(always)]
pub fn row_for(set: &Set, key: &FdbKey, generation: u64, now: u64) -> Option<usize> {
    if let Some(row) = set.iter().position(|row| row.is_of(key)) {
        return Some(row);
    }
    if let Some(row) = set.iter().position(|row| row.facts == 0 || !row.is_of_generation(generation)) {
        return Some(row);
    }
    // A millisecond of 64, which is not the same for all.
    let turn = (now >> 20 ^ key.word() >> 56) & 63 == 0;
    turn.then_some((now >> 26) as usize % ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FdbFlags, Mac, fdb::REFRESH_INTERVAL};
    use std::{vec, vec::Vec};

    const NOW: u64 = 77_000_000_000;
    const AGEING: u64 = 300_000_000_000;
    const DAYS_52: u64 = REFRESH_STEP << 25;

    const fn key(last: u8, vlan: u16) -> FdbKey {
        FdbKey { vlan, mac: Mac([2, 0, 0, 0, 0, last]) }
    }

    fn entry(port: u16, flags: FdbFlags, last_seen: u64) -> FdbEntry {
        FdbEntry::new(PortId(port), flags, last_seen)
    }

    #[test]
    fn a_row_is_of_one_station_in_one_generation() {
        let row = Recent::new(&key(1, 5), &entry(9, FdbFlags::STICKY, NOW), 3);
        assert!(row.is_of(&key(1, 5)) && row.is_of_generation(3));
        assert!(!row.is_of(&key(1, 6)) && !row.is_of(&key(2, 5)) && !row.is_of_generation(4));
        assert_eq!(row.whereabouts(NOW, AGEING), Whereabouts::of(PortId(9), false));
    }

    #[test]
    fn a_row_of_zeroes_is_nobodys() {
        for key in [FdbKey::default(), key(1, 0), key(1, 4094)] {
            assert!(!Recent::default().is_of(&key));
        }
    }

    /// Whatever a row says, the entry says; and it only keeps silent about one that may have expired, or whose time is ahead.
    #[test]
    fn a_row_says_what_the_entry_says_or_nothing() {
        for flags in [FdbFlags(0), FdbFlags::STATIC, FdbFlags::STICKY] {
            for ageing in [0, 1_000_000_000, AGEING] {
                for age in [
                    0,
                    1,
                    REFRESH_STEP - 1,
                    REFRESH_INTERVAL - 1,
                    REFRESH_INTERVAL,
                    999_999_999,
                    AGEING - 1,
                    AGEING,
                    AGEING + 1,
                ] {
                    for now in [DAYS_52 + 5, NOW + AGEING, 2 * DAYS_52 - 1] {
                        let entry = entry(255, flags, now - age);
                        let row = Recent::new(&key(1, 0), &entry, 0).whereabouts(now, ageing);
                        let may_have_expired =
                            !entry.is_static() && ageing != 0 && age + REFRESH_STEP > ageing;
                        let silent = !row.is_known() && may_have_expired;
                        assert!(
                            silent || row == entry.whereabouts(now, ageing),
                            "{entry:?} {now} {ageing}: {row:?}"
                        );
                    }
                }
            }
        }
        let ahead = Recent::new(&key(1, 0), &entry(1, FdbFlags(0), NOW + REFRESH_STEP), 0);
        assert!(!ahead.whereabouts(NOW, AGEING).is_known());
    }

    #[test]
    fn a_row_of_two_halves_is_nobodys() {
        for (port, later, generation) in [(1, 0, 3), (2, 0, 3), (1, 1, 3), (1, 0, 4), (2, 9, 7)] {
            let one = Recent::new(&key(1, 0), &entry(1, FdbFlags(0), NOW), 3);
            let other =
                Recent::new(&key(2, 0), &entry(port, FdbFlags(0), NOW + later * REFRESH_STEP), generation);
            let mixed = Recent { check: other.check, facts: one.facts };
            let same = one.facts == other.facts;
            assert_eq!([1, 2].map(|last| mixed.is_of(&key(last, 0))), [false, same]);
        }
    }

    #[test]
    fn a_station_takes_its_own_row_or_one_of_no_use() {
        let row = |last, generation| Recent::new(&key(last, 0), &entry(1, FdbFlags(0), NOW), generation);
        let full = [1, 2, 3, 4].map(|last| row(last, 3));
        assert_eq!(row_for(&full, &key(3, 0), 3, NOW), Some(2));
        assert_eq!(row_for(&full, &key(3, 0), 4, NOW), Some(2), "its own goes before others");
        assert_eq!(row_for(&full, &key(5, 0), 4, NOW), Some(0));
        assert_eq!(row_for(&[full[0], Recent::default(), full[2], full[3]], &key(5, 0), 3, NOW), Some(1));
        let turns: Vec<_> =
            (0..256).filter_map(|turn| row_for(&full, &key(5, 0), 3, NOW + (turn << 20))).collect();
        let mut rows = turns.clone();
        rows.sort_unstable();
        assert_eq!((turns.len(), rows), (4, vec![0, 1, 2, 3]), "{turns:?}");
    }

    #[test]
    fn stations_are_spread_over_the_sets() {
        let mut used = vec![0; SETS];
        for station in 0..65_536_u32 {
            let [a, b, c, d] = station.to_be_bytes();
            used[set_of(&FdbKey { vlan: 0, mac: Mac([2, 0, a, b, c, d]) })] += 1;
        }
        let without_row: usize = used.iter().map(|used: &usize| used.saturating_sub(ROWS)).sum();
        assert!(without_row < 65_536 / 20, "{without_row}");
    }
}
