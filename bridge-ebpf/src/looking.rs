//! Looking into frames of ports with guards, in functions that are never inlined: no other frame steps over them.

use aya_ebpf::bindings::{__sk_buff, xdp_md};
use bridge_common::{DropReason, Packet, inspect::inspect, policy::Guards};

use crate::{judge::Judged, packet::Copied, tables::Tables};

/// No reason. Beyond every reason's number.
const NONE: u64 = DropReason::COUNT as u64;

/// Why a frame of TC may not come in.
#[inline(always)]
pub fn buffer(skb: *mut __sk_buff, judged: &Judged, guards: Guards) -> Option<DropReason> {
    DropReason::from_index(xbr_look_at_buffer(skb, judged, guards.0))
}

/// Why a frame of XDP may not come in.
#[inline(always)]
pub fn window(xdp: *mut xdp_md, judged: &Judged, guards: Guards) -> Option<DropReason> {
    DropReason::from_index(xbr_look_at_window(xdp, judged, guards.0))
}

/// See [`crate::judge`] for why it is so.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn xbr_look_at_buffer(skb: *mut __sk_buff, judged: *const Judged, guards: u32) -> u64 {
    look(&Copied::of_buffer(skb), judged, guards)
}

/// As above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn xbr_look_at_window(xdp: *mut xdp_md, judged: *const Judged, guards: u32) -> u64 {
    look(&Copied::of_window(xdp), judged, guards)
}

#[inline(always)]
fn look(packet: &impl Packet, judged: *const Judged, guards: u32) -> u64 {
    // SAFETY: the verifier sees to it that a pointer that is not null points to as many bytes as its type has.
    let Some(judged) = (unsafe { judged.as_ref() }) else { return NONE };
    let reason = inspect(packet, &judged.frame(), judged.ingress(), Guards(guards), &Tables);
    reason.map_or(NONE, |reason| reason as u64)
}
