//! Who asks: the election of one family (RFC 3376, section 6.6.2), as the Linux bridge holds it.

use std::net::IpAddr;

use super::Timers;

/// The querier of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Querier {
    /// This bridge is to ask, if nobody else does.
    pub wanted: bool,
    /// By which address; `None` while it has none to ask by. The unspecified one loses every election.
    pub address: Option<IpAddr>,
    /// Another one, and until when it is believed to be there.
    other: Option<(IpAddr, u64)>,
    /// When to ask next, and how often in quick succession.
    next: u64,
    hurried: u32,
    /// From when on what hosts have said can be trusted to be all; `None` while nobody asks.
    trusted: Option<u64>,
}

impl Querier {
    /// The other one, if there is one.
    pub fn other(&self, now: u64) -> Option<IpAddr> {
        self.other.filter(|(_, until)| *until > now).map(|(address, _)| address)
    }

    /// Whether this bridge is the one who asks.
    pub fn is_own(&self, now: u64) -> bool {
        self.wanted && self.address.is_some() && self.other(now).is_none()
    }

    /// Whether somebody asks, and every host has had the time to answer.
    pub fn is_known(&self, now: u64) -> bool {
        self.trusted.is_some_and(|from| from <= now) && (self.is_own(now) || self.other(now).is_some())
    }

    /// Another one asks, and leaves hosts so much time. False if it is not believed: this bridge has the lower address.
    pub fn hear(&mut self, from: IpAddr, response: u64, now: u64, timers: &Timers) -> bool {
        let beaten = match self.other(now) {
            // A switch that is no router loses to every router, and keeps none of them from being heard.
            Some(other) if other.is_unspecified() => false,
            Some(other) => from.is_unspecified() || from > other,
            None => self.is_own(now) && self.address.is_some_and(|own| !own.is_unspecified() && from > own),
        };
        if beaten {
            return false;
        }
        self.other = Some((from, now + timers.other_querier));
        self.trusted.get_or_insert(now + response);
        true
    }

    /// A port is new: whoever is behind it is asked soon.
    pub fn hurry(&mut self, now: u64) {
        (self.next, self.hurried) = (now, 2);
    }

    /// What was known is of no use any more, such as groups of other VLANs: nobody is trusted before all have been asked again.
    pub fn begin(&mut self, now: u64) {
        (self.other, self.trusted) = (None, None);
        self.hurry(now);
    }

    /// As [`Self::begin`], after what a former controller knew, which is trusted until it is too old: whoever asked then, asks on.
    /// That was `nobody`, the unspecified address, to whom nobody loses.
    pub fn go_on(&mut self, now: u64, nobody: IpAddr, timers: &Timers) {
        self.hurry(now);
        self.trusted = Some(now);
        if !self.is_own(now) {
            self.other = Some((nobody, now + timers.other_querier));
        }
    }

    /// Whether it is time to ask.
    pub fn is_due(&mut self, now: u64, timers: &Timers) -> bool {
        if !(self.is_own(now) || self.other(now).is_some()) {
            self.trusted = None;
        }
        if !self.is_own(now) || now < self.next {
            return false;
        }
        self.trusted.get_or_insert(now + timers.response);
        let pause = if self.hurried > 1 { timers.query / 4 } else { timers.query };
        (self.hurried, self.next) = (self.hurried.saturating_sub(1), now + pause);
        true
    }

    /// When something happens next without a word from anybody.
    pub fn next(&self, now: u64) -> u64 {
        if self.is_own(now) && self.next <= now {
            return now;
        }
        let own = self.is_own(now).then_some(self.next);
        let other = self.other.map(|(_, until)| until);
        [own, other, self.trusted].into_iter().flatten().filter(|at| *at > now).min().unwrap_or(u64::MAX)
    }
}
