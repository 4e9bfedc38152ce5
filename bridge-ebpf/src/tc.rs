//! From verdict to action in TC, which sees every frame whole: segments uncut, checksums as promised.

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_F_INGRESS, TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::{bpf_clone_redirect, bpf_loop, bpf_redirect},
    programs::TcContext,
};
use bridge_common::{
    Config, DropReason, Frame, Port, PortId, Verdict,
    capture::{Path, Sight},
    commit, decide,
    forward::leave,
    frame::Segments,
    maps::OWN_TAG,
    port::Ports as _,
};

use crate::{
    account, capture,
    maps::{CONFIG, PORT_OF, now},
    packet::Buffer,
    tables::Tables,
};

/// Not ours to decide: the next program, then the stack or the wire.
pub const LET_THROUGH: i32 = TC_ACT_UNSPEC;
/// Ends here.
const CONSUME: i32 = TC_ACT_SHOT;

/// `skb->pkt_type` of the host's own multicast that loops back (`dev_loopback_xmit`).
const PACKET_LOOPBACK: u32 = 5;

/// Host multicast with a local member comes back in at the uplink, its data already at the IP header:
/// there is no Ethernet header to read.
#[inline(always)]
pub fn is_looped_multicast(ctx: &TcContext) -> bool {
    // SAFETY: the kernel's context is valid for the length of the program.
    unsafe { (*ctx.skb.skb).pkt_type == PACKET_LOOPBACK }
}

/// A frame that [`deliver`] redirected into the host, coming in at the uplink.
#[inline(always)]
pub fn is_own_delivery(ctx: &TcContext) -> bool {
    untag(ctx)
}

/// A frame that [`send`] redirected to the wire. The host's own frames have no ingress device, so one of
/// them that bears the tag by accident is still the host's.
#[inline(always)]
pub fn is_own_transmission(ctx: &TcContext) -> bool {
    // SAFETY: as above.
    let bridged = unsafe { (*ctx.skb.skb).ingress_ifindex != 0 };
    bridged && untag(ctx)
}

/// Takes the tag off, so that nobody behind us takes the frame for one of its own. True if it was there.
#[inline(always)]
fn untag(ctx: &TcContext) -> bool {
    // SAFETY: as above.
    let tagged = unsafe { (*ctx.skb.skb).tc_index == OWN_TAG as u32 };
    if tagged {
        set_tag(ctx, 0);
    }
    tagged
}

#[inline(always)]
fn set_tag(ctx: &TcContext, tag: u16) {
    // SAFETY: tc programs may write this field (`tc_cls_act_is_valid_access`).
    unsafe { (*ctx.skb.skb).tc_index = tag as u32 };
}

/// The port whose device the frame came in at.
#[inline(always)]
pub fn port_of(ctx: &TcContext) -> Option<PortId> {
    // SAFETY: as above.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    // SAFETY: one aligned word of an element.
    unsafe { PORT_OF.get(ifindex) }.map(|port| PortId(*port as u16))
}

/// The device is no port, or not any more: nothing passes.
#[inline(always)]
pub fn no_port(ctx: &TcContext) -> i32 {
    account::dropped(PortId::HOST, DropReason::NoPort, &segments(ctx));
    CONSUME
}

#[inline(always)]
fn segments(ctx: &TcContext) -> Segments {
    // SAFETY: as above.
    let (length, gso_size, tag) = unsafe {
        let skb = &*ctx.skb.skb;
        (skb.len, skb.gso_size, if skb.vlan_present != 0 { 4 } else { 0 })
    };
    let mut segments = Segments::of(&Buffer::new(ctx), length, gso_size);
    // A tag in the buffer's metadata goes into every segment on the wire.
    segments.bytes += segments.packets * tag;
    segments
}

/// Decides about a frame that came in at `ingress` and carries it out.
#[inline(always)]
pub fn forward(ctx: &TcContext, ingress: PortId) -> i32 {
    let frames = segments(ctx);
    account::received(ingress, &frames);
    let Some(frame) = Frame::parse(&Buffer::new(ctx), frames.longest) else {
        account::dropped(ingress, DropReason::Malformed, &frames);
        capture::show_buffer(ctx, Sight::dropped(ingress, ingress, Path::Tc, DropReason::Malformed));
        return CONSUME;
    };
    // The verifier wants to see it asked; an array has its first element.
    let Some(config) = CONFIG.get(0) else { return no_port(ctx) };
    let now = now();
    let decision = decide(&frame, ingress, now, config, &Tables);
    let station = frame.source();
    if let Some(report) = commit(decision.learn, &station, ingress, now, config, &mut Tables) {
        account::reported(&report, &station, ingress, now);
    }
    match decision.verdict {
        Verdict::Drop(reason, port) => {
            account::dropped(port, reason, &frames);
            capture::show_buffer(ctx, Sight::dropped(ingress, port, Path::Tc, reason));
            CONSUME
        }
        Verdict::Forward(egress) => send(ctx, ingress, egress, &frames),
        Verdict::Flood(_) => flood(ctx, ingress, &frame, config, &frames),
    }
}

/// The original goes out of one port.
#[inline(always)]
fn send(ctx: &TcContext, ingress: PortId, egress: PortId, frames: &Segments) -> i32 {
    capture::show_buffer(ctx, Sight::forwarded(ingress, egress, Path::Tc));
    if is_straight(ingress, egress) {
        account::sent(egress, frames);
        return LET_THROUGH;
    }
    let Some(port) = Tables.port(egress) else { return no_port(ctx) };
    account::sent(egress, frames);
    // SAFETY: a helper that only notes the target.
    unsafe { bpf_redirect(port.ifindex, route(ctx, egress)) as i32 }
}

/// Between host and wire the kernel's own way is the right one.
#[inline(always)]
fn is_straight(ingress: PortId, egress: PortId) -> bool {
    !ingress.is_guest() && !egress.is_guest()
}

/// Tags what will meet another program of ours at the uplink, and gives the redirect's flags.
#[inline(always)]
fn route(ctx: &TcContext, egress: PortId) -> u64 {
    set_tag(ctx, if egress.is_guest() { 0 } else { OWN_TAG });
    if egress == PortId::HOST { BPF_F_INGRESS as u64 } else { 0 }
}

/// What one copy of a flood needs to know, for the callback of `bpf_loop`. A plain loop over all ports would
/// have the verifier walk every path through every iteration.
struct Flood {
    ctx: *const TcContext,
    ingress: PortId,
    frame: Frame,
    frames: Segments,
}

/// A copy for every port but the frame's own.
#[inline(always)]
fn flood(ctx: &TcContext, ingress: PortId, frame: &Frame, config: &Config, frames: &Segments) -> i32 {
    capture::show_buffer(ctx, Sight::flooded(ingress, Path::Tc));
    let mut flood = Flood { ctx, ingress, frame: *frame, frames: *frames };
    // SAFETY: the callback has the signature that the helper calls, and the context outlives the call.
    unsafe {
        bpf_loop(config.ports_end as u32, copy as *mut c_void, (&raw mut flood).cast(), 0);
    }
    set_tag(ctx, 0);
    straight_rest(ctx, ingress, frame, frames)
}

/// One copy of a flood. A port that is down takes no part in it, as in the Linux bridge.
extern "C" fn copy(index: u32, flood: *const Flood) -> c_long {
    // SAFETY: the caller's context, alive for as long as its loop.
    let Flood { ctx, ingress, frame, frames } = unsafe { &*flood };
    // SAFETY: as above.
    let ctx = unsafe { &**ctx };
    let egress = PortId(index as u16);
    if egress == *ingress || is_straight(*ingress, egress) {
        return 0;
    }
    let Some(port) = Tables.port(egress).filter(Port::is_up) else { return 0 };
    if let Err(reason) = leave(frame, &port) {
        account::dropped(egress, reason, frames);
        capture::show_buffer(ctx, departure(*ingress, egress, Err(reason)));
        return 0;
    }
    let flags = route(ctx, egress);
    // SAFETY: the context is the kernel's; no pointer into the frame is kept across the call.
    let outcome = unsafe { bpf_clone_redirect(ctx.as_ptr().cast(), port.ifindex, flags) };
    // Positive is NET_XMIT_DROP and the like from the device's queue.
    let outcome = if outcome == 0 {
        account::sent(egress, frames);
        Ok(())
    } else {
        account::dropped(egress, DropReason::Redirect, frames);
        Err(DropReason::Redirect)
    };
    capture::show_buffer(ctx, departure(*ingress, egress, outcome));
    0
}

#[inline(always)]
fn departure(ingress: PortId, egress: PortId, outcome: Result<(), DropReason>) -> Sight {
    Sight::copy(ingress, egress, Path::Tc, outcome)
}

/// What is left of the original after a flood: host and wire hand it to each other, a guest's is used up.
#[inline(always)]
fn straight_rest(ctx: &TcContext, ingress: PortId, frame: &Frame, frames: &Segments) -> i32 {
    let egress = match ingress {
        PortId::HOST => PortId::UPLINK,
        PortId::UPLINK => PortId::HOST,
        _ => return CONSUME,
    };
    let Some(port) = Tables.port(egress) else { return CONSUME };
    let outcome = leave(frame, &port);
    capture::show_buffer(ctx, departure(ingress, egress, outcome));
    match outcome {
        Ok(()) => {
            account::sent(egress, frames);
            LET_THROUGH
        }
        Err(reason) => {
            account::dropped(egress, reason, frames);
            CONSUME
        }
    }
}
