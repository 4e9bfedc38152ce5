//! From verdict to action in TC, which sees every frame whole: segments uncut, checksums as promised.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_INGRESS, TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::bpf_redirect,
    programs::TcContext,
};
use bridge_common::{
    DropReason, Port, PortId, Verdict,
    capture::{Path, Sight},
    config::ConfigFlags,
    frame::{Segments, header_length},
    maps::OWN_TAG,
    plain::Plain,
    port::Ports as _,
    vlan::Retag,
};

use crate::{
    account, capture,
    flood::{xbr_flood, xbr_rest},
    groups,
    judge::{Judgement, judge_buffer, sent, settle},
    judged::Judged,
    maps::{ANSWERING, FLOODING, JUDGED},
    packet::Copied,
    probe::xbr_probed_buffer,
    state::Tables,
    tag::Whole,
};

/// Not ours to decide: the next program, then the stack or the wire.
pub const LET_THROUGH: i32 = TC_ACT_UNSPEC;
/// Ends here.
pub const CONSUME: i32 = TC_ACT_SHOT;

/// `skb->pkt_type` of the host's own multicast that loops back (`dev_loopback_xmit`).
const PACKET_LOOPBACK: u32 = 5;

/// Host multicast with a local member comes back in at the uplink, its data already at the IP header:
/// there is no Ethernet header to read.
#[inline(always)]
pub fn is_looped_multicast(ctx: &TcContext) -> bool {
    // SAFETY: the kernel's context is valid for the length of the program.
    unsafe { (*ctx.skb.skb).pkt_type == PACKET_LOOPBACK }
}

/// A frame that [`send`], or a flood, redirected into the host, coming in at the uplink.
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
pub fn set_tag(ctx: &TcContext, tag: u16) {
    // SAFETY: tc programs may write this field (`tc_cls_act_is_valid_access`).
    unsafe { (*ctx.skb.skb).tc_index = tag as u32 };
}

/// The port whose device the frame came in at, and what is true of it. The host's has none of its own.
#[inline(always)]
pub fn came_in(ctx: &TcContext) -> Option<(PortId, Port)> {
    // SAFETY: as above.
    Tables::open()?.came_in(unsafe { (*ctx.skb.skb).ifindex })
}

/// The device is no port, or not any more: nothing passes.
#[inline(always)]
pub fn no_port(ctx: &TcContext) -> i32 {
    account::dropped(PortId::HOST, DropReason::NoPort, &segments(ctx));
    CONSUME
}

/// The length of the headers of a packet that is yet to be cut, or 0. Not inlined: what is decided would be walked again behind each way
/// through them, and 6.1 comes to its limit. See [`crate::judge`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_headers(skb: *mut __sk_buff) -> u32 {
    header_length(&Copied::of_buffer(skb)).unwrap_or(0)
}

#[inline(always)]
pub fn segments(ctx: &TcContext) -> Segments {
    // SAFETY: as above.
    let (length, gso_size, tag) = unsafe {
        let skb = &*ctx.skb.skb;
        // 0 or 1, and no condition: the verifier would walk all that follows for each.
        (skb.len, skb.gso_size, (skb.vlan_present as u64 & 1) << 2)
    };
    let headers = if gso_size == 0 { 0 } else { xbr_headers(ctx.skb.skb) };
    let mut segments = Segments::cut(length, gso_size, headers);
    // A tag in the buffer's metadata goes into every segment on the wire.
    segments.bytes += segments.packets * tag;
    segments
}

/// [`forward`], of a guest's port.
#[inline(always)]
pub fn forward_guests(ctx: &TcContext) -> i32 {
    match came_in(ctx) {
        Some((id, port)) if id.is_guest() => forward(ctx, id, |_| Some(port)),
        _ => no_port(ctx),
    }
}

/// [`forward`], of a port that is known without its device.
#[inline(always)]
pub fn forward_from(ctx: &TcContext, ingress: PortId) -> i32 {
    forward(ctx, ingress, |tables| tables.port(ingress))
}

/// Decides about a frame that came in at `ingress` and carries it out. One that is for many goes to a program of its own, which goes on
/// with what was decided; here it has left no trace.
#[inline(always)]
fn forward(ctx: &TcContext, ingress: PortId, port: impl FnOnce(&Tables) -> Option<Port>) -> i32 {
    let frames = segments(ctx);
    let judgement = judge_buffer(
        ctx,
        (ingress, port),
        frames,
        #[inline(always)]
        |plain| pass_on(ctx, ingress, &frames, plain),
    );
    match judgement {
        Some(Judgement::Done(action)) => action,
        Some(Judgement::Open(judged)) if judged.is_for_many() => hand_over(ctx, judged),
        Some(Judgement::Open(judged)) => xbr_carry_out(ctx.skb.skb, judged),
        None => no_port(ctx),
    }
}

/// Most frames: out of a port, as they are.
#[inline(always)]
fn pass_on(
    ctx: &TcContext,
    ingress: PortId,
    frames: &Segments,
    Plain { egress, ifindex, vlan, .. }: Plain,
) -> i32 {
    account::received(ingress, frames);
    account::sent(egress, frames);
    if vlan != 0 {
        account::received_in(vlan, frames);
        account::sent_in(vlan, frames);
    }
    hand_to(ctx, ingress, egress, ifindex)
}

/// Hands a frame for many to the programs for these.
#[inline(always)]
fn hand_over(ctx: &TcContext, judged: &mut Judged) -> i32 {
    // SAFETY: as above; this word is ours between our programs (`qdisc_skb_cb::data`).
    unsafe { (*ctx.skb.skb).cb[1] = 0 };
    if Tables::open().is_some_and(|tables| tables.config().flags.has(ConfigFlags::NEIGH_SUPPRESS)) {
        // SAFETY: the program is one for this kind of context.
        unsafe { ANSWERING.tail_call(ctx, 0) };
    }
    flood(ctx, judged)
}

/// Hands a frame for many to the program that copies it.
#[inline(always)]
pub fn flood(ctx: &TcContext, judged: &Judged) -> i32 {
    // SAFETY: the program is one for this kind of context.
    unsafe { FLOODING.tail_call(ctx, 0) };
    // Only without that program, which is set before any of these is attached.
    account::received(judged.ingress(), &judged.frames());
    account::dropped(judged.ingress(), DropReason::Redirect, &judged.frames());
    CONSUME
}

/// Copies a frame that [`forward`] has found to be for many.
#[inline(always)]
pub fn forward_to_many(ctx: &TcContext) -> i32 {
    let Some(handed) = JUDGED.get_ptr(0) else { return no_port(ctx) };
    let mut place = MaybeUninit::<Judged>::uninit();
    // A copy of it: what leaves through a device may meet a program of ours on its way, which hands over frames of its own.
    // SAFETY: this CPU's own, which the program that called this one has written.
    unsafe { (*handed).copy_to(place.as_mut_ptr()) };
    // SAFETY: every word of it is written.
    let judged = unsafe { place.assume_init_mut() };
    let (ingress, frames) = (judged.ingress(), judged.frames());
    account::received(ingress, &frames);
    account::received_in(judged.vlan(), &frames);
    settle(judged);
    let set = groups::look(ctx, judged, judged.decision().spread);
    let action = xbr_flood(ctx.skb.skb, judged, set);
    if ingress.is_guest() { action } else { xbr_rest(ctx.skb.skb, judged, set) }
}

/// Commits what is not for many, and carries it out. Not inlined: 6.1 would walk it for each of the ways that lead here. See [`crate::judge`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_carry_out(skb: *mut __sk_buff, judged: *mut Judged) -> i32 {
    // SAFETY: the verifier sees to it that a pointer that is not null points to as many bytes as its type has.
    let Some(judged) = (unsafe { judged.as_mut() }) else { return CONSUME };
    let ctx = &TcContext::new(skb);
    let (decision, ingress) = (judged.decision(), judged.ingress());
    account::received(ingress, &judged.frames());
    account::received_in(decision.vlan, &judged.frames());
    settle(judged);
    match decision.verdict {
        Verdict::Forward(egress) => send(ctx, judged, decision.retag, egress),
        Verdict::Drop(reason, port) => {
            account::dropped(port, reason, &judged.frames());
            if reason == DropReason::HostSource {
                xbr_probed_buffer(ctx.skb.skb, judged);
            }
            capture::show_buffer(ctx, Sight::dropped(ingress, port, Path::Tc, reason));
            CONSUME
        }
        // The caller has taken these away.
        Verdict::Flood(_) => CONSUME,
    }
}

/// The original goes out of one port.
#[inline(always)]
fn send(ctx: &TcContext, judged: &mut Judged, retag: Retag, egress: PortId) -> i32 {
    let Some(port) = Tables::open().and_then(|tables| tables.port(egress)) else { return no_port(ctx) };
    let ingress = judged.ingress();
    if retag != Retag::Keep {
        let tag = Whole::of(ctx);
        if !tag.become_(tag.after(retag, judged.vlan()), ctx) {
            account::dropped(egress, DropReason::Retag, &judged.frames());
            capture::show_buffer(ctx, Sight::dropped(ingress, egress, Path::Tc, DropReason::Retag));
            return CONSUME;
        }
    }
    capture::show_buffer(ctx, Sight::forwarded(ingress, egress, Path::Tc));
    sent(judged, egress, port.flags, retag);
    hand_to(ctx, ingress, egress, port.ifindex)
}

#[inline(always)]
fn hand_to(ctx: &TcContext, ingress: PortId, egress: PortId, ifindex: u32) -> i32 {
    if is_straight(ingress, egress) {
        return LET_THROUGH;
    }
    // SAFETY: a helper that only notes the target.
    unsafe { bpf_redirect(ifindex, route(ctx, egress)) as i32 }
}

/// Between host and wire the kernel's own way is the right one.
#[inline(always)]
pub fn is_straight(ingress: PortId, egress: PortId) -> bool {
    !ingress.is_guest() && !egress.is_guest()
}

/// Tags what will meet another program of ours at the uplink, and gives the redirect's flags.
#[inline(always)]
pub fn route(ctx: &TcContext, egress: PortId) -> u64 {
    set_tag(ctx, if egress.is_guest() { 0 } else { OWN_TAG });
    if egress == PortId::HOST { BPF_F_INGRESS as u64 } else { 0 }
}
