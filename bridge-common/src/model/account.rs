//! Counting, as the programs do.

use super::Model;
use crate::{
    Decision, DropReason, PortId, Ports as _, Question, forward::departed, frame::Segments, vlan::Retag,
};

impl Model {
    /// A frame, or a copy, left.
    pub(super) fn depart(
        &mut self,
        question: &Question<'_>,
        decision: &Decision,
        egress: PortId,
        retag: Retag,
    ) {
        let frames = question.frame.frames.retagged(retag);
        let counters = self.counters(egress);
        counters.tx_packets += frames.packets;
        counters.tx_bytes += frames.bytes;
        if self.vlans.contains_key(&decision.vlan) {
            let counters = self.vlan_counters.entry(decision.vlan).or_default();
            counters.tx_packets += frames.packets;
            counters.tx_bytes += frames.bytes;
        }
        let port = self.port(egress).unwrap_or_default();
        departed(question, egress, port.flags, self);
    }

    pub(super) fn count_received(&mut self, port: PortId, frames: &Segments) {
        let counters = self.counters(port);
        counters.rx_packets += frames.packets;
        counters.rx_bytes += frames.bytes;
    }

    pub(super) fn count_vlan_received(&mut self, vlan: u16, frames: &Segments) {
        if self.vlans.contains_key(&vlan) {
            let counters = self.vlan_counters.entry(vlan).or_default();
            counters.rx_packets += frames.packets;
            counters.rx_bytes += frames.bytes;
        }
    }

    pub(super) fn count_drop(&mut self, port: PortId, reason: DropReason, frames: &Segments) {
        self.counters(port).drops[reason as usize] += frames.packets;
    }
}
