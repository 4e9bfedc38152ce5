//! Whole-table reads and writes in few system calls, which aya lacks.
//!
//! aya's iterator costs a system call an element and begins anew when its key is deleted meanwhile; the
//! kernel's batch walks bucket by bucket and repeats nothing (`__htab_map_lookup_and_delete_batch`).

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use aya::Pod;

const LOOKUP_BATCH: libc::c_long = 24;
const UPDATE_BATCH: libc::c_long = 26;
const DELETE_BATCH: libc::c_long = 27;

/// The most elements that one call reads, unless a bucket has more.
const AT_ONCE: usize = 16_384;

/// The part of `union bpf_attr` that the batch commands read.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

fn bpf(command: libc::c_long, attributes: &mut Attributes) -> io::Result<()> {
    // SAFETY: the attributes are of the size that we say, and their pointers were made from slices that
    // outlive the call and hold `count` elements of the map's key and value size.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<Attributes>() as libc::c_uint)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Every element of a hash map. The map's key and value must be of the sizes of `K` and `V`.
pub fn read<K: Pod + Default, V: Pod + Default>(map: BorrowedFd<'_>) -> io::Result<Vec<(K, V)>> {
    let mut all = Vec::new();
    // Small tables are read at every turn, and memory for many is more work than their few.
    let mut room = 512_usize;
    let (mut keys, mut values) = (vec![K::default(); room], vec![V::default(); room]);
    // The kernel's place in the table: a bucket's number.
    let (mut place, mut next) = (0_u32, 0_u32);
    let mut first = true;
    loop {
        let mut attributes = Attributes {
            in_batch: if first { 0 } else { (&raw const place) as u64 },
            out_batch: (&raw mut next) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: room as u32,
            map_fd: map.as_raw_fd() as u32,
            ..Attributes::default()
        };
        let outcome = bpf(LOOKUP_BATCH, &mut attributes);
        let count = attributes.count as usize;
        let taken = keys.iter().zip(&values).take(count.min(room));
        match outcome {
            Ok(()) => all.extend(taken.map(|(key, value)| (*key, *value))),
            // The end; what was counted is valid.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                all.extend(taken.map(|(key, value)| (*key, *value)));
                return Ok(all);
            }
            // A bucket larger than the room that was left.
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                room *= 2;
                keys.resize(room, K::default());
                values.resize(room, V::default());
                continue;
            }
            Err(error) => return Err(error),
        }
        place = next;
        first = false;
        if room < AT_ONCE {
            room *= 4;
            keys.resize(room, K::default());
            values.resize(room, V::default());
        }
    }
}

/// Writes elements, over those that are there. Says how many were written when it fails.
pub fn write<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    keys: &[K],
    values: &[V],
) -> Result<(), (usize, io::Error)> {
    let count = keys.len().min(values.len());
    let mut attributes = Attributes {
        keys: keys.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count: count as u32,
        map_fd: map.as_raw_fd() as u32,
        ..Attributes::default()
    };
    if count == 0 {
        return Ok(());
    }
    bpf(UPDATE_BATCH, &mut attributes).map_err(|error| (attributes.count as usize, error))
}

/// Deletes elements and says which of them, by their places in `keys`, were not there.
pub fn delete<K: Pod>(map: BorrowedFd<'_>, keys: &[K]) -> io::Result<Vec<usize>> {
    let (mut missing, mut at) = (Vec::new(), 0);
    while let Some(rest) = keys.get(at..).filter(|rest| !rest.is_empty()) {
        let mut attributes = Attributes {
            keys: rest.as_ptr() as u64,
            count: rest.len() as u32,
            map_fd: map.as_raw_fd() as u32,
            ..Attributes::default()
        };
        match bpf(DELETE_BATCH, &mut attributes) {
            Ok(()) => break,
            // Stops at the first that is gone; `count` before it were deleted.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                missing.push(at + attributes.count as usize);
                at += attributes.count as usize + 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}
