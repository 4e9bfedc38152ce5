//! Multicast queries of the bridge's own: where it asks, and how they leave.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use bridge_common::{PortId, Vlan, config::ConfigFlags, vlan::Membership};

use super::Bridge;
use crate::{
    Result,
    link::FrameSender,
    multicast::{Question, frame},
};

impl Bridge {
    /// Sends a query in its VLAN, if the host is in it.
    pub(super) fn send_query(&mut self, question: &Question) -> Result<()> {
        let from = match (question.group, self.multicast.link_local) {
            (IpAddr::V4(_), _) => Ipv6Addr::UNSPECIFIED,
            (IpAddr::V6(_), Some(from)) => from,
            (IpAddr::V6(_), None) => return Ok(()),
        };
        let Some(uplink) = self.members.get(&PortId::UPLINK) else { return Ok(()) };
        let (ifindex, config) = (uplink.ifindex, self.hands.tables.config());
        let Some(vlan) = self.query_tag(question.vlan)? else { return Ok(()) };
        let sender = match self.multicast.sender.take() {
            Some(sender) => sender,
            None => FrameSender::open()?,
        };
        let frame = frame(&Question { vlan, ..question.clone() }, config.uplink.mac(), from);
        if let Err(error) = sender.send(ifindex, &frame) {
            // The uplink is down, say. There is a next query.
            tracing::debug!(%error, "a multicast query was not sent");
        }
        self.multicast.sender = Some(sender);
        Ok(())
    }

    /// The tag with which the host sends in a VLAN, or that it sends without one; `None` where it is not in it.
    fn query_tag(&self, vlan: Option<u16>) -> Result<Option<Option<u16>>> {
        let Some(vid) = vlan.filter(|vid| *vid != 0) else { return Ok(Some(None)) };
        if self.hands.tables.vlans().get(vid)?.membership(PortId::HOST) == Membership::None {
            return Ok(None);
        }
        let pvid = self.hands.tables.policy(PortId::HOST)?.flags.pvid();
        Ok(Some((vid != pvid).then_some(vid)))
    }

    /// The VLANs where groups are followed, VLAN 0 where they are not filtered, and where of them the bridge is to ask: it does so as
    /// the host, in the host's VLANs.
    pub(super) fn snooped_vlans(&self) -> Result<BTreeMap<u16, bool>> {
        let config = self.hands.tables.config();
        let asks = config.flags.has(ConfigFlags::MCAST_OWN_QUERIER);
        if !config.filters_vlans() {
            return Ok([(0, asks)].into());
        }
        let vlans = self.hands.tables.vlans().all()?;
        let of_host = |vlan: &Vlan| vlan.membership(PortId::HOST) != Membership::None;
        Ok(vlans.into_iter().map(|(vid, vlan)| (vid, asks && of_host(&vlan))).collect())
    }
}
