//! The decision, and what the programs go on with: [`Judged`], plain numbers.
//!
//! What most frames need is inlined, since a call costs a return. The rest is in functions with external linkage, here and elsewhere: such a
//! one is verified once, for every argument and whatever its callers know (`btf_prepare_func_args`), where one that is inlined or static is
//! walked again on every path that leads to it; and its locals leave the stack before anything else is called.

use core::arch::asm;

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    programs::{TcContext, XdpContext},
};
use bridge_common::{
    Address, Decision, DropReason, Frame, Packet, Port, PortFlags, PortId, Ports as _, Question,
    capture::Wanted,
    commit, decide,
    forward::departed,
    frame::Segments,
    plain::{Plain, at_once},
    policy::Guards,
    vlan::{Retag, Tag},
};

use crate::{
    account,
    judged::Judged,
    looking,
    maps::JUDGED,
    packet::{Buffer, Window},
    recent::RecentStations,
    state::Tables,
    tag::aside,
};

/// What came of a frame.
pub enum Judgement<R> {
    /// It was [`Plain`], and has been carried out.
    Done(R),
    /// What was decided, to go on with: this CPU's own row of [`JUDGED`]. Programs of one CPU do not interrupt each other, XDP's and TC's alike
    /// (all of them run with softirqs held off), but one that sends a frame may call another.
    Open(&'static mut Judged),
}

/// Decides about a frame of TC. One that is [`Plain`], and that nobody captures, goes to `plain`. `None` never comes: an array has its elements.
#[inline(always)]
pub fn judge_buffer<R>(
    ctx: &TcContext,
    (ingress, port): (PortId, impl FnOnce(&Tables) -> Option<Port>),
    frames: Segments,
    plain: impl Fn(Plain) -> R,
) -> Option<Judgement<R>> {
    let tables = Tables::open()?;
    if let Some(port) = port(&tables)
        && let Some(found) = see(&Buffer::new(ctx), &tables, (ingress, &port), frames)
    {
        return Some(Judgement::Done(plain(found)));
    }
    let Segments { packets, bytes, longest } = frames;
    resume(xbr_judge_buffer(ctx.skb.skb, ingress.index(), packets, bytes, longest), plain)
}

/// As above, of XDP.
#[inline(always)]
pub fn judge_window<R>(
    ctx: &XdpContext,
    tables: &Tables,
    (ingress, port): (PortId, &Port),
    frames: Segments,
    plain: impl Fn(Plain) -> R,
) -> Option<Judgement<R>> {
    if let Some(found) = see(&Window::of_xdp(ctx), tables, (ingress, port), frames) {
        return Some(Judgement::Done(plain(found)));
    }
    resume(xbr_judge_window(ctx.ctx, ingress.index()), plain)
}

/// What is decided about a frame, if that is seen at once and nobody captures.
#[inline(always)]
fn see(
    packet: &impl Packet,
    tables: &Tables,
    (ingress, port): (PortId, &Port),
    frames: Segments,
) -> Option<Plain> {
    let (moment, config) = (tables.moment(), tables.config());
    if tables.capture().wanted != Wanted::NOTHING {
        return None;
    }
    let frame = Frame::parse(packet, frames, None, false)?;
    let question = Question { frame, ingress, now: moment.now, config };
    at_once(&question, port, &RecentStations(moment), tables)
}

/// Goes on with what one of the next two has said: a [`Plain`], or 0, and then the CPU's row has what was decided.
#[inline(always)]
fn resume<R>(said: u64, plain: impl Fn(Plain) -> R) -> Option<Judgement<R>> {
    if said != 0 {
        return Some(Judgement::Done(plain(Plain::from_word(said))));
    }
    // SAFETY: this CPU's own, and plain numbers.
    JUDGED.get_ptr_mut(0).map(|judged| Judgement::Open(unsafe { &mut *judged }))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_judge_buffer(
    skb: *mut __sk_buff,
    ingress: u32,
    packets: u64,
    bytes: u64,
    longest: u32,
) -> u64 {
    let (ctx, ingress) = (TcContext::new(skb), PortId(ingress as u16));
    let look = |frame: &Frame, guards| looking::buffer(skb, frame, ingress, guards);
    judge(&Buffer::new(&ctx), aside(&ctx), ingress, Segments { packets, bytes, longest }, look)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_judge_window(xdp: *mut xdp_md, ingress: u32) -> u64 {
    let (packet, ingress) = (Window::of_xdp(&XdpContext::new(xdp)), PortId(ingress as u16));
    let look = |frame: &Frame, guards| looking::window(xdp, frame, ingress, guards);
    judge(&packet, None, ingress, Segments::one(packet.length()), look)
}

#[inline(always)]
fn judge(
    packet: &impl Packet,
    aside: Option<u16>,
    ingress: PortId,
    frames: Segments,
    look: impl FnOnce(&Frame, Guards) -> Option<DropReason>,
) -> u64 {
    let Some(tables) = Tables::open() else { return 0 };
    let (moment, config) = (tables.moment(), tables.config());
    let Some(frame) = Frame::parse(packet, frames, aside, config.filters_vlans()) else {
        let frame = Frame { dst: Address::default(), src: Address::default(), tag: Tag::NONE, frames };
        return open(&frame, ingress, moment.now, &Decision::refuse(DropReason::Malformed, ingress));
    };
    let (question, port) = (Question { frame, ingress, now: moment.now, config }, tables.port(ingress));
    let stations = RecentStations(moment);
    let decision = decide(&question, port.as_ref(), &stations, &tables, |guards| look(&frame, guards));
    if tables.capture().wanted == Wanted::NOTHING
        && let Some(found) = decision.plain()
    {
        return found.to_word();
    }
    open(&frame, ingress, moment.now, &decision)
}

/// Writes down what was decided.
#[inline(always)]
fn open(frame: &Frame, ingress: PortId, now: u64, decision: &Decision) -> u64 {
    if let Some(judged) = JUDGED.get_ptr_mut(0) {
        // SAFETY: this CPU's own, and plain numbers.
        let judged = unsafe { &mut *judged };
        judged.write(frame, ingress, now, decision);
        settled(judged);
    }
    0
}

/// Has LLVM write everything down here and forget what it knows. Otherwise it mixes values that only one verdict has with registers
/// that nobody wrote under another, which it is free to do, and which the verifier calls a read of nothing.
#[inline(always)]
fn settled(judged: &mut Judged) {
    // SAFETY: it moves a register to itself. (With no instruction at all, two lines of BTF would claim the same place.)
    unsafe { asm!("{0} = {0}", in(reg) &raw mut *judged) };
}

/// Commits a decision, and tells what there is to tell.
#[inline(always)]
pub fn settle(judged: &mut Judged) {
    // Of most frames there is nothing.
    if judged.teaches() {
        xbr_settle(judged);
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_settle(judged: *mut Judged) -> u32 {
    // SAFETY: as above.
    let (Some(judged), Some(mut tables)) = (unsafe { judged.as_mut() }, Tables::open()) else { return 0 };
    let (question, decision) = (judged.question(tables.config()), judged.decision());
    if let Some(report) = commit(&question, &decision, &mut tables) {
        account::reported(&report, &question.frame.source(decision.vlan), question.ingress, question.now);
    }
    0
}

/// Counts what left, and takes what it costs.
#[inline(always)]
pub fn sent(judged: &mut Judged, egress: PortId, port: PortFlags, retag: Retag) {
    let frames = judged.frames().retagged(retag);
    account::sent(egress, &frames);
    account::sent_in(judged.vlan(), &frames);
    if port.has(PortFlags::RATE_OUT) {
        xbr_depart(judged, egress.index());
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_depart(judged: *mut Judged, egress: u32) -> u32 {
    // SAFETY: as above.
    if let (Some(judged), Some(mut tables)) = (unsafe { judged.as_ref() }, Tables::open()) {
        departed(&judged.question(tables.config()), PortId(egress as u16), PortFlags::RATE_OUT, &mut tables);
    }
    0
}
