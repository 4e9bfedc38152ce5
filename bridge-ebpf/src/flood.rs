//! A frame for many, in TC: clones for every port that takes one, and the original where the kernel's own way leads.
//!
//! While VLAN filtering is on, some copies leave with a tag and some without. A clone is what the frame is at that moment, so
//! the ports are gone through twice, and the frame's tag is changed in between.

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_clone_redirect, bpf_loop},
    programs::TcContext,
};
use bridge_common::{
    Decision, DropReason, Port, PortId, Question,
    capture::{Path, Sight},
    forward::{leave, tag_out},
    vlan::Retag,
};

use crate::{
    account, capture,
    tables::Tables,
    tag::Whole,
    tc::{CONSUME, LET_THROUGH, is_straight, route, sent, set_tag},
};

/// What one copy needs to know, for the callback of `bpf_loop`. A plain loop over all ports would have the verifier walk every
/// path through every iteration.
struct Flood<'a> {
    ctx: *const TcContext,
    question: &'a Question<'a>,
    decision: &'a Decision,
    /// What this round's copies have had done to their tag.
    round: Retag,
    first: bool,
}

/// A copy for every port that takes one.
#[inline(always)]
pub fn flood(ctx: &TcContext, question: &Question<'_>, decision: &Decision) -> i32 {
    capture::show_buffer(ctx, Sight::flooded(question.ingress, Path::Tc));
    let rest = Rest::of(question, decision);
    if !question.config.filters_vlans() {
        copies(ctx, question, decision, Retag::Keep, true);
        set_tag(ctx, 0);
        return rest.conclude(ctx, question, decision, true);
    }
    let tag = question.frame.tag;
    let tagged = if tag.is_present() && tag.vid() == 0 { Retag::Rewrite } else { Retag::Keep };
    let other = if tag.is_present() { Retag::Pop } else { Retag::Push };
    // What the original is to be when it goes on comes last.
    let rounds = if rest.retag() == Some(tagged) { [other, tagged] } else { [tagged, other] };
    let came = Whole::of(ctx);
    let mut now = came;
    let mut done = true;
    for (index, round) in rounds.into_iter().enumerate() {
        // Nothing leaves like that: `vlan::retag` bares no second tag.
        if round == Retag::Pop && tag.is_double() {
            continue;
        }
        let wanted = came.after(round, decision.vlan);
        done = now.become_(wanted, ctx);
        if !done {
            account::dropped(question.ingress, DropReason::Retag, &question.frame.frames);
            break;
        }
        now = wanted;
        copies(ctx, question, decision, round, index == 0);
    }
    set_tag(ctx, 0);
    rest.conclude(ctx, question, decision, done)
}

#[inline(always)]
fn copies(ctx: &TcContext, question: &Question<'_>, decision: &Decision, round: Retag, first: bool) {
    let mut flood = Flood { ctx, question, decision, round, first };
    // SAFETY: the callback has the signature that the helper calls, and the context outlives the call.
    unsafe {
        bpf_loop(question.config.ports_end as u32, copy as *mut c_void, (&raw mut flood).cast(), 0);
    }
}

/// One copy. A port that was never meant to have one takes no part, as in the Linux bridge.
extern "C" fn copy(index: u32, flood: *const Flood<'_>) -> c_long {
    // SAFETY: the caller's context, alive for as long as its loop.
    let Flood { ctx, question, decision, round, first } = unsafe { &*flood };
    // SAFETY: as above.
    let ctx = unsafe { &**ctx };
    let (ingress, egress) = (question.ingress, PortId(index as u16));
    if is_straight(ingress, egress) {
        return 0;
    }
    match tag_out(question, decision, egress, &Tables) {
        Ok(retag) if retag != *round => return 0,
        Err(_) if !*first => return 0,
        _ => {}
    }
    let port = match leave(question, decision, egress, &Tables) {
        Ok((port, _)) => port,
        Err(reason) => {
            lost(ctx, question, egress, reason);
            return 0;
        }
    };
    let flags = route(ctx, egress);
    // SAFETY: the context is the kernel's; no pointer into the frame is kept across the call.
    let outcome = unsafe { bpf_clone_redirect(ctx.as_ptr().cast(), port.ifindex, flags) };
    // Positive is NET_XMIT_DROP and the like from the device's queue.
    if outcome == 0 {
        sent(question, decision, egress, &port, *round);
        capture::show_buffer(ctx, Sight::copy(ingress, egress, Path::Tc, Ok(())));
    } else {
        lost(ctx, question, egress, DropReason::Redirect);
    }
    0
}

/// A copy that did not leave, if it was meant to.
#[inline(always)]
fn lost(ctx: &TcContext, question: &Question<'_>, egress: PortId, reason: DropReason) {
    if reason.abstains() {
        return;
    }
    account::dropped(egress, reason, &question.frame.frames);
    capture::show_buffer(ctx, Sight::copy(question.ingress, egress, Path::Tc, Err(reason)));
}

/// What is left of the original after a flood: host and wire hand it to each other, a guest's is used up.
struct Rest {
    egress: PortId,
    leave: Option<Result<(Port, Retag), DropReason>>,
}

impl Rest {
    #[inline(always)]
    fn of(question: &Question<'_>, decision: &Decision) -> Self {
        let egress = match question.ingress {
            PortId::HOST => PortId::UPLINK,
            PortId::UPLINK => PortId::HOST,
            _ => return Self { egress: PortId::HOST, leave: None },
        };
        Self { egress, leave: Some(leave(question, decision, egress, &Tables)) }
    }

    #[inline(always)]
    fn retag(&self) -> Option<Retag> {
        match self.leave {
            Some(Ok((_, retag))) => Some(retag),
            _ => None,
        }
    }

    /// `done` is whether the frame has the tag that it is to have.
    #[inline(always)]
    fn conclude(self, ctx: &TcContext, question: &Question<'_>, decision: &Decision, done: bool) -> i32 {
        let egress = self.egress;
        match self.leave {
            None => CONSUME,
            Some(Ok((port, retag))) if done => {
                capture::show_buffer(ctx, Sight::copy(question.ingress, egress, Path::Tc, Ok(())));
                sent(question, decision, egress, &port, retag);
                LET_THROUGH
            }
            Some(Ok(_)) => CONSUME,
            Some(Err(reason)) => {
                lost_rest(ctx, question, egress, reason);
                CONSUME
            }
        }
    }
}

/// Between host and wire a port that is down is a loss: the frame's own way leads there and nowhere else.
#[inline(always)]
fn lost_rest(ctx: &TcContext, question: &Question<'_>, egress: PortId, reason: DropReason) {
    if reason.abstains() && reason != DropReason::PortDown {
        return;
    }
    account::dropped(egress, reason, &question.frame.frames);
    capture::show_buffer(ctx, Sight::copy(question.ingress, egress, Path::Tc, Err(reason)));
}
