//! A frame for many, in XDP: all copies in one redirect, where all of them are XDP's to make.
//!
//! Who gets one was worked out by the controller (`bridge_common::recipients`), of the generation of facts that the bridge's is now;
//! where it was not, the frame is TC's.

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    bindings::{BPF_F_BROADCAST, BPF_F_EXCLUDE_INGRESS, xdp_action},
    helpers::bpf_loop,
    programs::XdpContext,
};
use bridge_common::{
    PortFlags, PortId, SlowReason,
    recipients::{Kind, MAX_SETS, Recipients},
    vlan::Retag,
};

use crate::{
    account, capture,
    judge::settle,
    judged::Judged,
    maps::{FLOOD_DEVICES, FLOOD_OF, FLOOD_SETS, FLOOD_STATE, JUDGED, guard_is_on},
    tag::retag_xdp,
    xdp::xbr_prove,
};

/// What counting one copy needs to know, for the callback of `bpf_loop`.
struct Copies {
    to: *const Recipients,
    judged: *const Judged,
    left_out: u32,
}

/// No port's number.
const NOBODY: u32 = u32::MAX;

/// Takes a frame for many, or leaves it to TC.
#[inline(always)]
pub fn forward_to_many(ctx: &XdpContext) -> u32 {
    let Some(judged) = JUDGED.get_ptr_mut(0) else { return xdp_action::XDP_PASS };
    // SAFETY: this CPU's own, which the program that called this one has just written.
    let judged = unsafe { &mut *judged };
    if let Err(reason) = spread(ctx, judged) {
        account::slowed(judged.ingress(), reason);
        return xdp_action::XDP_PASS;
    }
    account::received(judged.ingress(), &judged.frames());
    account::received_in(judged.vlan(), &judged.frames());
    settle(judged);
    xdp_action::XDP_REDIRECT
}

/// Makes the copies, or says why not, and has changed nothing.
#[inline(always)]
fn spread(ctx: &XdpContext, judged: &Judged) -> Result<(), SlowReason> {
    let (ingress, from) = (judged.ingress(), judged.from());
    let decision = judged.decision();
    let kind = Kind::of(&decision, ingress, judged.frame().tag).ok_or(SlowReason::Flood)?;
    // SAFETY: one aligned word of an element.
    let row = unsafe { FLOOD_OF.get(kind.0) }.copied().ok_or(SlowReason::Flood)?;
    let (to, generation) = (FLOOD_SETS.get(row), FLOOD_STATE.get_ptr(0));
    let (Some(to), Some(generation)) = (to, generation) else { return Err(SlowReason::Flood) };
    // SAFETY: one aligned word of an element, which the controller changes before anything that this frame would meet.
    let current = unsafe { generation.read_volatile() } == to.generation;
    // A capture wants to see each copy, which TC shows.
    if !current || row >= 2 * MAX_SETS || !to.fits(judged.frames().longest) || capture::is_on() {
        return Err(SlowReason::Flood);
    }
    if guard_is_on()
        && from.has(PortFlags::GUARD)
        && let Some(reason) = SlowReason::from_index(xbr_prove(ctx.ctx))
    {
        return Err(reason);
    }
    let devices = FLOOD_DEVICES.get(row).ok_or(SlowReason::Flood)?;
    if to.retag() != Retag::Keep && !retag_xdp(ctx, to.retag(), judged.vlan()) {
        return Err(SlowReason::Retag);
    }
    let (flags, left_out) = match kind.leaves_out_sender(from) {
        true => (BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS, ingress.index()),
        false => (BPF_F_BROADCAST, NOBODY),
    };
    // To many it always is XDP_REDIRECT (`__bpf_xdp_redirect_map`).
    match devices.redirect(0, flags.into()) {
        Ok(xdp_action::XDP_REDIRECT) => {}
        _ => return Err(SlowReason::Flood),
    }
    let mut copies = Copies { to, judged, left_out };
    // SAFETY: the callback has the signature that the helper calls, and the context outlives the call.
    unsafe {
        bpf_loop(to.count.into(), count as *mut c_void, (&raw mut copies).cast(), 0);
    }
    Ok(())
}

/// Counts one copy.
extern "C" fn count(index: u32, copies: *const Copies) -> c_long {
    // SAFETY: the caller's context, alive for as long as its loop, and so is what it points to.
    let (to, judged, left_out) = unsafe { (&*(*copies).to, &*(*copies).judged, (*copies).left_out) };
    let Some(port) = to.ports.get(index as usize & 0xff) else { return 1 };
    let port = u32::from(*port);
    if port != left_out {
        let frames = judged.frames().retagged(to.retag());
        account::sent(PortId(port as u16), &frames);
        account::sent_in(judged.vlan(), &frames);
    }
    0
}
