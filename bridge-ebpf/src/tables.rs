//! The maps as the tables that the decision asks.

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::{bpf_for_each_map_elem, bpf_map_delete_elem},
};
use bridge_common::{
    Fdb, FdbEntry, FdbKey, PortId, Stations, Vlans,
    fdb::{Full, RECLAIM_ENOUGH, RECLAIM_INTERVAL},
    vlan::{Membership, PortSet},
};

use crate::{
    atomic,
    maps::{FDB, LEARNED, RECLAIM, Reclaim, VLANS},
    recent::RecentStations,
    state::Tables,
};

impl Vlans for Tables {
    #[inline(always)]
    fn membership(&self, vid: u16, id: PortId) -> Membership {
        let Some(vlan) = VLANS.get_ptr(vid as u32) else { return Membership::None };
        let (word, bit) = PortSet::place(id);
        // SAFETY: aligned words of an array element, and `word` is below 4.
        let [members, untagged] = unsafe {
            [&raw const (*vlan).members, &raw const (*vlan).untagged]
                .map(|set| set.cast::<u64>().add(word).read_volatile())
        };
        if members & bit == 0 {
            Membership::None
        } else if untagged & bit != 0 {
            Membership::Untagged
        } else {
            Membership::Tagged
        }
    }
}

impl Stations for Tables {
    #[inline(always)]
    fn station(&self, key: &FdbKey) -> Option<FdbEntry> {
        entry(key)
    }
}

/// What the FDB has.
#[inline(always)]
pub fn entry(key: &FdbKey) -> Option<FdbEntry> {
    // SAFETY: the element may be freed and reused while we read, so each word is read once: `place` is
    // whole, and `last_seen` of another station can at worst make this one look expired or fresh once.
    FDB.get_ptr(key).map(|entry| unsafe { read(entry) })
}

/// # Safety
///
/// `entry` is an element's, live or free.
#[inline(always)]
unsafe fn read(entry: *const FdbEntry) -> FdbEntry {
    // SAFETY: aligned words.
    unsafe {
        FdbEntry {
            place: (&raw const (*entry).place).read_volatile(),
            last_seen: (&raw const (*entry).last_seen).read_volatile(),
        }
    }
}

impl Fdb for Tables {
    #[inline(always)]
    fn refresh(&mut self, key: &FdbKey, now: u64) {
        let recent = RecentStations(self.moment());
        if let Some(entry) = FDB.get_ptr_mut(recent.later(key)) {
            // SAFETY: one aligned word of a live element.
            unsafe { (&raw mut (*entry).last_seen).write_volatile(now) };
            // SAFETY: as above.
            recent.note(key, &FdbEntry { last_seen: now, ..unsafe { read(entry) } });
        }
    }

    #[inline(always)]
    fn make_room(&mut self, ageing: u64) -> bool {
        reclaim(self, ageing)
    }

    #[inline(always)]
    fn learn(&mut self, key: &FdbKey, entry: FdbEntry, ageing: u64) -> Result<(), Full> {
        match FDB.get_ptr_mut(key) {
            Some(known) => {
                overwrite(self, known, entry);
                Ok(())
            }
            None => insert(self, key, &entry, ageing),
        }
    }
}

#[inline(always)]
fn overwrite(tables: &Tables, known: *mut FdbEntry, entry: FdbEntry) {
    // SAFETY: two aligned words of a live element, each written at once; time first, so that nobody sees
    // the new place with an expired time.
    unsafe {
        let place = (&raw const (*known).place).read_volatile();
        // The controller may have made it static since the decision.
        let old = FdbEntry { place, last_seen: 0 };
        if !old.is_static() {
            if old.port() != entry.port() {
                count_station(old.port(), -1);
                count_station(entry.port(), 1);
            }
            (&raw mut (*known).last_seen).write_volatile(entry.last_seen);
            (&raw mut (*known).place).write_volatile(entry.place);
            tables.end_generation();
        }
    }
}

#[inline(always)]
fn insert(tables: &Tables, key: &FdbKey, entry: &FdbEntry, ageing: u64) -> Result<(), Full> {
    const EEXIST: i32 = -17;
    let recent = RecentStations(tables.moment());
    // NOEXIST: if another CPU or the controller was faster, its entry stands and the next frame sees it.
    match FDB.insert(key, entry, BPF_NOEXIST as u64) {
        Ok(()) => {}
        Err(EEXIST) => return Ok(()),
        Err(_) if reclaim(tables, ageing) => FDB.insert(key, entry, BPF_NOEXIST as u64).map_err(|_| Full)?,
        Err(_) => return Err(Full),
    }
    // One that expired may have been there.
    recent.note(key, entry);
    count_station(entry.port(), 1);
    Ok(())
}

/// Notes that a port has one learned station more, or less.
#[inline(always)]
fn count_station(port: PortId, change: i64) {
    if let Some(count) = LEARNED.get_ptr_mut(port.index()) {
        // SAFETY: an aligned word of an array element, which lives as long as the map.
        unsafe { atomic::add(count, change as u64) };
    }
}

/// Elements that one search looks at.
const RECLAIM_VISITS: u64 = 65_536;

/// What the callback needs. The counts are in the map, not here: the verifier follows every value of a number
/// on the stack, and would walk the callback once for each.
struct Search {
    now: u64,
    ageing: u64,
    reclaim: *mut Reclaim,
}

/// The controller's sweep keeps room in the table; with a dead controller this does. True if some was made.
#[inline(always)]
fn reclaim(tables: &Tables, ageing: u64) -> bool {
    let now = tables.moment().now;
    let Some(reclaim) = RECLAIM.get_ptr_mut(0) else { return false };
    // SAFETY: aligned words of an array element; two CPUs that both see it due search twice, which harms
    // nobody.
    unsafe {
        if ageing == 0 || now.wrapping_sub((*reclaim).last) < RECLAIM_INTERVAL {
            return false;
        }
        *reclaim = Reclaim { last: now, visited: 0, freed: 0 };
    }
    let mut search = Search { now, ageing, reclaim };
    // SAFETY: callback and context are what the helper expects; the context outlives the call.
    unsafe {
        bpf_for_each_map_elem(
            (&raw const FDB).cast_mut().cast(),
            free_if_expired as *mut c_void,
            (&raw mut search).cast(),
            0,
        );
        // What was expired had no rows that are believed; but whoever holds one of these elements may read another station's there by now.
        tables.end_generation();
        (*reclaim).freed > 0
    }
}

extern "C" fn free_if_expired(
    map: *mut c_void,
    key: *const FdbKey,
    entry: *const FdbEntry,
    search: *const Search,
) -> c_long {
    // SAFETY: the kernel hands over a live element and the caller's context. Deleting the element at hand is
    // what `bpf_for_each_hash_elem` walks safely.
    unsafe {
        let reclaim = (*search).reclaim;
        (*reclaim).visited += 1;
        if (*entry).is_expired((*search).now, (*search).ageing) {
            let (copy, port) = (*key, (*entry).port());
            if bpf_map_delete_elem(map, (&raw const copy).cast()) == 0 {
                (*reclaim).freed += 1;
                count_station(port, -1);
            }
        }
        ((*reclaim).freed >= RECLAIM_ENOUGH || (*reclaim).visited >= RECLAIM_VISITS) as c_long
    }
}
