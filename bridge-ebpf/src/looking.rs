//! Looking into frames of ports with guards, in functions that are never inlined: no other frame steps over them.

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    programs::{TcContext, XdpContext},
};
use bridge_common::{DropReason, Frame, PortId, inspect::inspect, policy::Guards};

use crate::{
    packet::{Buffer, Window},
    tables::Tables,
};

/// No reason. Beyond every reason's number.
const NONE: u64 = DropReason::COUNT as u64;

/// Why a frame of TC may not come in.
#[inline(always)]
pub fn buffer(ctx: &TcContext, frame: &Frame, ingress: PortId, guards: Guards) -> Option<DropReason> {
    DropReason::from_index(look_at_buffer(ctx.skb.skb, frame, ingress.index(), guards.0))
}

/// Why a frame of XDP may not come in.
#[inline(always)]
pub fn window(ctx: &XdpContext, frame: &Frame, ingress: PortId, guards: Guards) -> Option<DropReason> {
    DropReason::from_index(look_at_window(ctx.ctx, frame, ingress.index(), guards.0))
}

#[inline(never)]
fn look_at_buffer(skb: *mut __sk_buff, frame: &Frame, ingress: u32, guards: u32) -> u64 {
    let ctx = TcContext::new(skb);
    let reason = inspect(&Buffer::new(&ctx), frame, PortId(ingress as u16), Guards(guards), &Tables);
    reason.map_or(NONE, |reason| reason as u64)
}

#[inline(never)]
fn look_at_window(xdp: *mut xdp_md, frame: &Frame, ingress: u32, guards: u32) -> u64 {
    let ctx = XdpContext::new(xdp);
    let reason = inspect(&Window::of_xdp(&ctx), frame, PortId(ingress as u16), Guards(guards), &Tables);
    reason.map_or(NONE, |reason| reason as u64)
}
