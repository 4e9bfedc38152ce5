//! Looking into frames of ports with guards, in functions that are never inlined: no other frame steps over them.

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    programs::{TcContext, XdpContext},
};
use bridge_common::{Address, DropReason, Frame, Packet, PortId, inspect::inspect, policy::Guards};

use crate::{
    packet::{Copied, Mostly, Window},
    state::Tables,
};

/// No reason. Beyond every reason's number.
const NONE: u64 = DropReason::COUNT as u64;

/// Why a frame of TC may not come in.
#[inline(always)]
pub fn buffer(skb: *mut __sk_buff, frame: &Frame, ingress: PortId, guards: Guards) -> Option<DropReason> {
    DropReason::from_index(xbr_look_at_buffer(skb, frame.src.word(), ingress.index(), guards.0))
}

/// Why a frame of XDP may not come in.
#[inline(always)]
pub fn window(xdp: *mut xdp_md, frame: &Frame, ingress: PortId, guards: Guards) -> Option<DropReason> {
    DropReason::from_index(xbr_look_at_window(xdp, frame.src.word(), ingress.index(), guards.0))
}

/// See [`crate::judge`] for why it is so.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_look_at_buffer(skb: *mut __sk_buff, source: u64, ingress: u32, guards: u32) -> u64 {
    let window = Window::of_buffer(&TcContext::new(skb));
    look(&Mostly::of(window, Copied::of_buffer(skb)), source, ingress, guards)
}

/// As above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_look_at_window(xdp: *mut xdp_md, source: u64, ingress: u32, guards: u32) -> u64 {
    let window = Window::of_xdp(&XdpContext::new(xdp));
    look(&Mostly::of(window, Copied::of_window(xdp)), source, ingress, guards)
}

#[inline(always)]
fn look(packet: &impl Packet, source: u64, ingress: u32, guards: u32) -> u64 {
    let source = Address::from_word(source);
    let Some(tables) = Tables::open() else { return NONE };
    let reason = inspect(packet, source, PortId(ingress as u16), Guards(guards), &tables);
    reason.map_or(NONE, |reason| reason as u64)
}
