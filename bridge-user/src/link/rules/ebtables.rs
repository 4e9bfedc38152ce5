//! The older ebtables, whose tables are read through socket options.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::{Interface, Rule, Test};
use crate::link::channel::u32_at;
use crate::link::{Error, Reason, Result};

// <linux/netfilter_bridge/ebtables.h>.
const TABLES: [&str; 3] = ["filter", "nat", "broute"];
const EBT_SO_GET_INFO: c_int = 128;
const EBT_SO_GET_ENTRIES: c_int = 129;
/// The most that a table may fill here: far more than any that was written by people or by libvirt.
const LARGEST: usize = 64 << 20;

/// `struct ebt_replace`, as the kernel of a 64-bit machine has it.
#[repr(C)]
struct Replace {
    name: [u8; 32],
    valid_hooks: u32,
    entry_count: u32,
    entries_size: u32,
    hook_entry: [u64; 6],
    counter_count: u32,
    counters: u64,
    entries: u64,
}

const _: () = assert!(size_of::<Replace>() == 120);

/// The rules that compare an interface.
pub fn rules() -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for table in TABLES.into_iter().filter(|table| is_there(table)) {
        let entries = read(table).map_err(|reason| Error::Ebtables { table, reason })?;
        rules.extend(parse(table, &entries));
    }
    Ok(rules)
}

/// Asking for a table loads its module (`find_inlist_lock`), and a look must not. One that is built in has no
/// folder here without parameters of its own; distributions build these as modules.
fn is_there(table: &str) -> bool {
    Path::new("/sys/module").join(format!("ebtable_{table}")).exists()
}

/// The entries of a table. They may grow between the two questions: then the second says EINVAL.
fn read(table: &str) -> Result<Vec<u8>, Reason> {
    // Any IPv4 socket will do (`ip_getsockopt`), and this one needs no CAP_NET_RAW.
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    for _attempt in 0..16 {
        match read_once(&socket, table) {
            Err(reason) if reason.errno() == Some(Errno::EINVAL) => {}
            // The module is there and this namespace's table is not.
            Err(reason) if matches!(reason.errno(), Some(Errno::ENOPROTOOPT | Errno::ENOENT)) => {
                return Ok(Vec::new());
            }
            entries => return entries,
        }
    }
    Err(Reason::Answer("the table changes faster than it can be read"))
}

fn read_once(socket: &OwnedFd, table: &str) -> Result<Vec<u8>, Reason> {
    let mut replace = Replace {
        name: [0; 32],
        valid_hooks: 0,
        entry_count: 0,
        entries_size: 0,
        hook_entry: [0; 6],
        counter_count: 0,
        counters: 0,
        entries: 0,
    };
    replace.name.iter_mut().zip(table.bytes()).for_each(|(to, from)| *to = from);
    option(socket, EBT_SO_GET_INFO, &mut replace, 0)?;
    let size = replace.entries_size as usize;
    if size > LARGEST {
        return Err(Reason::Answer("the table is too large to be read"));
    }
    let mut entries = vec![0u8; size];
    // With 0 of them wanted, no counters are copied (`copy_counters_to_user`).
    (replace.counter_count, replace.entries) = (0, entries.as_mut_ptr() as u64);
    option(socket, EBT_SO_GET_ENTRIES, &mut replace, size)?;
    Ok(entries)
}

/// The length that the kernel wants counts the entries too, although they go elsewhere (`copy_everything_to_user`).
fn option(socket: &OwnedFd, name: c_int, replace: &mut Replace, entries: usize) -> Result<(), Errno> {
    let mut length = (size_of::<Replace>() + entries) as libc::socklen_t;
    let pointer = std::ptr::from_mut(replace).cast::<c_void>();
    // SAFETY: the kernel writes at most a `Replace` at `pointer`, and at most `entries_size` bytes where its
    // `entries` points: it refuses a size that is not its own, and that vector has this size.
    let done = unsafe { libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, name, pointer, &mut length) };
    Errno::result(done).map(drop)
}

/// `struct ebt_entries`, which begins a chain: marker 0, name, counter offset, policy, number of entries.
const CHAIN: usize = 48;
/// `struct ebt_entry` up to its matches: marker, inversions, protocol, four interfaces, addresses, three offsets.
const NEXT: usize = 108;
const INTERFACES: [(&str, usize); 2] = [("iifname", 10), ("oifname", 42)];

/// The rules of a table's entries.
pub fn parse(table: &str, entries: &[u8]) -> Vec<Rule> {
    let mut rules = Vec::new();
    let (mut chain, mut number) = (String::new(), 0);
    let mut rest = entries;
    while let Some(marker) = u32_at(rest, 0) {
        if marker == 0 {
            let name = rest.get(4..36).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            (chain, number) = (String::from_utf8_lossy(name).into_owned(), 0);
            rest = rest.get(CHAIN..).unwrap_or_default();
            continue;
        }
        number += 1;
        let tests: Vec<_> =
            INTERFACES.into_iter().filter_map(|(key, at)| test(key, rest.get(at..)?)).collect();
        if !tests.is_empty() {
            rules.push(Rule {
                place: format!("rule {number} of ebtables chain {table} {chain}"),
                see: format!("ebtables-legacy -t {table} -L {chain} --Ln"),
                tests,
            });
        }
        let next = u32_at(rest, NEXT).map_or(0, |next| next as usize);
        // Less than an entry would not be the kernel's.
        rest = rest.get(next.max(NEXT + 4)..).unwrap_or_default();
    }
    rules
}

/// The byte 1 stands for all that may follow (`ebt_dev_check`); no name at all for any interface.
fn test(key: &'static str, name: &[u8]) -> Option<Test> {
    let name = name.get(..16)?;
    let end = name.iter().position(|byte| *byte <= 1).unwrap_or(16);
    let own = name.get(..end)?.to_vec();
    let with = match name.get(end) {
        Some(1) => Interface::Prefix(own),
        _ if own.is_empty() => return None,
        _ => Interface::Name(own),
    };
    Some(Test { key, with })
}
