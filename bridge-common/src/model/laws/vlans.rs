//! VLANs: nothing leaves its own, and each copy has the tag that it is to have.

use std::vec::Vec;

use super::case::{Aim, Case, tags};
use crate::{DropReason, model::Sent, vlan::Retag};

impl Case<'_> {
    pub fn vlans(&self) {
        for sent in &self.done.sent {
            self.it_stays_in_its_vlan(sent);
            self.its_tag_is_right(sent);
        }
        self.each_vlan_counts_its_own();
    }

    /// The VLAN by which a frame was forwarded, if by any.
    fn path(&self) -> Option<u16> {
        (self.filters() && self.aim() != Aim::LinkLocal).then(|| self.vlan()).flatten()
    }

    fn it_stays_in_its_vlan(&self, sent: &Sent) {
        if self.filters() && self.aim() != Aim::LinkLocal {
            let vlan = self.vlan().expect("sent, and of no VLAN");
            assert!(self.part(vlan, sent.port).is_some(), "sent to {:?}, which is not in {vlan}", sent.port);
        }
    }

    fn its_tag_is_right(&self, sent: &Sent) {
        let Some(vlan) = self.path() else {
            assert_eq!(sent.retag, Retag::Keep, "a tag of which nobody asked was changed");
            return;
        };
        let came = self.tags().expect("sent, and not whole");
        let out = changed(&self.arrival.bytes, sent.retag, vlan);
        let left = tags(&out).expect("what leaves is whole");
        if self.part(vlan, sent.port) == Some(true) {
            assert_eq!(left, [], "a tag shows where there must be none");
            return;
        }
        let priority = came.first().map_or(0, |tci| tci & 0xf000);
        assert_eq!(left.first(), Some(&(priority | vlan)), "not its VLAN's tag");
        assert_eq!(left[1..], came[1.min(came.len())..], "an inner tag was changed");
        let behind = |frame: &[u8], tags: usize| frame.get(12 + 4 * tags..).unwrap_or_default().to_vec();
        assert_eq!(behind(&out, left.len()), behind(&self.arrival.bytes, came.len()));
        assert_eq!(out[..12], self.arrival.bytes[..12]);
    }

    /// Without its tag a frame would show another one.
    pub fn would_hop(&self, untagged: bool) -> bool {
        untagged && self.tags().is_some_and(|tags| tags.len() > 1)
    }

    /// Bytes by which a copy is longer than what came.
    pub fn growth(&self, sent: &Sent) -> i64 {
        let per_frame = match sent.retag {
            Retag::Keep | Retag::Rewrite => 0,
            Retag::Push => 4,
            Retag::Pop => -4,
        };
        per_frame * self.frames().packets as i64
    }

    fn each_vlan_counts_its_own(&self) {
        let frames = self.frames();
        let refused = |reason: &DropReason| self.counted(self.ingress, |c| c.drops[*reason as usize]) > 0;
        let before_it_entered = [
            DropReason::MacGuard,
            DropReason::IpGuard,
            DropReason::ArpGuard,
            DropReason::NdGuard,
            DropReason::DhcpServer,
            DropReason::Ra,
            DropReason::RateIn,
        ];
        let entered = !self.is_refused() && !before_it_entered.iter().any(refused);
        for (vid, after) in &self.after.vlan_counters {
            let before = self.before.vlan_counters.get(vid).copied().unwrap_or_default();
            let own = self.path() == Some(*vid);
            let (rx, tx) = (u64::from(own && entered), if own { self.done.sent.len() as u64 } else { 0 });
            assert_eq!(after.rx_packets - before.rx_packets, rx * frames.packets, "received in {vid}");
            assert_eq!(after.rx_bytes - before.rx_bytes, rx * frames.bytes, "received in {vid}");
            assert_eq!(after.tx_packets - before.tx_packets, tx * frames.packets, "sent in {vid}");
            let growth: i64 = self.done.sent.iter().map(|sent| self.growth(sent)).sum();
            let expected = tx as i64 * frames.bytes as i64 + if own { growth } else { 0 };
            assert_eq!((after.tx_bytes - before.tx_bytes) as i64, expected, "sent in {vid}");
        }
        if let Some(vlan) = self.path().filter(|_| entered) {
            assert!(self.after.vlan_counters.contains_key(&vlan), "nobody counts in {vlan}");
        }
    }
}

/// A frame after a change of its tag, by a sum over bytes that neither program nor model does.
pub fn changed(frame: &[u8], retag: Retag, vlan: u16) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    let [v0, v1] = vlan.to_be_bytes();
    match retag {
        Retag::Keep => frame.to_vec(),
        Retag::Pop => [addresses, &rest[4..]].concat(),
        Retag::Push => [addresses, &[0x81, 0x00, v0, v1], rest].concat(),
        Retag::Rewrite => [addresses, &rest[..2], &[rest[2] & 0xf0 | v0, v1], &rest[4..]].concat(),
    }
}
