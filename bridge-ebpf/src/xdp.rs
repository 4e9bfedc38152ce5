//! From verdict to action in XDP. It takes a frame entirely or not at all: on [`xdp_action::XDP_PASS`] it has
//! learned, counted and reported nothing, and TC decides alone. (The count of frames left to TC is no
//! account of the frame.)

use aya_ebpf::{bindings::xdp_action, helpers::bpf_xdp_get_buff_len, programs::XdpContext};
use bridge_common::{
    Config, Decision, DropReason, Frame, Port, PortFlags, PortId, SlowReason, Verdict,
    capture::{Path, Sight},
    commit, decide,
    frame::Segments,
    guard,
    port::{LINK_OVERHEAD, Ports as _},
};

use crate::{
    account, capture,
    maps::{CONFIG, DEVICES, PORT_OF, guard_is_on, now},
    packet::Window,
    tables::Tables,
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
    let frames = Segments { packets: 1, bytes: length as u64, longest: length };
    let Some(frame) = Frame::parse(&window, length) else {
        account::received(ingress, &frames);
        account::dropped(ingress, DropReason::Malformed, &frames);
        let reason = DropReason::Malformed;
        capture::show_window(ctx, Sight::dropped(ingress, ingress, Path::Xdp, reason));
        return Ok(xdp_action::XDP_DROP);
    };
    let now = now();
    let decision = decide(&frame, ingress, now, config, &Tables);
    let (action, sight) = match decision.verdict {
        Verdict::Drop(reason, egress) => {
            account::dropped(egress, reason, &frames);
            (xdp_action::XDP_DROP, Sight::dropped(ingress, egress, Path::Xdp, reason))
        }
        Verdict::Flood(_) => return Err(SlowReason::Flood),
        Verdict::Forward(PortId::HOST) => return Err(SlowReason::ToHost),
        Verdict::Forward(egress) => {
            (redirect(&window, port, egress, &frames)?, Sight::forwarded(ingress, egress, Path::Xdp))
        }
    };
    account::received(ingress, &frames);
    learn(&decision, &frame, ingress, now, config);
    capture::show_window(ctx, sight);
    Ok(action)
}

#[inline(always)]
fn redirect(window: &Window, from: &Port, to: PortId, frames: &Segments) -> Result<u32, SlowReason> {
    if !Tables.port(to).is_some_and(|port| port.flags.has(PortFlags::XDP)) {
        return Err(SlowReason::ToTc);
    }
    if guard_is_on() && from.flags.has(PortFlags::GUARD) {
        guard::prove(window)?;
    }
    // The slot is empty for the moment between a port's facts and its device: TC knows the way.
    match DEVICES.redirect(to.index(), 0) {
        Ok(action) => {
            account::sent(to, frames);
            Ok(action)
        }
        Err(_) => Err(SlowReason::ToTc),
    }
}

#[inline(always)]
fn learn(decision: &Decision, frame: &Frame, ingress: PortId, now: u64, config: &Config) {
    let station = frame.source();
    if let Some(report) = commit(decision.learn, &station, ingress, now, config, &mut Tables) {
        account::reported(&report, &station, ingress, now);
    }
}
