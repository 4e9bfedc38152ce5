//! From verdict to action in XDP. It takes a frame entirely or not at all: on [`xdp_action::XDP_PASS`] it has
//! learned, counted and reported nothing, and TC decides alone. (The count of frames left to TC is no
//! account of the frame.)

use aya_ebpf::{bindings::xdp_action, helpers::bpf_xdp_get_buff_len, programs::XdpContext};
use bridge_common::{
    Config, Decision, DropReason, Port, PortFlags, PortId, Question, SlowReason, Verdict,
    capture::{Path, Sight},
    forward::departed,
    frame::Segments,
    guard,
    port::{LINK_OVERHEAD, Ports as _},
};

use crate::{
    account, capture,
    judge::{Judged, xbr_judge_window, xbr_settle},
    maps::{CONFIG, DEVICES, PORT_OF, guard_is_on},
    packet::Window,
    tables::Tables,
    tag::retag_xdp,
};

#[inline(always)]
pub fn forward(ctx: &XdpContext) -> u32 {
    // SAFETY: one aligned word of an element.
    let Some(&port) = (unsafe { PORT_OF.get(ctx.ingress_ifindex() as u32) }) else {
        return xdp_action::XDP_PASS;
    };
    let ingress = PortId(port as u16);
    let (Some(port), Some(config)) = (Tables.port(ingress), CONFIG.get(0)) else {
        return xdp_action::XDP_PASS;
    };
    match take(ctx, ingress, &port, config) {
        Ok(action) => action,
        Err(reason) => {
            account::slowed(ingress, reason);
            xdp_action::XDP_PASS
        }
    }
}

/// The action for a frame that XDP takes, or why it does not.
#[inline(always)]
fn take(ctx: &XdpContext, ingress: PortId, port: &Port, config: &Config) -> Result<u32, SlowReason> {
    let window = Window::of_xdp(ctx);
    let length = window.length();
    // SAFETY: the context is the kernel's.
    if unsafe { bpf_xdp_get_buff_len(ctx.ctx) } != length as u64 {
        return Err(SlowReason::MultiBuffer);
    }
    // First of all: what is longer than a frame may be is a chain of segments, whatever its headers say.
    if length > port.mtu.saturating_add(LINK_OVERHEAD) {
        return Err(SlowReason::TooLong);
    }
    let frames = Segments::one(length);
    let mut judged = Judged::new(ingress, &frames);
    xbr_judge_window(ctx.ctx, &mut judged);
    let (question, decision) = (judged.question(config), judged.decision());
    let (action, sight) = match decision.verdict {
        Verdict::Drop(reason, egress) => {
            account::dropped(egress, reason, &frames);
            (xdp_action::XDP_DROP, Sight::dropped(ingress, egress, Path::Xdp, reason))
        }
        Verdict::Flood(_) => return Err(SlowReason::Flood),
        Verdict::Forward(PortId::HOST) => return Err(SlowReason::ToHost),
        Verdict::Forward(egress) => redirect(ctx, &window, port, egress, &question, &decision)?,
    };
    account::received(ingress, &frames);
    account::received_in(decision.vlan, &frames);
    xbr_settle(&mut judged);
    capture::show_window(ctx, sight);
    Ok(action)
}

/// Sends a frame out of a port. It may be left to TC as long as nothing about it has changed.
#[inline(always)]
fn redirect(
    ctx: &XdpContext,
    window: &Window,
    from: &Port,
    to: PortId,
    question: &Question<'_>,
    decision: &Decision,
) -> Result<(u32, Sight), SlowReason> {
    let port = Tables.port(to).filter(|port| port.flags.has(PortFlags::XDP)).ok_or(SlowReason::ToTc)?;
    if guard_is_on() && from.flags.has(PortFlags::GUARD) {
        guard::prove(window)?;
    }
    // The slot is empty for the moment between a port's facts and its device: TC knows the way.
    DEVICES.get(to.index()).ok_or(SlowReason::ToTc)?;
    if !retag_xdp(ctx, decision.retag, decision.vlan) {
        return Err(SlowReason::Retag);
    }
    let (ingress, frames) = (question.ingress, question.frame.frames.retagged(decision.retag));
    match DEVICES.redirect(to.index(), 0) {
        Ok(action) => {
            account::sent(to, &frames);
            account::sent_in(decision.vlan, &frames);
            departed(question, to, &port, &mut Tables);
            Ok((action, Sight::forwarded(ingress, to, Path::Xdp)))
        }
        // It was emptied in this very moment.
        Err(_) => {
            account::dropped(to, DropReason::Redirect, &frames);
            Ok((xdp_action::XDP_DROP, Sight::dropped(ingress, to, Path::Xdp, DropReason::Redirect)))
        }
    }
}
