//! The kernel's half of xbr: the forwarding decision of `bridge-common`, run in XDP and in TC.
//!
//! | program | hook | its frames |
//! |---|---|---|
//! | [`xbr_xdp`] | XDP of the uplink or of a guest's port | those with two ends that take XDP |
//! | [`xbr_port`] | TC ingress of a guest's port | the rest of what guests send |
//! | [`xbr_wire`] | TC ingress of the uplink | the rest of what the outside sends |
//! | [`xbr_host`] | TC egress of the uplink | what the host sends |
//! | [`xbr_flooding`] | none: the three above call it | those of theirs that are for many |
//! | [`xbr_spreading`] | none: `xbr_xdp` calls it | those of its own that are for many |
//! | [`xbr_neighbours`] | none: the three call it first | the same, while neighbours are learned |
//! | [`xbr_probe`] | none: the controller runs it | its probes for loops, on their way out |
//! | [`xbr_xmit`] | tracepoint `xdp_devmap_xmit` | none: it counts what devices refused |
//!
//! The verifier rejects a program that could read outside a frame; this crate has one bounds check for each
//! kind of context, in `packet.rs`.
#![no_std]
#![no_main]
// Inline assembly is stable for many targets and not for this one.
#![feature(asm_experimental_arch)]
// A closure that is called on the way of every frame is to be part of it.
#![feature(stmt_expr_attributes)]
// The program macros emit functions without the comments that stand here.
#![allow(missing_docs)]

mod account;
mod atomic;
mod capture;
mod flood;
mod groups;
mod judge;
mod judged;
mod looking;
mod maps;
mod neigh;
mod packet;
mod policies;
mod probe;
mod recent;
mod snoop;
mod spread;
mod state;
mod tables;
mod tag;
mod tc;
mod xdp;
mod xmit;

use aya_ebpf::{
    macros::{classifier, raw_tracepoint, xdp},
    programs::{RawTracePointContext, TcContext, XdpContext},
};
use bridge_common::PortId;

/// One program for all of XDP. It declares that it knows of frames in several buffers, or drivers would refuse
/// it at a jumbo MTU. A second variant without that could not share the devmap: the kernel ties a devmap to
/// one kind (`__bpf_prog_map_compatible`).
#[xdp(frags)]
pub fn xbr_xdp(ctx: XdpContext) -> u32 {
    other_tag();
    xdp::forward(&ctx)
}

/// A guest's frames. None of them reaches the device's own stack, or the guest would talk to an interface of
/// the host that nobody configured.
#[classifier]
pub fn xbr_port(ctx: TcContext) -> i32 {
    other_tag();
    tc::forward_guests(&ctx)
}

/// The outside's frames, and those that another program of ours redirected into the host.
#[classifier]
pub fn xbr_wire(ctx: TcContext) -> i32 {
    other_tag();
    if tc::is_looped_multicast(&ctx) || tc::is_own_delivery(&ctx) {
        return tc::LET_THROUGH;
    }
    tc::forward_from(&ctx, PortId::UPLINK)
}

/// The host's frames, and those that another program of ours redirected to the wire.
#[classifier]
pub fn xbr_host(ctx: TcContext) -> i32 {
    other_tag();
    if tc::is_own_transmission(&ctx) {
        return tc::LET_THROUGH;
    }
    tc::forward_from(&ctx, PortId::HOST)
}

/// Frames for many, of all three: they get here by a tail call, which leaves the stack to copies and their tags.
#[classifier]
pub fn xbr_flooding(ctx: TcContext) -> i32 {
    other_tag();
    tc::forward_to_many(&ctx)
}

/// Frames for many of [`xbr_xdp`], which gets here by a tail call.
#[xdp(frags)]
pub fn xbr_spreading(ctx: XdpContext) -> u32 {
    other_tag();
    spread::forward_to_many(&ctx)
}

/// Frames for many that may speak of neighbours, before they are flooded: learned from, and answered where a neighbour is known.
#[classifier]
pub fn xbr_neighbours(ctx: TcContext) -> i32 {
    other_tag();
    neigh::look(&ctx)
}

/// A probe for loops, which the controller made.
#[classifier]
pub fn xbr_probe(ctx: TcContext) -> i32 {
    other_tag();
    probe::send(&ctx)
}

/// What XDP redirected and a device did not take.
#[raw_tracepoint(tracepoint = "xdp_devmap_xmit")]
pub fn xbr_xmit(ctx: RawTracePointContext) -> i32 {
    other_tag();
    xmit::count_lost(&ctx);
    0
}

/// Makes each program another one to the kernel, which does the same: what an upgrade looks like, for the lab.
#[inline(always)]
fn other_tag() {
    #[cfg(feature = "other-tag")]
    // SAFETY: a helper without arguments, whose result nobody needs.
    unsafe {
        aya_ebpf::helpers::bpf_get_smp_processor_id();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: no panic path is left in the programs; the verifier would refuse this loop.
    unsafe { core::hint::unreachable_unchecked() }
}

/// Some helpers are for GPL programs only.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 4] = *b"GPL\0";
