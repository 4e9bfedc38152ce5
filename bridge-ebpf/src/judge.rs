//! The decision, and what the programs go on with: [`Judged`], plain numbers.
//!
//! What every frame needs is inlined, since a call costs a return. The rest is in functions with external linkage, here and elsewhere: such a
//! one is verified once, for every argument and whatever its callers know (`btf_prepare_func_args`), where one that is inlined or static is
//! walked again on every path that leads to it; and its locals leave the stack before anything else is called.

use core::arch::asm;

use aya_ebpf::programs::{TcContext, XdpContext};
use bridge_common::{
    Address, Config, Decision, DropReason, FdbEntry, Frame, Packet, Port, PortFlags, PortId, Question,
    Verdict,
    capture::Wanted,
    commit, decide,
    forward::{Lesson, Spread, departed},
    frame::Segments,
    plain::{Plain, at_once},
    policy::Guards,
    vlan::{Retag, Tag},
};

use crate::{
    account, looking,
    maps::JUDGED,
    packet::{Buffer, Window},
    recent::RecentStations,
    state::Tables,
    tag::{Whole, aside},
};

/// A frame and what was decided about it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Judged {
    dst: Address,
    src: Address,
    packets: u64,
    bytes: u64,
    now: u64,
    /// For a move, the entry.
    place: u64,
    last_seen: u64,
    longest: u32,
    tag: Tag,
    from: PortFlags,
    /// For a flood, the tag that the frame came with.
    pub came: Whole,
    to: PortFlags,
    vlan: u32,
    ingress: u32,
    port: u32,
    verdict: u32,
    reason: u32,
    learn: u32,
    retag: u32,
    spread: u32,
}

const FORWARD: u32 = 0;
const FLOOD: u32 = 1;
const DROP: u32 = 2;

impl Judged {
    /// What was decided about a frame; about one without a whole header, that it is malformed. Every word is written: a function that
    /// is verified by itself may read all of them.
    #[inline(always)]
    fn write(&mut self, frame: &Frame, ingress: PortId, now: u64, decision: &Decision) {
        (self.dst, self.src) = (frame.dst, frame.src);
        (self.packets, self.bytes, self.longest) =
            (frame.frames.packets, frame.frames.bytes, frame.frames.longest);
        (self.tag, self.now, self.ingress) = (frame.tag, now, ingress.index());
        (self.vlan, self.from, self.to) = (decision.vlan as u32, decision.from, decision.to.flags);
        (self.verdict, self.port, self.reason) = match decision.verdict {
            Verdict::Forward(port) => (FORWARD, port.index(), 0),
            Verdict::Flood(port) => (FLOOD, port.index(), 0),
            Verdict::Drop(reason, port) => (DROP, port.index(), reason as u32),
        };
        (self.learn, self.place, self.last_seen) =
            (decision.lesson as u32, decision.about.place, decision.about.last_seen);
        self.retag = match decision.retag {
            Retag::Keep => 0,
            Retag::Pop => 1,
            Retag::Push => 2,
            Retag::Rewrite => 3,
        };
        self.spread = match decision.spread {
            Spread::One => 0,
            Spread::Unknown => 1,
            Spread::Multicast => 2,
            Spread::Broadcast => 3,
        };
        self.came = Whole::NONE;
    }

    #[inline(always)]
    pub const fn ingress(&self) -> PortId {
        PortId(self.ingress as u16)
    }

    /// Copies it, word by word: LLVM would make it a call of aya's `memcpy`, which goes byte by byte.
    #[inline(always)]
    pub fn copy_to(&self, place: *mut Self) {
        let (from, to) = ((&raw const *self).cast::<u64>(), place.cast::<u64>());
        let mut word = 0;
        while word < size_of::<Self>() / 8 {
            // SAFETY: both are of this size, and every bit pattern is a number.
            unsafe { to.add(word).write_volatile(from.add(word).read_volatile()) };
            word += 1;
        }
    }

    /// The ingress port's word.
    #[inline(always)]
    pub const fn from(&self) -> PortFlags {
        self.from
    }

    #[inline(always)]
    pub const fn is_for_many(&self) -> bool {
        self.verdict == FLOOD
    }

    /// Whether [`commit`] has anything to write or to tell.
    #[inline(always)]
    const fn teaches(&self) -> bool {
        let charged = self.from.any(PortFlags::STORM.or(PortFlags::RATE_IN));
        self.learn != 0 || charged || self.verdict == DROP && self.reason == DropReason::Bpdu as u32
    }

    /// Whether its source may say who has an address: the FDB has it here, or will.
    #[inline(always)]
    pub const fn tells_where(&self) -> bool {
        !self.from.has(PortFlags::NO_LEARNING) && self.learn <= Lesson::Move as u32
    }

    /// When it came in.
    #[inline(always)]
    pub const fn now(&self) -> u64 {
        self.now
    }

    #[inline(always)]
    pub const fn vlan(&self) -> u16 {
        self.vlan as u16
    }

    #[inline(always)]
    pub const fn frames(&self) -> Segments {
        Segments { packets: self.packets, bytes: self.bytes, longest: self.longest }
    }

    #[inline(always)]
    pub const fn frame(&self) -> Frame {
        Frame { dst: self.dst, src: self.src, tag: self.tag, frames: self.frames() }
    }

    #[inline(always)]
    pub const fn question<'a>(&self, config: &'a Config) -> Question<'a> {
        Question { frame: self.frame(), ingress: self.ingress(), now: self.now, config }
    }

    #[inline(always)]
    pub fn decision(&self) -> Decision {
        Decision {
            verdict: self.verdict(),
            lesson: self.lesson(),
            about: FdbEntry { place: self.place, last_seen: self.last_seen },
            vlan: self.vlan(),
            retag: match self.retag {
                1 => Retag::Pop,
                2 => Retag::Push,
                3 => Retag::Rewrite,
                _ => Retag::Keep,
            },
            spread: match self.spread {
                1 => Spread::Unknown,
                2 => Spread::Multicast,
                3 => Spread::Broadcast,
                _ => Spread::One,
            },
            from: self.from,
            // Of its other facts nothing is asked behind the decision.
            to: Port { flags: self.to, ..Port::NONE },
        }
    }

    #[inline(always)]
    fn verdict(&self) -> Verdict {
        let port = PortId(self.port as u16);
        match self.verdict {
            FORWARD => Verdict::Forward(port),
            FLOOD => Verdict::Flood(port),
            _ => {
                Verdict::Drop(DropReason::from_index(self.reason as u64).unwrap_or(DropReason::NoPort), port)
            }
        }
    }

    #[inline(always)]
    const fn lesson(&self) -> Lesson {
        match self.learn {
            1 => Lesson::Refresh,
            2 => Lesson::New,
            3 => Lesson::Move,
            4 => Lesson::RefuseStatic,
            5 => Lesson::RefuseQuota,
            6 => Lesson::RefuseFlap,
            _ => Lesson::Nothing,
        }
    }
}

/// Has LLVM write everything down here and forget what it knows. Otherwise it mixes values that only one verdict has with registers
/// that nobody wrote under another, which it is free to do, and which the verifier calls a read of nothing.
#[inline(always)]
fn settled(judged: &mut Judged) {
    // SAFETY: it moves a register to itself. (With no instruction at all, two lines of BTF would claim the same place.)
    unsafe { asm!("{0} = {0}", in(reg) &raw mut *judged) };
}

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
    let look = |frame: &Frame, guards| looking::buffer(ctx.skb.skb, frame, ingress, guards);
    let tables = Tables::open()?;
    let port = port(&tables);
    judge(&Buffer::new(ctx), &tables, aside(ctx), (ingress, port.as_ref()), frames, look, plain)
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
    let look = |frame: &Frame, guards| looking::window(ctx.ctx, frame, ingress, guards);
    judge(&Window::of_xdp(ctx), tables, None, (ingress, Some(port)), frames, look, plain)
}

#[inline(always)]
fn judge<R>(
    packet: &impl Packet,
    tables: &Tables,
    aside: Option<u16>,
    (ingress, port): (PortId, Option<&Port>),
    frames: Segments,
    look: impl FnOnce(&Frame, Guards) -> Option<DropReason>,
    plain: impl Fn(Plain) -> R,
) -> Option<Judgement<R>> {
    let (moment, config, wanted) = (tables.moment(), tables.config(), tables.capture().wanted);
    let Some(frame) = Frame::parse(packet, frames, aside, config.filters_vlans()) else {
        let frame = Frame { dst: Address::default(), src: Address::default(), tag: Tag::NONE, frames };
        return open(&frame, ingress, moment.now, &Decision::refuse(DropReason::Malformed, ingress));
    };
    let question = Question { frame, ingress, now: moment.now, config };
    let stations = RecentStations(moment);
    let shown = wanted != Wanted::NOTHING;
    if !shown && let Some(found) = port.and_then(|port| at_once(&question, port, &stations, tables)) {
        return Some(Judgement::Done(plain(found)));
    }
    let decision = decide(&question, port, &stations, tables, |guards| look(&frame, guards));
    if !shown && let Some(found) = decision.plain() {
        return Some(Judgement::Done(plain(found)));
    }
    open(&frame, ingress, moment.now, &decision)
}

/// Writes down what was decided.
#[inline(always)]
fn open<R>(frame: &Frame, ingress: PortId, now: u64, decision: &Decision) -> Option<Judgement<R>> {
    // SAFETY: this CPU's own, and plain numbers.
    let judged = unsafe { &mut *JUDGED.get_ptr_mut(0)? };
    judged.write(frame, ingress, now, decision);
    settled(judged);
    Some(Judgement::Open(judged))
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
