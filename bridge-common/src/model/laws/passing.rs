//! Where a frame goes at all.

use std::collections::BTreeSet;

use super::case::{Aim, Case};
use crate::{
    PortFlags, PortId, Ports as _,
    model::{Action, Program},
};

impl Case<'_> {
    pub fn passing(&self) {
        self.nothing_goes_back();
        self.a_refused_frame_teaches_and_goes_nowhere();
        self.link_local_groups_stay_on_the_link();
        self.an_expired_entry_is_an_unknown_one();
        self.nothing_unfinished_is_redirected_in_xdp();
    }

    pub fn a_frame_left_to_tc_has_left_no_trace(&self) {
        assert_eq!(self.arrival.program, Program::Xdp);
        let mut expected = self.before.clone();
        let slow = self.after.counted(self.ingress).slow;
        expected.counters.entry(self.ingress).or_default().slow = slow;
        assert_eq!(&expected, self.after);
        assert_eq!(self.counted(self.ingress, |c| c.slow.iter().sum()), 1, "why it was left is counted once");
        assert!(self.done.sent.is_empty());
        let short = self.arrival.length() <= 600 && !self.arrival.fragmented;
        let refused = self.is_refused() || self.is_spoofed() || self.is_locked_out();
        assert!(!(short && refused), "what is refused is never left to TC");
    }

    fn nothing_goes_back(&self) {
        let hairpin = self.has(self.ingress, PortFlags::HAIRPIN);
        assert!(hairpin || !self.done.reached(self.ingress), "sent back to {:?}", self.ingress);
        let sent: BTreeSet<_> = self.done.sent.iter().map(|sent| sent.port).collect();
        assert_eq!(sent.len(), self.done.sent.len(), "sent twice to one port");
        assert!(self.done.sent.iter().all(|sent| self.is_up(sent.port)), "sent to a port that is down");
    }

    fn a_refused_frame_teaches_and_goes_nowhere(&self) {
        if self.is_dropped_in() || self.is_spoofed() || self.is_locked_out() {
            assert_eq!(self.before.stations, self.after.stations, "learned from a refused frame");
            assert!(self.done.sent.is_empty(), "a refused frame was sent to {:?}", self.done.sent);
            let dropped = self.dropped(self.ingress);
            assert_eq!(dropped, self.counted(self.ingress, |c| c.rx_packets), "a drop without a reason");
        }
    }

    fn link_local_groups_stay_on_the_link(&self) {
        let aim = self.aim();
        if aim == Aim::LinkLocal {
            assert!(self.done.sent.iter().all(|sent| !sent.port.is_guest()), "sent to {:?}", self.done.sent);
            assert_eq!(self.before.stations, self.after.stations);
        }
        if aim == Aim::Host {
            let astray = self.done.sent.iter().any(|sent| sent.port != PortId::HOST);
            assert!(!astray, "the host's own went astray");
        }
        if let Aim::Known(port) = aim {
            assert!(self.done.sent.iter().all(|sent| sent.port == port), "not to where its station is");
        }
    }

    fn an_expired_entry_is_an_unknown_one(&self) {
        let mut swept = self.before.clone();
        swept.sweep();
        if swept.stations.len() == self.before.stations.len() {
            return;
        }
        // With room enough, or what is refused could differ.
        let mut unswept = self.before.clone();
        (swept.capacity, unswept.capacity) = (usize::MAX, usize::MAX);
        let (one, other) = (swept.run(self.arrival), unswept.run(self.arrival));
        assert_eq!(one, other, "an expired entry decided about a frame");
        // A quota counts what has expired until somebody sweeps.
        if self.policy(self.ingress).stations_max == 0 {
            unswept.sweep();
            assert_eq!(swept.stations, unswept.stations);
            assert_eq!((swept.counters, swept.events), (unswept.counters, unswept.events));
        }
    }

    fn nothing_unfinished_is_redirected_in_xdp(&self) {
        let port = self.before.port(self.ingress).unwrap_or_default();
        if self.arrival.program == Program::Xdp && self.before.guard && port.flags.has(PortFlags::GUARD) {
            let redirected = matches!(self.done.action, Action::Redirect(_) | Action::Spread);
            assert!(!(redirected && self.arrival.unfinished), "an unfinished checksum was redirected");
        }
    }
}
