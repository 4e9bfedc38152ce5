//! The programs that make frames, eat them, and forward them without a look: the limits of the hooks.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use bridge_common::maps::OWN_TAG;

use crate::bpf::{Hook, Program, devmap, insn};

const XDP_DROP: i32 = 1;
const REDIRECT: i32 = 23;
const REDIRECT_MAP: i32 = 51;
const RANDOM: i32 = 7;

const fn set(dst: u8, imm: i32) -> u64 {
    insn(0xb7, dst, 0, 0, imm)
}

const fn copy(dst: u8, src: u8) -> u64 {
    insn(0xbf, dst, src, 0, 0)
}

const fn call(helper: i32) -> u64 {
    insn(0x85, 0, 0, 0, helper)
}

const EXIT: u64 = insn(0x95, 0, 0, 0, 0);

/// Eats every frame, at the cost of nothing.
pub fn sink() -> io::Result<Program> {
    Program::load(Hook::Xdp, &[set(0, XDP_DROP), EXIT])
}

/// An address of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Where it goes.
    Destination,
    /// Who sends it.
    Source,
}

/// Sends each frame out of a device, the last four bytes of one address random where `mask` has ones and zero elsewhere.
pub fn wide_maker(ifindex: u32, place: Place, mask: u32) -> io::Result<Program> {
    let at = match place {
        Place::Destination => 2,
        Place::Source => 8,
    };
    // `w0 &= mask`: of 32 bits, or the mask's sign would be carried on.
    written(ifindex, &[call(RANDOM), insn(0x54, 0, 0, 0, mask.to_be() as i32), insn(0x63, 7, 0, at, 0)])
}

/// Sends each frame out of a device, having written random bits into the last two bytes of destination and source. `mask` says which.
pub fn maker(ifindex: u32, mask: u16) -> io::Result<Program> {
    let mask = i32::from(mask.to_be());
    written(
        ifindex,
        &[
            call(RANDOM),
            copy(1, 0),
            insn(0x57, 1, 0, 0, mask),
            insn(0x6b, 7, 1, 4, 0),
            insn(0x77, 0, 0, 0, 16),
            insn(0x57, 0, 0, 0, mask),
            insn(0x6b, 7, 0, 10, 0),
        ],
    )
}

/// Has `write` change the header of each frame, which begins where r7 points to, and sends it out of a device. A frame without a whole
/// header is dropped.
fn written(ifindex: u32, write: &[u64]) -> io::Result<Program> {
    let send = [set(1, ifindex as i32), set(2, 0), call(REDIRECT), EXIT];
    let past = i16::try_from(write.len() + send.len()).expect("a short program");
    let begin = [
        insn(0x61, 7, 1, 0, 0),
        insn(0x61, 8, 1, 4, 0),
        copy(2, 7),
        insn(0x07, 2, 0, 0, 14),
        insn(0x2d, 2, 8, past, 0),
    ];
    Program::load(Hook::Xdp, &[&begin[..], write, &send, &[set(0, XDP_DROP), EXIT]].concat())
}

/// Forwards every frame to one device of the caller's namespace, by a devmap as xbr does: the ceiling of XDP.
pub fn bare_xdp(ifindex: u32) -> io::Result<(Program, OwnedFd)> {
    by_devmap(&[ifindex], 0)
}

/// Forwards a copy of every frame to each of these devices: the ceiling of floods.
pub fn bare_broadcast(ifindexes: &[u32]) -> io::Result<(Program, OwnedFd)> {
    const BROADCAST: i32 = 1 << 3;
    by_devmap(ifindexes, BROADCAST)
}

fn by_devmap(ifindexes: &[u32], flags: i32) -> io::Result<(Program, OwnedFd)> {
    let map = devmap(ifindexes)?;
    let fd = map.as_raw_fd();
    let program = Program::load(
        Hook::Xdp,
        &[insn(0x18, 1, 1, 0, fd), 0, set(2, 0), set(3, flags), call(REDIRECT_MAP), EXIT],
    )?;
    Ok((program, map))
}

/// Has what comes in at a device of the caller's namespace come in at another, as what xbr delivers to the host does.
pub fn delivery(to: u32) -> io::Result<Program> {
    const INGRESS: i32 = 1;
    /// `__sk_buff::tc_index`.
    const TC_INDEX: i16 = 44;
    let mark = [set(2, OWN_TAG.into()), insn(0x63, 1, 2, TC_INDEX, 0)];
    let send = [set(1, to as i32), set(2, INGRESS), call(REDIRECT), EXIT];
    Program::load(Hook::TcxIngress, &[&mark[..], &send].concat())
}
