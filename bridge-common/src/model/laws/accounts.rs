//! Every frame is counted once at each port that it could have reached, as sent or as dropped.

use super::case::{Aim, Case};
use crate::{DropReason, Port, PortFlags, PortId, model::Action};

impl Case<'_> {
    pub fn accounts(&self) {
        let frames = self.frames();
        for id in self.ports() {
            let rx = u64::from(id == self.ingress);
            let sent = self.done.sent.iter().find(|sent| sent.port == id);
            let (tx, growth) = sent.map_or((0, 0), |sent| (1, self.growth(sent)));
            assert_eq!(self.counted(id, |c| c.rx_packets), rx * frames.packets, "{id:?}");
            assert_eq!(self.counted(id, |c| c.rx_bytes), rx * frames.bytes, "{id:?}");
            assert_eq!(self.counted(id, |c| c.tx_packets), tx * frames.packets, "{id:?}");
            let bytes = (tx * frames.bytes).wrapping_add_signed(growth);
            assert_eq!(self.counted(id, |c| c.tx_bytes), bytes, "{id:?}");
            assert!(self.fate(id) <= frames.packets, "{id:?} counts twice");
            assert_eq!(self.counted(id, |c| c.slow.iter().sum()), 0);
        }
        let is_one = self.is_dropped_in() || !self.aim().is_flood();
        if is_one {
            let fate: u64 = self.ports().map(|id| self.fate(id)).sum();
            assert_eq!(fate, frames.packets, "sent once or dropped once");
        } else {
            self.ports().for_each(|id| self.a_flood_reaches_who_takes_it(id));
        }
    }

    /// Frames sent or dropped at a port.
    fn fate(&self, id: PortId) -> u64 {
        self.dropped(id) + self.counted(id, |c| c.tx_packets)
    }

    /// Whether a flood is meant for a port: whatever keeps its copy from leaving there is a loss.
    fn is_meant(&self, id: PortId) -> bool {
        let unwanted = match self.aim() {
            Aim::Unknown => PortFlags::NO_FLOOD,
            Aim::Multicast => PortFlags::NO_MCAST_FLOOD,
            _ => PortFlags::NO_BCAST_FLOOD,
        };
        let back = id == self.ingress && !self.has(id, PortFlags::HAIRPIN);
        let isolated = self.has(id, PortFlags::ISOLATED) && self.has(self.ingress, PortFlags::ISOLATED);
        let inside = !self.filters() || self.vlan().is_some_and(|vlan| self.part(vlan, id).is_some());
        let alone = self.before.config.flags.0 & 1 << 8 != 0;
        let nobody_there = alone && id == PortId::HOST && self.aim() == Aim::Unknown;
        !back && !isolated && inside && !nobody_there && !self.has(id, unwanted)
    }

    fn a_flood_reaches_who_takes_it(&self, id: PortId) {
        let frames = self.frames();
        let straight = !self.ingress.is_guest() && !id.is_guest() && id != self.ingress;
        if !self.is_up(id) {
            // Between host and wire a frame's own way leads there and nowhere else.
            let lost = straight && self.counted(id, |c| c.drops[DropReason::PortDown as usize]) > 0;
            assert_eq!(lost, straight, "{id:?} is down");
            return;
        }
        if !self.is_meant(id) {
            assert_eq!(self.fate(id), 0, "a flood is not meant for {id:?}");
            return;
        }
        assert_eq!(self.fate(id), frames.packets, "a flood leaves out {id:?}");
        let Port { mtu, ifindex, .. } = self.before.ports[&id];
        let untagged = self.filters() && self.vlan().and_then(|vlan| self.part(vlan, id)) == Some(true);
        let hops = self.would_hop(untagged);
        let long = frames.longest > mtu + 18;
        let counts = |reason: DropReason| self.counted(id, |c| c.drops[reason as usize]) > 0;
        let late = counts(DropReason::RateOut) && self.policy(id).rates[4].increment != 0;
        // Nobody hears whether a device takes the original.
        let original = straight || self.done.action == Action::Redirect(id);
        let refused = self.before.refusing.contains(&ifindex) && !original;
        let kept = hops || long || late || refused;
        assert_ne!(self.done.reached(id), kept, "{id:?}: {hops} {long} {late} {refused}");
        assert_eq!(counts(DropReason::DoubleTag), hops, "{id:?}");
        assert_eq!(counts(DropReason::TooBig), long && !hops, "{id:?}");
    }
}
