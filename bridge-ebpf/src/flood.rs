//! A frame for many, in TC: clones for every port that takes one, and the original where the kernel's own way leads.
//!
//! A clone is not cheap: so that our programs may go on writing into the original, the kernel gives that one a head of its own again after each
//! (`bpf_clone_redirect`, `bpf_try_make_head_writable`). So a guest's frame goes itself to the last port, as in the Linux bridge.
//!
//! While VLAN filtering is on, some copies leave with a tag and some without. A clone is what the frame is at that moment, so
//! the ports are gone through twice, and the frame's tag is changed in between.

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{bpf_clone_redirect, bpf_loop, bpf_redirect},
    programs::TcContext,
};
use bridge_common::{
    DropReason, PortFlags, PortId,
    capture::{Path, Sight},
    forward::{leave_for, tag_out},
    vlan::Retag,
};

use crate::{
    account, capture,
    judge::sent,
    judged::Judged,
    neigh,
    state::Tables,
    tag::Whole,
    tc::{CONSUME, LET_THROUGH, is_straight, route, set_tag},
};

/// What one copy needs to know, for the callback of `bpf_loop`. A plain loop over all ports would have the verifier walk every
/// path through every iteration.
struct Flood {
    skb: *mut __sk_buff,
    judged: *mut Judged,
    /// [`Round::word`].
    round: u32,
    /// The set of ports that the frame is for.
    set: u32,
}

/// A copy for every port that takes one; says what is to become of the original, where that is not [`xbr_rest`]'s to say. See
/// [`crate::judge`] for why it is so.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn xbr_flood(skb: *mut __sk_buff, judged: *mut Judged, set: u32) -> i32 {
    // SAFETY: the verifier sees to it that a pointer that is not null points to as many bytes as its type has.
    if let (Some(judged), Some(tables)) = (unsafe { judged.as_mut() }, Tables::open()) {
        let (ctx, config) = (TcContext::new(skb), tables.config());
        capture::show_buffer(&ctx, Sight::flooded(judged.ingress(), Path::Tc));
        if config.filters_vlans() {
            flood_tagged(&ctx, judged, config.ports_end, set);
        } else {
            let holds = judged.ingress().is_guest();
            release(&ctx);
            copies(&ctx, judged, config.ports_end, Round { retag: Retag::Keep, first: true, holds }, set);
            set_tag(&ctx, 0);
            return if holds { last(&ctx, judged) } else { CONSUME };
        }
        set_tag(&ctx, 0);
    }
    CONSUME
}

/// What is the same for all copies of a round.
#[derive(Clone, Copy)]
struct Round {
    /// What this round's copies have had.
    retag: Retag,
    first: bool,
    /// Whether the last port gets the original.
    holds: bool,
}

impl Round {
    const FIRST: u32 = 1 << 8;
    const HOLDS: u32 = 1 << 9;

    /// As an argument of a function that is verified by itself, of which there are five at most.
    const fn word(self) -> u32 {
        self.retag as u32
            | if self.first { Self::FIRST } else { 0 }
            | if self.holds { Self::HOLDS } else { 0 }
    }
}

/// Which port the next copy waits for. These words are ours while the frame is (`qdisc_skb_cb::data`), and no stack is.
#[inline(always)]
fn held(ctx: &TcContext) -> Option<(PortId, u32)> {
    // SAFETY: the kernel's context is valid for the length of the program.
    let (ifindex, port) = unsafe { ((*ctx.skb.skb).cb[2], (*ctx.skb.skb).cb[3]) };
    (ifindex != 0).then_some((PortId(port as u16), ifindex))
}

#[inline(always)]
fn hold(ctx: &TcContext, port: PortId, ifindex: u32) {
    // SAFETY: as above.
    unsafe { ((*ctx.skb.skb).cb[2], (*ctx.skb.skb).cb[3]) = (ifindex, port.index()) };
}

#[inline(always)]
fn release(ctx: &TcContext) {
    hold(ctx, PortId::HOST, 0);
}

/// The original goes to the port that nobody came after.
#[inline(always)]
fn last(ctx: &TcContext, judged: &mut Judged) -> i32 {
    let Some((egress, ifindex)) = held(ctx) else { return CONSUME };
    sent(judged, egress, UNLIMITED, Retag::Keep);
    capture::show_buffer(ctx, Sight::copy(judged.ingress(), egress, Path::Tc, Ok(())));
    // SAFETY: a helper that only notes the target.
    unsafe { bpf_redirect(ifindex, route(ctx, egress)) as i32 }
}

/// The word of a port where nobody counts what leaves.
const UNLIMITED: PortFlags = PortFlags(0);

/// The ports where the frame leaves with a tag, then those where it leaves without, or the other way round: first those where it
/// leaves as it came.
#[inline(always)]
fn flood_tagged(ctx: &TcContext, judged: &mut Judged, ports: u16, set: u32) {
    judged.came = Whole::of(ctx);
    let tag = judged.frame().tag;
    let first = if tag.is_present() && tag.vid() == 0 { Retag::Rewrite } else { Retag::Keep };
    let second = if tag.is_present() { Retag::Pop } else { Retag::Push };
    if !turn(ctx, judged, first) {
        return;
    }
    copies(ctx, judged, ports, Round { retag: first, first: true, holds: false }, set);
    // Nothing leaves without its outer tag where another one would show: `vlan::retag`.
    if !(second == Retag::Pop && tag.is_double()) && turn(ctx, judged, second) {
        copies(ctx, judged, ports, Round { retag: second, first: false, holds: false }, set);
    }
}

/// Gives the frame the tag that it came with, changed like this.
#[inline(never)]
fn turn(ctx: &TcContext, judged: &Judged, retag: Retag) -> bool {
    let done = Whole::of(ctx).become_(judged.came.after(retag, judged.vlan()), ctx);
    if !done {
        account::dropped(judged.ingress(), DropReason::Retag, &judged.frames());
    }
    done
}

#[inline(always)]
fn copies(ctx: &TcContext, judged: &mut Judged, ports: u16, round: Round, set: u32) {
    xbr_copies(ctx.skb.skb, judged, ports as u32, round.word(), set);
}

/// See [`crate::judge`] for why it is so: [`copy`] would be walked for each round.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_copies(skb: *mut __sk_buff, judged: *mut Judged, ports: u32, round: u32, set: u32) -> u32 {
    if judged.is_null() {
        return 0;
    }
    let mut flood = Flood { skb, judged, round, set };
    // SAFETY: the callback has the signature that the helper calls, and the context outlives the call.
    unsafe {
        bpf_loop(ports, copy as *mut c_void, (&raw mut flood).cast(), 0);
    }
    0
}

/// One copy. A port that was never meant to have one takes no part, as in the Linux bridge.
extern "C" fn copy(index: u32, flood: *const Flood) -> c_long {
    // SAFETY: the caller's context, alive for as long as its loop, and so is what it points to.
    let (Flood { skb, judged, round, set }, Some(tables)) = (unsafe { &*flood }, Tables::open()) else {
        return 1;
    };
    // SAFETY: as above.
    let judged = unsafe { &mut **judged };
    let (ctx, question, decision) =
        (&TcContext::new(*skb), &judged.question(tables.config()), &judged.decision());
    let (ingress, egress) = (question.ingress, PortId(index as u16));
    if is_straight(ingress, egress) {
        return 0;
    }
    match tag_out(question, decision, egress, &tables) {
        Ok(retag) if retag as u32 != *round & 0xff => return 0,
        Err(_) if *round & Round::FIRST == 0 => return 0,
        _ => {}
    }
    let (port, retag) = match leave_for(question, decision, *set, egress, &tables) {
        Ok(left) => left,
        Err(reason) => {
            lost(ctx, judged, egress, reason);
            return 0;
        }
    };
    if neigh::is_withheld(*skb, port.flags) {
        return 0;
    }
    let mut to = (egress, port.ifindex);
    if *round & Round::HOLDS != 0 && !port.flags.has(PortFlags::RATE_OUT) {
        // This one waits, and the one that has waited is no other than it in what is counted.
        let before = held(ctx);
        hold(ctx, egress, port.ifindex);
        match before {
            Some(before) => to = before,
            None => return 0,
        }
    }
    let (egress, ifindex) = to;
    let flags = route(ctx, egress);
    // SAFETY: the context is the kernel's; no pointer into the frame is kept across the call.
    let outcome = unsafe { bpf_clone_redirect(*skb, ifindex, flags) };
    // Positive is NET_XMIT_DROP and the like from the device's queue.
    if outcome == 0 {
        sent(judged, egress, port.flags, retag);
        capture::show_buffer(ctx, Sight::copy(ingress, egress, Path::Tc, Ok(())));
    } else {
        lost(ctx, judged, egress, DropReason::Redirect);
    }
    0
}

/// A copy that did not leave, if it was meant to.
#[inline(always)]
fn lost(ctx: &TcContext, judged: &Judged, egress: PortId, reason: DropReason) {
    if reason.abstains() {
        return;
    }
    account::dropped(egress, reason, &judged.frames());
    capture::show_buffer(ctx, Sight::copy(judged.ingress(), egress, Path::Tc, Err(reason)));
}

/// What is left of the original after a flood: host and wire hand it to each other.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn xbr_rest(skb: *mut __sk_buff, judged: *mut Judged, set: u32) -> i32 {
    // SAFETY: as above.
    match (unsafe { judged.as_mut() }, Tables::open()) {
        (Some(judged), Some(tables)) => rest(&TcContext::new(skb), judged, &tables, set),
        _ => CONSUME,
    }
}

#[inline(always)]
fn rest(ctx: &TcContext, judged: &mut Judged, tables: &Tables, set: u32) -> i32 {
    let (ingress, egress) = match judged.ingress() {
        PortId::HOST => (PortId::HOST, PortId::UPLINK),
        _ => (PortId::UPLINK, PortId::HOST),
    };
    let outcome = match leave_for(&judged.question(tables.config()), &judged.decision(), set, egress, tables)
    {
        Ok((port, _)) if neigh::is_withheld(ctx.skb.skb, port.flags) => return CONSUME,
        Ok((_, retag)) if tables.config().filters_vlans() && !turn(ctx, judged, retag) => return CONSUME,
        Ok((port, retag)) => {
            sent(judged, egress, port.flags, retag);
            Ok(())
        }
        // Between these two a port that is down is a loss: the frame's own way leads there and nowhere else.
        Err(reason) if reason.abstains() && reason != DropReason::PortDown => return CONSUME,
        Err(reason) => {
            account::dropped(egress, reason, &judged.frames());
            Err(reason)
        }
    };
    capture::show_buffer(ctx, Sight::copy(ingress, egress, Path::Tc, outcome));
    if outcome.is_ok() { LET_THROUGH } else { CONSUME }
}
