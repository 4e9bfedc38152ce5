//! What is decided about a frame.

use crate::{DropReason, FdbEntry, Port, PortFlags, PortId, fdb::FdbFlags, vlan::Retag};

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Out of one port; [`PortId::HOST`] is local delivery.
    Forward(PortId),
    /// Out of every port that [`crate::forward::leave`] lets a copy through, the host included. It is this port's, the ingress, own.
    ///
    /// (Were there no port in it, LLVM would leave that of the other two unwritten and mask it all the same, ahead of
    /// the `match`: to the verifier a read of a register that nobody wrote.)
    Flood(PortId),
    /// Nowhere, for this reason, counted at this port.
    Drop(DropReason, PortId),
}

/// What a frame teaches about its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learn {
    /// Nothing new.
    Nothing,
    /// Still there; its time is due.
    Refresh,
    /// Not known, or not any more.
    New,
    /// Known behind another port: the entry.
    Move(FdbEntry),
    /// Static or sticky behind another port.
    RefuseStatic(PortId),
    /// The port has all the stations that it may have.
    RefuseQuota,
    /// Known behind another port, and has moved too often.
    RefuseFlap(PortId),
}

/// [`Learn`] without what it is about, which [`Decision`] has for every lesson alike: LLVM leaves unwritten what one variant of an enum
/// lacks, and copies it all the same, which to the verifier is a read of what nobody wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Lesson {
    Nothing = 0,
    Refresh = 1,
    New = 2,
    Move = 3,
    RefuseStatic = 4,
    RefuseQuota = 5,
    RefuseFlap = 6,
}

impl Lesson {
    /// The same, as a number of which neither LLVM nor the verifier knows anything: what the two of them know, they tell apart from there
    /// on. `noise` is any word that they do not know either.
    #[inline(always)]
    pub(crate) fn unforeseen(self, noise: u64) -> Self {
        #[cfg(target_arch = "bpf")]
        {
            let mut word = self as u64;
            // SAFETY: arithmetic.
            unsafe {
                core::arch::asm!("{word} ^= {noise}", "{word} ^= {noise}", word = inout(reg) word, noise = in(reg) noise);
            }
            // SAFETY: it is the lesson that it was.
            unsafe { core::mem::transmute::<u32, Self>(word as u32) }
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            let _ = noise;
            self
        }
    }
}

/// For how many a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// For a station that is known.
    One,
    /// For one that is not.
    Unknown,
    /// For a group.
    Multicast,
    /// For all.
    Broadcast,
}

/// The whole of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Where the frame goes.
    pub verdict: Verdict,
    /// What it teaches: see [`Self::learn`].
    pub lesson: Lesson,
    /// What the FDB has of its source, for lessons that are about that.
    pub about: FdbEntry,
    /// Its VLAN; 0 while VLAN filtering is off, and for a frame that was refused before that was asked.
    pub vlan: u16,
    /// What happens to its tag; for a flood, each copy has an answer of its own.
    pub retag: Retag,
    /// For how many it is.
    pub spread: Spread,
    /// The ingress port's word.
    pub from: PortFlags,
    /// The facts of the port where a frame goes that is for one.
    pub to: Port,
}

impl Decision {
    /// A frame that is refused teaches nothing.
    #[inline(always)]
    pub const fn refuse(reason: DropReason, port: PortId) -> Self {
        Self {
            verdict: Verdict::Drop(reason, port),
            lesson: Lesson::Nothing,
            about: FdbEntry { place: 0, last_seen: 0 },
            vlan: 0,
            retag: Retag::Keep,
            spread: Spread::One,
            from: PortFlags(0),
            to: Port::NONE,
        }
    }

    /// What the frame teaches about its source.
    pub const fn learn(&self) -> Learn {
        match self.lesson {
            Lesson::Nothing => Learn::Nothing,
            Lesson::Refresh => Learn::Refresh,
            Lesson::New => Learn::New,
            Lesson::Move => Learn::Move(self.about),
            Lesson::RefuseStatic => Learn::RefuseStatic(self.about.port()),
            Lesson::RefuseQuota => Learn::RefuseQuota,
            Lesson::RefuseFlap => Learn::RefuseFlap(self.about.port()),
        }
    }

    /// Whether a frame says where its sender is. One of a static station elsewhere does not, nor does any where nothing is learned.
    #[inline(always)]
    pub(crate) const fn tells_where(&self) -> bool {
        !self.from.has(PortFlags::NO_LEARNING) && !matches!(self.lesson, Lesson::RefuseStatic)
    }

    /// The same decision with another lesson.
    pub fn teaching(mut self, learn: Learn) -> Self {
        let at = |port| FdbEntry::new(port, FdbFlags(0), 0);
        (self.lesson, self.about) = match learn {
            Learn::Nothing => (Lesson::Nothing, self.about),
            Learn::Refresh => (Lesson::Refresh, self.about),
            Learn::New => (Lesson::New, self.about),
            Learn::Move(entry) => (Lesson::Move, entry),
            Learn::RefuseStatic(owner) => (Lesson::RefuseStatic, at(owner)),
            Learn::RefuseQuota => (Lesson::RefuseQuota, self.about),
            Learn::RefuseFlap(owner) => (Lesson::RefuseFlap, at(owner)),
        };
        self
    }
}
