//! Looking into frames of ports with guards, in functions that are never inlined: no other frame steps over them.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    helpers::{bpf_skb_load_bytes, bpf_xdp_load_bytes},
};
use bridge_common::{DropReason, Frame, Packet, PortId, Question, inspect::inspect, policy::Guards};

use crate::tables::Tables;

/// A frame that is read by copying. To the verifier an offset into one is any number: it walks the loops over extension headers
/// and options once, where with pointers into the frame it would walk them for every range of every offset.
struct Copied<F>(F);

impl<F: Fn(u32, *mut c_void, u32) -> i64> Packet for Copied<F> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        let failed = (self.0)(offset, bytes.as_mut_ptr().cast(), N as u32) != 0;
        // SAFETY: the helper has written all of them.
        if failed { None } else { Some(unsafe { bytes.assume_init() }) }
    }
}

/// No reason. Beyond every reason's number.
const NONE: u64 = DropReason::COUNT as u64;

/// Why a frame of TC may not come in.
#[inline(always)]
pub fn buffer(skb: *mut __sk_buff, question: &Question<'_>, guards: Guards) -> Option<DropReason> {
    DropReason::from_index(xbr_look_at_buffer(skb, &question.frame, question.ingress.index(), guards.0))
}

/// Why a frame of XDP may not come in.
#[inline(always)]
pub fn window(xdp: *mut xdp_md, question: &Question<'_>, guards: Guards) -> Option<DropReason> {
    DropReason::from_index(xbr_look_at_window(xdp, &question.frame, question.ingress.index(), guards.0))
}

/// See [`crate::judge`] for why it is so.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn xbr_look_at_buffer(
    skb: *mut __sk_buff,
    frame: *const Frame,
    ingress: u32,
    guards: u32,
) -> u64 {
    // SAFETY: the verifier sees to it that a pointer that is not null points to as many bytes as its type has.
    let Some(frame) = (unsafe { frame.as_ref() }) else { return NONE };
    // SAFETY: the context is the kernel's, and the place has so many bytes.
    let packet = Copied(|at, to, bytes| unsafe { bpf_skb_load_bytes(skb.cast(), at, to, bytes) });
    let reason = inspect(&packet, frame, PortId(ingress as u16), Guards(guards), &Tables);
    reason.map_or(NONE, |reason| reason as u64)
}

/// As above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn xbr_look_at_window(
    xdp: *mut xdp_md,
    frame: *const Frame,
    ingress: u32,
    guards: u32,
) -> u64 {
    // SAFETY: as above.
    let Some(frame) = (unsafe { frame.as_ref() }) else { return NONE };
    // SAFETY: as above.
    let packet = Copied(|at, to, bytes| unsafe { bpf_xdp_load_bytes(xdp, at, to, bytes) });
    let reason = inspect(&packet, frame, PortId(ingress as u16), Guards(guards), &Tables);
    reason.map_or(NONE, |reason| reason as u64)
}
