//! The forwarding database: which station is behind which port.

use crate::{Mac, PortId, mac::Address};

/// A station's key. While VLAN filtering is off, `vlan` is 0 for every frame, tagged or not, as in the
/// Linux bridge.
///
/// Aligned as the word that it is ([`Address`]): written in parts and read at once, as the hash of a map does, it would cost as much as
/// the hash.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FdbKey {
    /// The VLAN, 0 to 4094.
    pub vlan: u16,
    /// The station's address.
    pub mac: Mac,
}

const _: () = assert!(size_of::<FdbKey>() == 8);

impl FdbKey {
    /// The same as one word: see [`Address`].
    #[inline(always)]
    pub const fn word(&self) -> u64 {
        // SAFETY: as below.
        u64::from_le(unsafe { core::mem::transmute::<Self, u64>(*self) })
    }

    /// The key of such a word.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        // SAFETY: plain numbers both, of one size; every machine that runs BPF programs of this target is a little-endian one.
        unsafe { core::mem::transmute::<u64, Self>(word.to_le()) }
    }

    /// The key of a station in a VLAN.
    #[inline(always)]
    pub const fn of(vlan: u16, station: Address) -> Self {
        Self::from_word(station.word() | vlan as u64)
    }
}

/// What is true of an entry, as bits.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FdbFlags(pub u16);

impl FdbFlags {
    /// Set by the operator: it neither ages nor moves.
    pub const STATIC: Self = Self(1);
    /// It ages, but does not move (`sticky`).
    pub const STICKY: Self = Self(1 << 1);

    /// All bits of `other` are set.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A station's value.
///
/// Port and flags share one word, written at once: elements of a preallocated map are reused immediately,
/// so a reader might otherwise see one half of another station.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FdbEntry {
    /// Port number in bits 0 to 15, flags in bits 16 to 31; for flap damping, moves in bits 32 to 39 and the second of the first
    /// of them in bits 40 to 63.
    pub place: u64,
    /// When the station last sent a frame, in nanoseconds of `CLOCK_MONOTONIC`; up to a second stale.
    pub last_seen: u64,
}

const _: () = assert!(size_of::<FdbEntry>() == 16);

impl FdbEntry {
    /// An entry for a station behind `port`.
    #[inline(always)]
    pub const fn new(port: PortId, flags: FdbFlags, last_seen: u64) -> Self {
        Self { place: port.0 as u64 | (flags.0 as u64) << 16, last_seen }
    }

    /// The port behind which the station is.
    #[inline(always)]
    pub const fn port(&self) -> PortId {
        PortId(self.place as u16)
    }

    /// The entry's flags.
    #[inline(always)]
    pub const fn flags(&self) -> FdbFlags {
        FdbFlags((self.place >> 16) as u16)
    }

    /// Set by the operator.
    #[inline(always)]
    pub const fn is_static(&self) -> bool {
        self.flags().has(FdbFlags::STATIC)
    }

    /// Stays at its port whatever frames say.
    #[inline(always)]
    pub const fn is_fixed(&self) -> bool {
        (self.place >> 16) & (FdbFlags::STATIC.0 | FdbFlags::STICKY.0) as u64 != 0
    }

    /// How often it has moved in the window of flap damping that `now`, in nanoseconds, is in; `window` in seconds.
    #[inline(always)]
    pub const fn moves(&self, now: u64, window: u16) -> u16 {
        // 24 bits of seconds: what is 194 days ago may look like now, and then damps one window too many.
        let age = (now / 1_000_000_000).wrapping_sub(self.place >> 40) & 0xff_ffff;
        if age < window as u64 { (self.place >> 32 & 0xff) as u16 } else { 0 }
    }

    /// An entry for a station that has just moved to `port`, for the `moves`-th time in a window.
    #[inline(always)]
    pub const fn moved(&self, port: PortId, now: u64, window: u16) -> Self {
        let moves = self.moves(now, window);
        let first = if moves == 0 { (now / 1_000_000_000) & 0xff_ffff } else { self.place >> 40 };
        let moves = if moves < 0xff { moves as u64 + 1 } else { 0xff };
        Self { place: port.0 as u64 | moves << 32 | first << 40, last_seen: now }
    }

    /// Whether its time is to be written anew.
    #[inline(always)]
    pub const fn is_due(&self, now: u64) -> bool {
        // `last_seen` may be a little ahead of a clock that was read on another CPU.
        step(now).saturating_sub(step(self.last_seen)) >= REFRESH_STEPS
    }

    /// Where it says that the station is.
    #[inline(always)]
    pub const fn whereabouts(&self, now: u64, ageing: u64) -> Whereabouts {
        if self.is_expired(now, ageing) {
            return Whereabouts::NOWHERE;
        }
        Whereabouts::of(self.port(), self.is_due(now))
    }

    /// Silent for longer than `ageing` nanoseconds. Such an entry is as good as none, whether or not
    /// somebody has swept it away. An `ageing` of 0 is for ever.
    #[inline(always)]
    pub const fn is_expired(&self, now: u64, ageing: u64) -> bool {
        // As above.
        !self.is_static() && ageing != 0 && now.saturating_sub(self.last_seen) > ageing
    }
}

/// Whether a station's time is due goes by steps of so many nanoseconds, as a power of two: 0.13 s, for which [`crate::recent`] has room.
const STEP_BITS: u32 = 27;

const REFRESH_STEPS: u64 = 7;

/// A known station's time is written at most once in so many nanoseconds, 0.94 s, or a step less: a write for each frame would bounce the
/// entry's cache line between CPUs.
pub const REFRESH_INTERVAL: u64 = REFRESH_STEPS << STEP_BITS;

/// One of those steps, in nanoseconds.
pub const REFRESH_STEP: u64 = 1 << STEP_BITS;

/// A time, in those steps.
#[inline(always)]
pub(crate) const fn step(time: u64) -> u64 {
    time >> STEP_BITS
}

/// Where a station is, and whether that is to be written anew: all that most frames ask. One word, that is written whatever it says: of
/// two variants LLVM would leave unwritten what one of them lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whereabouts(pub u32);

impl Whereabouts {
    const DUE: u32 = 1 << 16;

    /// It is not known, or not any more.
    pub const NOWHERE: Self = Self(u32::MAX);

    /// It is behind this port.
    #[inline(always)]
    pub const fn of(port: PortId, is_due: bool) -> Self {
        Self(port.0 as u32 | if is_due { Self::DUE } else { 0 })
    }

    /// It is behind this port, and was heard so many steps ago.
    #[inline(always)]
    pub(crate) const fn aged(port: PortId, steps: u64) -> Self {
        Self::of(port, steps >= REFRESH_STEPS)
    }

    /// Whether it is known.
    #[inline(always)]
    pub const fn is_known(self) -> bool {
        self.0 != Self::NOWHERE.0
    }

    /// Behind which port it is, if it is known.
    #[inline(always)]
    pub const fn port(self) -> PortId {
        PortId(self.0 as u16)
    }

    /// Whether its time is to be written anew, if it is known.
    #[inline(always)]
    pub const fn is_due(self) -> bool {
        self.0 & Self::DUE != 0
    }
}

/// A full table is searched for expired entries at most once in so many nanoseconds.
pub const RECLAIM_INTERVAL: u64 = 1_000_000_000;
/// So many expired entries are room enough: the search ends.
pub const RECLAIM_ENOUGH: u64 = 1_024;

/// The table has no room, not even after expired entries were thrown out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Where the decision looks stations up.
pub trait Stations {
    /// The entry of this key, expired or not.
    fn station(&self, key: &FdbKey) -> Option<FdbEntry>;

    /// Where the station is.
    #[inline(always)]
    fn whereabouts(&self, key: &FdbKey, now: u64, ageing: u64) -> Whereabouts {
        match self.station(key) {
            Some(entry) => entry.whereabouts(now, ageing),
            None => Whereabouts::NOWHERE,
        }
    }
}

/// Where it writes them down. There are two implementations: the BPF hash map and the tests' `BTreeMap`.
pub trait Fdb: Stations {
    /// Notes that a known station was heard, if it is still there.
    fn refresh(&mut self, key: &FdbKey, now: u64);

    /// Writes a learned entry: over one that is not static, or as a new one. An entry that became static
    /// meanwhile stays. `ageing` tells what may be thrown out to make room.
    fn learn(&mut self, key: &FdbKey, entry: FdbEntry, ageing: u64) -> Result<(), Full>;

    /// Throws out expired entries, if that was not done in the last [`RECLAIM_INTERVAL`]. True if some were.
    fn make_room(&mut self, ageing: u64) -> bool;
}
