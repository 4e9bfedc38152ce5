//! What was decided about a frame, and the frame, as plain numbers.

use bridge_common::{
    Address, Config, Decision, DropReason, FdbEntry, Frame, Port, PortFlags, PortId, Question, Verdict,
    forward::{Lesson, Spread},
    frame::Segments,
    vlan::{Retag, Tag},
};

use crate::tag::Whole;

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
    pub fn write(&mut self, frame: &Frame, ingress: PortId, now: u64, decision: &Decision) {
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
    pub const fn teaches(&self) -> bool {
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
