//! The decision as functions that the verifier walks by themselves.
//!
//! A function with external linkage is verified once, for every argument and whatever its callers know (`btf_prepare_func_args`), where one that
//! is inlined or static is walked again on every path that leads to it. And its locals leave the stack before anything else is
//! called: what the programs go on with is [`Judged`], plain numbers.

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    programs::{TcContext, XdpContext},
};
use bridge_common::{
    Config, Decision, DropReason, FdbEntry, Frame, Learn, Mac, Packet, PortFlags, PortId, Question, Verdict,
    commit, decide,
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
    dst: Mac,
    vlan: u16,
    src: Mac,
    ingress: u16,
    packets: u64,
    bytes: u64,
    now: u64,
    /// For a move, the entry.
    place: u64,
    last_seen: u64,
    longest: u32,
    tag: Tag,
    from: PortFlags,
    port: u16,
    verdict: u8,
    reason: u8,
    learn: u8,
    retag: u8,
    spread: u8,
    padding: u8,
    /// For a flood, the tag that the frame came with.
    pub came: Whole,
    more: u32,
}

const FORWARD: u8 = 0;
const FLOOD: u8 = 1;
const DROP: u8 = 2;

impl Judged {
    /// A frame of so many bytes, before anything is known.
    #[inline(always)]
    pub const fn new(ingress: PortId, frames: &Segments) -> Self {
        Self {
            dst: Mac::ZERO,
            vlan: 0,
            src: Mac::ZERO,
            ingress: ingress.0,
            packets: frames.packets,
            bytes: frames.bytes,
            now: 0,
            place: 0,
            last_seen: 0,
            longest: frames.longest,
            tag: Tag::NONE,
            from: PortFlags(0),
            port: ingress.0,
            verdict: DROP,
            reason: DropReason::Malformed as u8,
            learn: 0,
            retag: 0,
            spread: 0,
            padding: 0,
            came: Whole::NONE,
            more: 0,
        }
    }

    #[inline(always)]
    pub const fn ingress(&self) -> PortId {
        PortId(self.ingress)
    }

    #[inline(always)]
    pub const fn vlan(&self) -> u16 {
        self.vlan
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
            learn: self.learn(),
            vlan: self.vlan,
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
        let port = PortId(self.port);
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
        (self.dst, self.src, self.tag, self.now) = (frame.dst, frame.src, frame.tag, now());
        Some(())
    }

    #[inline(always)]
    fn write(&mut self, decision: &Decision) {
        (self.vlan, self.from) = (decision.vlan, decision.from);
        (self.verdict, self.port) = match decision.verdict {
            Verdict::Forward(port) => (FORWARD, port.0),
            Verdict::Flood(port) => (FLOOD, port.0),
            Verdict::Drop(reason, port) => {
                self.reason = reason as u8;
                (DROP, port.0)
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

/// Decides about a frame of TC. Where that frame has no whole header, `judged` stays a drop of a malformed one.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn xbr_judge_buffer(skb: *mut __sk_buff, judged: *mut Judged) -> u32 {
    // SAFETY: the verifier sees to it that a pointer that is not null points to as many bytes as its type has.
    let (Some(judged), Some(config)) = (unsafe { judged.as_mut() }, CONFIG.get(0)) else { return 0 };
    let ctx = TcContext::new(skb);
    if judged.read(&Buffer::new(&ctx), aside(&ctx), config).is_some() {
        let decision =
            decide(&judged.question(config), &Tables, |guards| looking::buffer(skb, judged, guards));
        judged.write(&decision);
    }
    0
}

/// As above, of XDP.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn xbr_judge_window(xdp: *mut xdp_md, judged: *mut Judged) -> u32 {
    // SAFETY: as above.
    let (Some(judged), Some(config)) = (unsafe { judged.as_mut() }, CONFIG.get(0)) else { return 0 };
    let ctx = XdpContext::new(xdp);
    if judged.read(&Window::of_xdp(&ctx), None, config).is_some() {
        let decision =
            decide(&judged.question(config), &Tables, |guards| looking::window(xdp, judged, guards));
        judged.write(&decision);
    }
    0
}

/// Commits a decision, and tells what there is to tell.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn xbr_settle(judged: *mut Judged) -> u32 {
    // SAFETY: as above.
    let (Some(judged), Some(config)) = (unsafe { judged.as_mut() }, CONFIG.get(0)) else { return 0 };
    let (question, decision) = (judged.question(config), judged.decision());
    if let Some(report) = commit(&question, &decision, &mut Tables) {
        account::reported(&report, &question.frame.source(decision.vlan), question.ingress, question.now);
    }
    0
}

/// Counts what left, and takes what it costs.
#[inline(never)]
pub fn sent(judged: &Judged, egress: PortId, port: PortFlags, retag: Retag) {
    let frames = judged.frames().retagged(retag);
    account::sent(egress, &frames);
    account::sent_in(judged.vlan(), &frames);
    if port.has(PortFlags::RATE_OUT)
        && let Some(config) = CONFIG.get(0)
    {
        departed(&judged.question(config), egress, port, &mut Tables);
    }
}
