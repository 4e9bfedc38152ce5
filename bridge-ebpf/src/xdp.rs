//! From verdict to action in XDP. It takes a frame entirely or not at all: on [`xdp_action::XDP_PASS`] it has
//! learned, counted and reported nothing, and TC decides alone. (The count of frames left to TC is no
//! account of the frame.)

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    helpers::bpf_xdp_get_buff_len,
    programs::XdpContext,
};
use bridge_common::{
    DropReason, Port, PortFlags, PortId, SlowReason, Verdict,
    capture::{Path, Sight},
    frame::Segments,
    guard,
    plain::Plain,
    port::LINK_OVERHEAD,
    vlan::Retag,
};

use crate::{
    account, capture,
    judge::{Judgement, judge_window, sent, settle},
    judged::Judged,
    maps::{DEVICES, SPREADING, guard_is_on},
    packet::Window,
    probe::xbr_probed_window,
    state::Tables,
    tag::retag_xdp,
};

#[inline(always)]
pub fn forward(ctx: &XdpContext) -> u32 {
    let Some(tables) = Tables::open() else { return xdp_action::XDP_PASS };
    let Some((ingress, port)) = tables.came_in(ctx.ingress_ifindex() as u32) else {
        return xdp_action::XDP_PASS;
    };
    match take(ctx, &tables, ingress, &port) {
        Ok(action) => action,
        Err(reason) => {
            account::slowed(ingress, reason);
            xdp_action::XDP_PASS
        }
    }
}

/// The action for a frame that XDP takes, or why it does not.
#[inline(always)]
fn take(ctx: &XdpContext, tables: &Tables, ingress: PortId, port: &Port) -> Result<u32, SlowReason> {
    let length = Window::of_xdp(ctx).length();
    // SAFETY: the context is the kernel's.
    if unsafe { bpf_xdp_get_buff_len(ctx.ctx) } != length as u64 {
        return Err(SlowReason::MultiBuffer);
    }
    // First of all: what is longer than a frame may be is a chain of segments, whatever its headers say.
    if length > port.mtu.saturating_add(LINK_OVERHEAD) {
        return Err(SlowReason::TooLong);
    }
    let frames = Segments::one(length);
    let judgement = judge_window(
        ctx,
        tables,
        (ingress, port),
        frames,
        #[inline(always)]
        |plain| pass_on(ctx, (ingress, port.flags), &frames, plain),
    );
    let judged = match judgement {
        Some(Judgement::Done(outcome)) => return outcome,
        Some(Judgement::Open(judged)) => judged,
        None => return Ok(xdp_action::XDP_PASS),
    };
    let decision = judged.decision();
    let (action, sight) = match decision.verdict {
        Verdict::Drop(reason, egress) => {
            account::dropped(egress, reason, &frames);
            if reason == DropReason::HostSource {
                xbr_probed_window(ctx.ctx, judged);
            }
            (xdp_action::XDP_DROP, Sight::dropped(ingress, egress, Path::Xdp, reason))
        }
        Verdict::Flood(_) => return Err(flood(ctx)),
        Verdict::Forward(PortId::HOST) => return Err(SlowReason::ToHost),
        Verdict::Forward(egress) => {
            redirect(ctx, (port.flags, decision.to.flags), egress, judged, decision.retag)?
        }
    };
    account::received(ingress, &frames);
    account::received_in(decision.vlan, &frames);
    settle(judged);
    capture::show_window(ctx, sight);
    Ok(action)
}

/// Most frames: out of a port, or left to TC.
#[inline(always)]
fn pass_on(
    ctx: &XdpContext,
    (ingress, from): (PortId, PortFlags),
    frames: &Segments,
    Plain { egress, takes_xdp, vlan, .. }: Plain,
) -> Result<u32, SlowReason> {
    if egress == PortId::HOST {
        return Err(SlowReason::ToHost);
    }
    if !takes_xdp {
        return Err(SlowReason::ToTc);
    }
    prove(ctx, from)?;
    // The slot is empty for the moment between a port's facts and its device: TC knows the way.
    let action = DEVICES.redirect(egress.index(), 0).map_err(|_| SlowReason::ToTc)?;
    account::sent(egress, frames);
    account::received(ingress, frames);
    if vlan != 0 {
        account::sent_in(vlan, frames);
        account::received_in(vlan, frames);
    }
    Ok(action)
}

/// Has the guard look at a frame of a port that may bring in unfinished checksums.
#[inline(always)]
fn prove(ctx: &XdpContext, from: PortFlags) -> Result<(), SlowReason> {
    if guard_is_on()
        && from.has(PortFlags::GUARD)
        && let Some(reason) = SlowReason::from_index(xbr_prove(ctx.ctx))
    {
        return Err(reason);
    }
    Ok(())
}

/// Sends a frame out of a port. It may be left to TC as long as nothing about it has changed.
#[inline(always)]
fn redirect(
    ctx: &XdpContext,
    (from, flags): (PortFlags, PortFlags),
    to: PortId,
    judged: &mut Judged,
    retag: Retag,
) -> Result<(u32, Sight), SlowReason> {
    if !flags.has(PortFlags::XDP) {
        return Err(SlowReason::ToTc);
    }
    prove(ctx, from)?;
    if retag != Retag::Keep {
        DEVICES.get(to.index()).ok_or(SlowReason::ToTc)?;
        if !retag_xdp(ctx, retag, judged.vlan()) {
            return Err(SlowReason::Retag);
        }
    }
    match DEVICES.redirect(to.index(), 0) {
        Ok(action) => {
            sent(judged, to, flags, retag);
            Ok((action, Sight::forwarded(judged.ingress(), to, Path::Xdp)))
        }
        // As above.
        Err(_) if retag == Retag::Keep => Err(SlowReason::ToTc),
        // It was emptied after its tag was changed.
        Err(_) => {
            account::dropped(to, DropReason::Redirect, &judged.frames());
            let sight = Sight::dropped(judged.ingress(), to, Path::Xdp, DropReason::Redirect);
            Ok((xdp_action::XDP_DROP, sight))
        }
    }
}

/// Hands a frame for many to the program that makes its copies, which has a stack of its own. Comes back if there is none.
#[inline(always)]
fn flood(ctx: &XdpContext) -> SlowReason {
    // SAFETY: the context is the kernel's.
    unsafe { SPREADING.tail_call(ctx, 0) };
    SlowReason::Flood
}

/// No [`SlowReason`].
const PROVED: u64 = SlowReason::COUNT as u64;

/// Asks the guard: the number of a [`SlowReason`], or [`PROVED`]. See [`crate::judge`] for why it is so.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn xbr_prove(xdp: *mut xdp_md) -> u64 {
    match guard::prove(&Window::of_xdp(&XdpContext::new(xdp))) {
        Ok(()) => PROVED,
        Err(reason) => reason as u64,
    }
}
