//! A flood in XDP: all copies or none.

use std::vec::Vec;

use super::{Action, Done, Model, Sent};
use crate::{
    Decision, PortFlags, PortId, Ports as _, Question, SlowReason,
    config::ConfigFlags,
    forward::Spread,
    guard,
    port::LINK_OVERHEAD,
    vlan::{Membership, Retag, Vlans as _},
};

impl Model {
    /// XDP's answer to a flood. It has an answer where nobody who may get a copy of such a flood from a port like this one is the host, or
    /// takes no XDP, or has a limit, or would get another copy than the others.
    pub(super) fn spread(
        &mut self,
        question: &Question<'_>,
        decision: &Decision,
        packet: &&[u8],
    ) -> Result<Done, SlowReason> {
        let (ingress, tag) = (question.ingress, question.frame.tag);
        // Where groups are snooped, TC asks who is in them.
        let asks = self.config.snoops() && decision.spread != Spread::Unknown;
        if asks || tag.is_present() && (tag.vid() == 0 || tag.is_double()) {
            return Err(SlowReason::Flood);
        }
        let host_is_up = self.port(PortId::HOST).is_some_and(|host| host.is_up());
        if ingress == PortId::UPLINK && !host_is_up {
            return Err(SlowReason::Flood);
        }
        let mut copies = Vec::new();
        for id in (0..self.config.ports_end).map(PortId) {
            let Some(retag) = self.copy_for(id, question, decision) else { continue };
            let port = self.port(id).unwrap_or_default();
            let longest = question.frame.frames.longest + if retag == Retag::Push { 4 } else { 0 };
            if id == PortId::HOST
                || !port.flags.has(PortFlags::XDP)
                || port.flags.has(PortFlags::RATE_OUT)
                || self.refusing.contains(&port.ifindex)
                || longest > port.mtu + LINK_OVERHEAD
            {
                return Err(SlowReason::Flood);
            }
            copies.push(Sent { port: id, retag, vlan: decision.vlan });
        }
        let alike = copies.windows(2).all(|pair| pair[0].retag == pair[1].retag);
        if copies.is_empty() || !alike {
            return Err(SlowReason::Flood);
        }
        if self.guard && decision.from.has(PortFlags::GUARD) {
            guard::prove(packet)?;
        }
        if !decision.from.has(PortFlags::HAIRPIN) {
            copies.retain(|copy| copy.port != ingress);
        }
        for copy in &copies {
            self.depart(question, decision, copy.port, copy.retag);
        }
        Ok(Done { action: Action::Spread, sent: copies })
    }

    /// What is done to the tag of the copy that a port gets, if it may get one; for the ingress port, as if the frame had come from another.
    fn copy_for(&self, id: PortId, question: &Question<'_>, decision: &Decision) -> Option<Retag> {
        let port = self.port(id).filter(|port| port.is_up())?;
        let unwanted = match decision.spread {
            Spread::Unknown if self.config.flags.has(ConfigFlags::HOST_ALONE) && id == PortId::HOST => {
                return None;
            }
            Spread::Unknown => PortFlags::NO_FLOOD,
            Spread::Multicast => PortFlags::NO_MCAST_FLOOD,
            _ => PortFlags::NO_BCAST_FLOOD,
        };
        let both_isolated = decision.from.has(PortFlags::ISOLATED) && port.flags.has(PortFlags::ISOLATED);
        let back_to_wire = id == PortId::UPLINK && question.ingress == PortId::UPLINK;
        if both_isolated || back_to_wire || port.flags.has(unwanted) {
            return None;
        }
        if !self.config.filters_vlans() {
            return Some(Retag::Keep);
        }
        match (self.membership(decision.vlan, id), question.frame.tag.is_present()) {
            (Membership::None, _) => None,
            (Membership::Untagged, true) => Some(Retag::Pop),
            (Membership::Tagged, false) => Some(Retag::Push),
            _ => Some(Retag::Keep),
        }
    }
}
