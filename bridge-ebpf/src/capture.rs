//! Showing frames to `xbr capture`. While there is none, it is one test of one word for each frame.
//!
//! What is shown has been decided and committed: a frame that XDP leaves to TC is TC's to show.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_CURRENT_CPU, xdp_md},
    helpers::{bpf_ktime_get_ns, bpf_perf_event_output, bpf_xdp_get_buff_len},
    programs::{TcContext, XdpContext},
};
use bridge_common::{
    Packet,
    capture::{Capture, Direction, Sight, Sighting, Tag, Wanted},
};

use crate::{
    maps::{SIGHTINGS, UNSEEN},
    packet::Copied,
    state::Tables,
};

/// What is wanted.
#[inline(always)]
fn wanted() -> Option<&'static Capture> {
    Tables::open().map(|tables| tables.capture())
}

/// Whether anybody captures.
#[inline(always)]
pub fn is_on() -> bool {
    wanted().is_some_and(|capture| capture.wanted != Wanted::NOTHING)
}

/// Shows a frame of TC, at its port and, on its way in, at its peer.
#[inline(always)]
pub fn show_buffer(ctx: &TcContext, sight: Sight) {
    if is_on() {
        xbr_show_buffer(ctx.skb.skb, &sight);
    }
}

/// Shows a frame of XDP, at its port and at its peer.
#[inline(always)]
pub fn show_window(ctx: &XdpContext, sight: Sight) {
    if is_on() {
        xbr_show_window(ctx.ctx, &sight);
    }
}

/// Never inlined: the frames of everyday are not to step over it. With external linkage for the verifier's sake: see [`crate::judge`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn xbr_show_buffer(skb: *mut __sk_buff, sight: *const Sight) -> u32 {
    // SAFETY: the verifier sees to it that a pointer that is not null points to as many bytes as its type has.
    let Some(sight) = (unsafe { sight.as_ref() }) else { return 0 };
    // SAFETY: the kernel's context is valid for the length of the program.
    let (length, gso_size, tag) = unsafe {
        let skb = &*skb;
        let tag = Tag { protocol: u16::from_be(skb.vlan_proto as u16), tci: skb.vlan_tci as u16 };
        (skb.len, skb.gso_size, if skb.vlan_present != 0 { tag } else { Tag::default() })
    };
    let head = Sighting { sight: *sight, length, gso_size, tag, ..Sighting::default() };
    show(skb.cast(), &Copied::of_buffer(skb), head);
    0
}

/// As above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn xbr_show_window(xdp: *mut xdp_md, sight: *const Sight) -> u32 {
    // SAFETY: as above.
    let Some(sight) = (unsafe { sight.as_ref() }) else { return 0 };
    // SAFETY: the context is the kernel's.
    let length = unsafe { bpf_xdp_get_buff_len(xdp) } as u32;
    let head = Sighting { sight: *sight, length, ..Sighting::default() };
    show(xdp.cast(), &Copied::of_window(xdp), head);
    0
}

#[inline(always)]
fn show(ctx: *mut c_void, packet: &impl Packet, mut head: Sighting) {
    let Some(capture) = wanted() else { return };
    let sight = head.sight;
    let at_port = capture.has(sight.port);
    let at_peer =
        sight.direction == Direction::In as u8 && sight.peer != sight.port && capture.has(sight.peer);
    if !(at_port || at_peer) || !capture.takes(packet, head.tag) {
        return;
    }
    head.kept = head.length.min(capture.snaplen);
    // SAFETY: a helper without arguments.
    head.time = unsafe { bpf_ktime_get_ns() };
    if at_port {
        hand_over(ctx, &head);
    }
    if at_peer {
        head.sight = sight.at_peer();
        hand_over(ctx, &head);
    }
}

#[inline(always)]
fn hand_over(ctx: *mut c_void, head: &Sighting) {
    /// Nobody has opened this CPU's ring: the capture is beginning, or its process is dead.
    const ENOENT: i64 = -2;
    let flags = (head.kept as u64) << 32 | BPF_F_CURRENT_CPU;
    // SAFETY: context and map are the kernel's; the head is plain bytes without padding.
    let outcome = unsafe {
        bpf_perf_event_output(
            ctx,
            (&raw const SIGHTINGS).cast_mut().cast(),
            flags,
            (&raw const *head).cast_mut().cast(),
            size_of::<Sighting>() as u64,
        )
    };
    if outcome != 0
        && outcome != ENOENT
        && let Some(unseen) = UNSEEN.get_ptr_mut(0)
    {
        // SAFETY: this CPU's own word.
        unsafe { *unseen += 1 };
    }
}
