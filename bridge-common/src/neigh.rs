//! Neighbours: which station has which IP address, what their requests say, and what is answered for them (`neigh_suppress`).
//!
//! The rule of who has an address: who says so first, for as long as it is alive in the FDB. Another station that says so, too, changes no
//! answer: it only has requests for that address flooded again, until the one that has it speaks and a minute has passed. So an address
//! that moves to another station works at once, as without us, and a guest that lies gains nothing by us.

mod answer;
mod heard;
mod outcome;

pub use answer::{ARP_ANSWER, advertisement, arp_answer, link_option};
pub use heard::Heard;
pub use outcome::{Outcome, outcome};

use crate::{Address, Config, FdbKey, Mac, PortId, Stations};

/// The most neighbours of a bridge: as many as all ports together may have.
pub const NEIGHBOURS_MAX: u32 = 20_480;
/// The most that one guest's port may have.
pub const NEIGHBOURS_OF_GUEST: u64 = 64;
/// The most that the host, or the outside, may have.
pub const NEIGHBOURS_OF_UPLINK: u64 = 1_024;
/// A neighbour that says nothing of its address for so many ageing times has it no longer.
pub const AGEING_TIMES: u64 = 4;
/// So many nanoseconds after another station has said that it has an address, its holder is not believed.
pub const DOUBT: u64 = 60_000_000_000;
/// A neighbour's time is written at most once in so many nanoseconds.
const REFRESH: u64 = 1_000_000_000;

/// An address in a VLAN.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NeighbourKey {
    /// The VLAN; 0 while VLANs are not filtered.
    pub vlan: u16,
    /// 4 or 6.
    pub family: u16,
    /// The address, in the order of the wire; an IPv4 one is padded with zeroes.
    pub address: [u8; 16],
}

const _: () = assert!(size_of::<NeighbourKey>() == 20);

/// Who has an address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Neighbour {
    /// MAC address in bits 0 to 47 as [`Mac`] lies in memory, port number in bits 48 to 55, flags above.
    pub place: u64,
    /// When it last said so, in nanoseconds of `CLOCK_MONOTONIC`.
    pub last_seen: u64,
    /// When another station last said that it has the address; 0 for never.
    pub doubted: u64,
}

const _: () = assert!(size_of::<Neighbour>() == 24);

impl Neighbour {
    const STATIC: u64 = 1 << 56;
    const ROUTER: u64 = 1 << 57;

    /// No neighbour. (A value and no `Option`, of whose `None` LLVM copies words that nobody wrote.)
    pub const NOBODY: Self = Self { place: 0, last_seen: 0, doubted: 0 };

    /// [`Self::NOBODY`].
    #[inline(always)]
    pub const fn is_nobody(&self) -> bool {
        self.place == 0
    }

    /// A neighbour that was heard just now.
    #[inline(always)]
    pub const fn new(mac: Mac, port: PortId, router: bool, now: u64) -> Self {
        let place = mac.address().word() >> 16 | ((port.0 & 0xff) as u64) << 48;
        Self { place: place | if router { Self::ROUTER } else { 0 }, last_seen: now, doubted: 0 }
    }

    /// One that the operator has set: it neither ages nor is doubted.
    pub const fn fixed(mac: Mac, port: PortId) -> Self {
        let learned = Self::new(mac, port, false, 0);
        Self { place: learned.place | Self::STATIC, ..learned }
    }

    /// Its MAC address.
    #[inline(always)]
    pub const fn mac(&self) -> Mac {
        Address::from_word(self.place << 16).mac()
    }

    /// The port behind which it is.
    #[inline(always)]
    pub const fn port(&self) -> PortId {
        PortId((self.place >> 48 & 0xff) as u16)
    }

    /// Set by the operator.
    #[inline(always)]
    pub const fn is_static(&self) -> bool {
        self.place & Self::STATIC != 0
    }

    /// It has said that it is a router.
    #[inline(always)]
    pub const fn is_router(&self) -> bool {
        self.place & Self::ROUTER != 0
    }

    /// It has not spoken of its address for too long. `ageing` is the FDB's, in nanoseconds; 0 is for ever.
    #[inline(always)]
    pub const fn is_expired(&self, now: u64, ageing: u64) -> bool {
        !self.is_static()
            && ageing != 0
            && now.saturating_sub(self.last_seen) > ageing.saturating_mul(AGEING_TIMES)
    }

    /// Another station says that it has the address.
    #[inline(always)]
    pub const fn is_doubted(&self) -> bool {
        self.doubted != 0 && self.last_seen < self.doubted.saturating_add(DOUBT)
    }

    /// Whether the FDB has it where it was heard, or nothing else is to be asked.
    #[inline(always)]
    pub fn is_alive(&self, vlan: u16, now: u64, config: &Config, fdb: &impl Stations) -> bool {
        if self.is_static() {
            return true;
        }
        if self.is_expired(now, config.ageing) {
            return false;
        }
        if self.mac().address().is(config.uplink) {
            return self.port() == PortId::HOST;
        }
        match fdb.station(&FdbKey { vlan, mac: self.mac() }) {
            Some(entry) => entry.port() == self.port() && !entry.is_expired(now, config.ageing),
            None => false,
        }
    }

    /// What is to be written when a station at a port says that it has an address, [`Self::NOBODY`] for nothing; `known` is who has it, if
    /// anybody is alive that does.
    #[inline(always)]
    pub fn after_claim(known: Self, heard: &Heard, port: PortId, now: u64) -> Self {
        let router = heard.is(Heard::ROUTER);
        if known.is_nobody() {
            // Whether it is a router nobody has said yet: see `Heard::WEAK`.
            return if heard.is(Heard::WEAK) {
                Self::NOBODY
            } else {
                Self::new(heard.mac, port, router, now)
            };
        }
        if known.is_static() {
            return Self::NOBODY;
        }
        let same = known.mac().is(heard.mac);
        if same || known.port() == port && port.is_guest() {
            let router = router || same && heard.is(Heard::WEAK | Heard::ASKS) && known.is_router();
            let new = Self { doubted: known.doubted, ..Self::new(heard.mac, port, router, now) };
            let fresh = now.saturating_sub(known.last_seen) < REFRESH;
            return if fresh && new.place == known.place { Self::NOBODY } else { new };
        }
        let fresh = known.doubted != 0 && now.saturating_sub(known.doubted) < REFRESH;
        if fresh { Self::NOBODY } else { Self { doubted: now, ..known } }
    }
}

#[cfg(test)]
#[path = "tests/neigh.rs"]
mod tests;
