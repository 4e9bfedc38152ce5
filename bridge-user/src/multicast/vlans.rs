//! Who asks in which VLAN, and where routers are: each VLAN has queriers and routers of its own, as it has groups.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use bridge_common::{
    PortId,
    config::ConfigFlags,
    multicast::{GroupPolicy, RouterMode},
    vlan::PortSet,
};

use super::{GroupId, Ports, Querier, Question, Snooping, family};

/// By the order of [`family`].
const NOBODY: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

impl Snooping {
    /// The VLANs that there are, VLAN 0 alone where they are not filtered, and where of them this bridge is to ask if nobody else does.
    /// `link_local` is the address by which it asks for IPv6 groups; without one it does not.
    pub fn set_vlans(&mut self, now: u64, vlans: &BTreeMap<u16, bool>, link_local: Option<Ipv6Addr>) {
        if vlans.keys().ne(self.queriers.keys()) {
            self.queriers.retain(|vlan, _| vlans.contains_key(vlan));
            self.routers.retain(|(_, vlan), _| vlans.contains_key(vlan));
            self.groups.forget(|id, _| !vlans.contains_key(&id.vlan));
        }
        for (vlan, wanted) in vlans {
            let [v4, v6] = self.queriers.entry(*vlan).or_insert_with(|| {
                let mut both = [Querier::default(), Querier::default()];
                both.iter_mut().for_each(|querier| querier.begin(now));
                both
            });
            (v4.wanted, v4.address) = (*wanted, Some(NOBODY[0]));
            (v6.wanted, v6.address) = (*wanted, link_local.map(IpAddr::V6));
        }
    }

    /// The querier of an address's family in a VLAN; `None` for a VLAN that has just gone.
    pub(super) fn querier(&self, vlan: u16, like: IpAddr) -> Option<&Querier> {
        Some(&self.queriers.get(&vlan)?[family(like)])
    }

    /// The general queries that are due.
    pub(super) fn ask_all(&mut self, now: u64) -> Vec<Question> {
        let mut due = Vec::new();
        for (vlan, both) in &mut self.queriers {
            for (querier, group) in both.iter_mut().zip(NOBODY) {
                if querier.is_due(now, &self.timers) {
                    due.push(GroupId { vlan: *vlan, group });
                }
            }
        }
        due.into_iter().map(|id| self.question(id, Vec::new(), self.timers.response)).collect()
    }

    /// Where groups are trusted since somebody asks who is in them, by the unspecified address of a family; and the routers there.
    pub fn asked(&self, now: u64) -> BTreeMap<GroupId, Ports> {
        let all = self.queriers.iter().flat_map(|(vlan, both)| {
            both.iter()
                .zip(NOBODY)
                .filter(|(querier, _)| querier.is_known(now))
                .map(|(_, group)| (*vlan, group))
        });
        all.map(|(vlan, group)| (GroupId { vlan, group }, self.routers_of(Some(vlan)))).collect()
    }

    /// The flags that say of which families somebody asks, in any VLAN.
    pub fn known(&self, now: u64) -> ConfigFlags {
        let [v4, v6] = [0, 1].map(|at| self.queriers.values().any(|both| both[at].is_known(now)));
        ConfigFlags::default().with(ConfigFlags::MCAST_QUERIER_V4, v4).with(ConfigFlags::MCAST_QUERIER_V6, v6)
    }

    /// The ports behind which there are routers, in any VLAN, and those of them where the operator says so.
    pub fn routers(&self) -> Ports {
        self.routers_of(None)
    }

    fn routers_of(&self, vlan: Option<u16>) -> Ports {
        let learned = self.routers.keys().filter(|(_, at)| vlan.is_none_or(|vlan| vlan == *at));
        let ports = learned.fold(PortSet::default(), |set, (port, _)| set.with(*port, true));
        let routers = Ports { ports, permanent: PortSet::default() };
        self.policies.iter().fold(routers, |routers, (port, policy)| as_said(routers, *port, policy))
    }
}

/// What an operator says of a port and routers goes before what was heard there.
fn as_said(mut routers: Ports, port: PortId, policy: &GroupPolicy) -> Ports {
    match RouterMode::from_raw(policy.router) {
        RouterMode::Learned => {}
        RouterMode::Disabled => routers.ports = routers.ports.with(port, false),
        RouterMode::Permanent => {
            routers.ports = routers.ports.with(port, true);
            routers.permanent = routers.permanent.with(port, true);
        }
    }
    routers
}
