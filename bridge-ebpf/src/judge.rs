//! The decision as functions that the verifier walks by themselves.
//!
//! A function with external linkage is verified once, for every argument and whatever its callers know (`btf_prepare_func_args`), where one that
//! is inlined or static is walked again on every path that leads to it. And its locals leave the stack before anything else is
//! called: what the programs go on with is [`Judged`], plain numbers.

use core::{arch::asm, mem::MaybeUninit};

use aya_ebpf::{
    bindings::__sk_buff,
    programs::{TcContext, XdpContext},
};
use bridge_common::{
    Config, Decision, DropReason, FdbEntry, FdbKey, Frame, Learn, Packet, PortFlags, PortId, Question,
    Verdict, commit, decide,
    fdb::FdbFlags,
    forward::{Spread, departed},
    frame::Segments,
    vlan::{Retag, Tag},
};

use crate::{
    account, looking,
    maps::{CONFIG, now},
    packet::{Buffer, Window},
    tables::Tables,
    tag::{Whole, aside},
};

/// A frame and what was decided about it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Judged {
    /// Addresses as [`FdbKey::to_word`], in VLAN 0. Whole words, all of it: what is less is set to zero by a loop over bytes.
    dst: u64,
    src: u64,
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
    /// A frame of so many bytes, before anything is known.
    #[inline(always)]
    pub fn begin(place: &mut MaybeUninit<Self>, ingress: PortId, frames: Segments) -> &mut Self {
        const { assert!(size_of::<Self>() % 8 == 0) };
        let words = place.as_mut_ptr().cast::<u64>();
        // SAFETY: plain numbers, and every bit pattern is one of them. (One by one, and volatile, or LLVM makes it calls of aya's `memset`,
        // which goes byte by byte.)
        let judged = unsafe {
            let mut word = 0;
            while word < size_of::<Self>() / 8 {
                words.add(word).write_volatile(0);
                word += 1;
            }
            place.assume_init_mut()
        };
        (judged.packets, judged.bytes, judged.longest) = (frames.packets, frames.bytes, frames.longest);
        (judged.ingress, judged.port) = (ingress.index(), ingress.index());
        (judged.verdict, judged.reason) = (DROP, DropReason::Malformed as u32);
        judged
    }

    #[inline(always)]
    pub const fn ingress(&self) -> PortId {
        PortId(self.ingress as u16)
    }

    /// Whether [`commit`] has anything to write or to tell.
    #[inline(always)]
    const fn teaches(&self) -> bool {
        let charged = self.from.any(PortFlags::STORM.or(PortFlags::RATE_IN));
        self.learn != 0 || charged || self.verdict == DROP && self.reason == DropReason::Bpdu as u32
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
        Frame {
            dst: FdbKey::from_word(self.dst).mac,
            src: FdbKey::from_word(self.src).mac,
            tag: self.tag,
            frames: self.frames(),
        }
    }

    #[inline(always)]
    pub const fn question<'a>(&self, config: &'a Config) -> Question<'a> {
        Question { frame: self.frame(), ingress: self.ingress(), now: self.now, config }
    }

    #[inline(always)]
    pub fn decision(&self) -> Decision {
        Decision {
            verdict: self.verdict(),
            learn: self.learn(),
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
    fn learn(&self) -> Learn {
        let entry = FdbEntry { place: self.place, last_seen: self.last_seen };
        match self.learn {
            1 => Learn::Refresh,
            2 => Learn::New,
            3 => Learn::Move(entry),
            4 => Learn::RefuseStatic(entry.port()),
            5 => Learn::RefuseQuota,
            6 => Learn::RefuseFlap(entry.port()),
            _ => Learn::Nothing,
        }
    }

    /// The frame's facts, before the decision.
    #[inline(always)]
    fn read(&mut self, packet: &impl Packet, aside: Option<u16>, config: &Config) -> Option<()> {
        let frame = Frame::parse(packet, self.frames(), aside, config.filters_vlans())?;
        (self.dst, self.src) = (frame.destination(0).to_word(), frame.source(0).to_word());
        (self.tag, self.now) = (frame.tag, now());
        Some(())
    }

    #[inline(always)]
    fn write(&mut self, decision: &Decision) {
        (self.vlan, self.from) = (decision.vlan as u32, decision.from);
        (self.verdict, self.port) = match decision.verdict {
            Verdict::Forward(port) => (FORWARD, port.index()),
            Verdict::Flood(port) => (FLOOD, port.index()),
            Verdict::Drop(reason, port) => {
                self.reason = reason as u32;
                (DROP, port.index())
            }
        };
        let at = |port| FdbEntry::new(port, FdbFlags(0), 0);
        let (learn, entry) = match decision.learn {
            Learn::Nothing => (0, FdbEntry::default()),
            Learn::Refresh => (1, FdbEntry::default()),
            Learn::New => (2, FdbEntry::default()),
            Learn::Move(entry) => (3, entry),
            Learn::RefuseStatic(owner) => (4, at(owner)),
            Learn::RefuseQuota => (5, FdbEntry::default()),
            Learn::RefuseFlap(owner) => (6, at(owner)),
        };
        (self.learn, self.place, self.last_seen) = (learn, entry.place, entry.last_seen);
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
    }
}

/// Has LLVM write everything down here and forget what it knows. Otherwise it mixes values that only one verdict has with registers
/// that nobody wrote under another, which it is free to do, and which the verifier calls a read of nothing.
#[inline(always)]
fn settled(judged: &mut Judged) {
    // SAFETY: it moves a register to itself. (With no instruction at all, two lines of BTF would claim the same place.)
    unsafe { asm!("{0} = {0}", in(reg) &raw mut *judged) };
}

/// Decides about a frame of TC. Where that frame has no whole header, `judged` stays a drop of a malformed one.
#[inline(always)]
pub fn judge_buffer(ctx: &TcContext, judged: &mut Judged) {
    // The verifier wants to see it asked; an array has its first element.
    let Some(config) = CONFIG.get(0) else { return };
    if judged.read(&Buffer::new(ctx), aside(ctx), config).is_some() {
        let decision =
            decide(&judged.question(config), &Tables, |guards| looking::buffer(ctx.skb.skb, judged, guards));
        judged.write(&decision);
    }
    settled(judged);
}

/// As above, of XDP.
#[inline(always)]
pub fn judge_window(ctx: &XdpContext, judged: &mut Judged) {
    let Some(config) = CONFIG.get(0) else { return };
    if judged.read(&Window::of_xdp(ctx), None, config).is_some() {
        let decision =
            decide(&judged.question(config), &Tables, |guards| looking::window(ctx.ctx, judged, guards));
        judged.write(&decision);
    }
    settled(judged);
}

/// [`judge_buffer`], verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn xbr_judge(skb: *mut __sk_buff, judged: *mut Judged) -> u32 {
    // SAFETY: the verifier sees to it that a pointer that is not null points to as many bytes as its type has.
    if let Some(judged) = unsafe { judged.as_mut() } {
        judge_buffer(&TcContext::new(skb), judged);
    }
    0
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
    let (Some(judged), Some(config)) = (unsafe { judged.as_mut() }, CONFIG.get(0)) else { return 0 };
    let (question, decision) = (judged.question(config), judged.decision());
    if let Some(report) = commit(&question, &decision, &mut Tables) {
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
    if let (Some(judged), Some(config)) = (unsafe { judged.as_ref() }, CONFIG.get(0)) {
        departed(&judged.question(config), PortId(egress as u16), PortFlags::RATE_OUT, &mut Tables);
    }
    0
}
