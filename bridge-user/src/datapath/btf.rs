//! The structure offsets that the programs need, from the kernel's own BTF. (They are Rust, whose compiler emits no relocations for
//! kernel structures.)
//!
//! The format is that of the kernel's Documentation/bpf/btf.rst: a header, a section of types, a section of
//! strings.

use std::fs;

use bridge_common::maps::constants::NetOffsets;

const STRUCT: u32 = 4;
const KIND_FLAG: u32 = 1 << 31;

/// What the programs are told of the running kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// [`NetOffsets::NONE`] where the kernel has no BTF or is built otherwise: then those losses are not counted.
    pub offsets: NetOffsets,
    /// See [`bridge_common::maps::constants::ROWS_AT`]; 0 where that is not known, and then some sets of rows are two cache lines.
    pub rows_at: u64,
}

/// Of the running kernel, for devices of the network namespace with this cookie.
pub fn facts(namespace: u64) -> Facts {
    let data = fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
    let btf = Btf::parse(&data);
    Facts {
        offsets: btf.as_ref().and_then(|btf| net_offsets(btf, namespace)).unwrap_or(NetOffsets::NONE),
        rows_at: btf.as_ref().and_then(rows_at).unwrap_or_default(),
    }
}

fn net_offsets(btf: &Btf<'_>, namespace: u64) -> Option<NetOffsets> {
    Some(NetOffsets {
        namespace,
        device_net: btf.offset_of("net_device", "nd_net")?,
        device_ifindex: btf.offset_of("net_device", "ifindex")?,
        net_cookie: btf.offset_of("net", "net_cookie")?,
        padding: 0,
    })
}

/// The values of an array of this size begin behind its head, in pages of their own (`bpf_map_area_alloc`). They are a union without a name,
/// the first of `struct bpf_array`.
fn rows_at(btf: &Btf<'_>) -> Option<u64> {
    const LINE: u32 = 64;
    let head = btf.offset_of("bpf_array", "")?;
    Some((head.next_multiple_of(LINE) - head).into())
}

struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Btf<'a> {
    fn parse(data: &'a [u8]) -> Option<Self> {
        if u16::from_ne_bytes(data.get(..2)?.try_into().ok()?) != 0xeb9f {
            return None;
        }
        let header = word(data, 4)? as usize;
        let section = |at: usize| {
            let (start, length) = (header + word(data, at)? as usize, word(data, at + 4)? as usize);
            data.get(start..start + length)
        };
        Some(Self { types: section(8)?, strings: section(16)? })
    }

    /// Bytes from the start of a structure to a direct member.
    fn offset_of(&self, structure: &str, member: &str) -> Option<u32> {
        let mut at = 0;
        while at < self.types.len() {
            let (name, info) = (word(self.types, at)?, word(self.types, at + 4)?);
            let (kind, count) = ((info >> 24) & 0x1f, info & 0xffff);
            if kind == STRUCT && self.is(name, structure) {
                // A structure of this name may be declared more than once, by drivers for their own use.
                if let Some(offset) = self.member(at + 12, count, info & KIND_FLAG != 0, member) {
                    return Some(offset);
                }
            }
            at += 12 + trailer(kind, count)?;
        }
        None
    }

    fn member(&self, at: usize, count: u32, bitfields: bool, wanted: &str) -> Option<u32> {
        for index in 0..count as usize {
            let at = at + index * 12;
            if self.is(word(self.types, at)?, wanted) {
                let bits = word(self.types, at + 8)?;
                return Some(if bitfields { bits & 0xff_ffff } else { bits } / 8);
            }
        }
        None
    }

    fn is(&self, name: u32, wanted: &str) -> bool {
        let rest = self.strings.get(name as usize..).unwrap_or(&[]);
        rest.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// Bytes that follow a type of this kind.
fn trailer(kind: u32, count: u32) -> Option<usize> {
    let count = count as usize;
    Some(match kind {
        // INT, VAR, DECL_TAG
        1 | 14 | 17 => 4,
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        2 | 7..=12 | 16 | 18 => 0,
        // ARRAY
        3 => 12,
        // STRUCT, UNION, DATASEC, ENUM64
        4 | 5 | 15 | 19 => 12 * count,
        // ENUM, FUNC_PROTO
        6 | 13 => 8 * count,
        _ => return None,
    })
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct empty {}; int i; struct net { int a; u64 net_cookie at 24 bytes }`.
    fn sample() -> Vec<u8> {
        let strings = b"\0net\0net_cookie\0a\0network\0";
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<_>>();
        let types = words(&[
            18,
            STRUCT << 24,
            0, // struct network {}
            0,
            1 << 24,
            4,
            0, // int
            1,
            STRUCT << 24 | 2,
            32,
            16,
            2,
            0,
            5,
            2,
            24 * 8,
        ]);
        let mut data = 0xeb9f_u16.to_ne_bytes().to_vec();
        data.extend([1, 0]);
        data.extend(words(&[24, 0, types.len() as u32, types.len() as u32, strings.len() as u32]));
        data.extend(types);
        data.extend(strings);
        data
    }

    #[test]
    fn a_member_is_found_by_name() {
        let data = sample();
        let btf = Btf::parse(&data).unwrap();
        assert_eq!(btf.offset_of("net", "net_cookie"), Some(24));
        assert_eq!(btf.offset_of("net", "a"), Some(0));
        assert_eq!(btf.offset_of("net", "b"), None);
        assert_eq!(btf.offset_of("netw", "a"), None);
    }

    /// `struct bpf_array { 16 bytes; union {}; }`, of which the verifier's own tests have other shapes.
    #[test]
    fn what_has_no_name_is_found_too() {
        let data = sample();
        let btf = Btf::parse(&data).unwrap();
        assert_eq!(btf.offset_of("network", ""), None);
        let running = facts(1);
        assert!(running.rows_at < 64 && running.rows_at.is_multiple_of(8), "{running:?}");
    }

    #[test]
    fn damaged_data_is_no_panic() {
        let data = sample();
        for length in 0..data.len() {
            let cut = data.get(..length).unwrap();
            let _ = Btf::parse(cut).and_then(|btf| btf.offset_of("net", "net_cookie"));
        }
    }
}
