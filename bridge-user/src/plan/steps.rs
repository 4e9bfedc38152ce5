//! What taking a device in as a port consists of, step by step, each with its undo.
//!
//! A port's steps follow from its record alone, so letting it go is the same list backwards: also for a
//! controller that only found the record.

use bridge_common::{
    Port, PortFlags, PortId,
    record::{HookChoice, Origin, PortRecord, Undo},
};

use super::act::{Act, Step, backwards};
use crate::{
    datapath::Slot,
    link::{InterfaceName, Link},
};

/// A device as a port: all that its steps depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its number.
    pub id: PortId,
    /// Its name, now.
    pub name: InterfaceName,
    /// Its interface index.
    pub ifindex: u32,
    /// Its MTU, in bytes.
    pub mtu: u32,
    /// Whether the device was set up.
    pub up: bool,
    /// Whether it has a carrier as well. Without one a port forwards nothing, as in the Linux bridge
    /// (`br_port_carrier_check`): a TAP that nobody has open would only drop.
    pub carrier: bool,
    /// What was and is to be changed about it.
    pub record: PortRecord,
    /// The XDP layer, if it has one: the slot.
    pub xdp: Option<Slot>,
    /// It can bring in unfinished checksums.
    pub guard: bool,
}

/// An ethtool feature that hides frames, or parts of them, from XDP, and its bit in a record.
pub const FEATURES: [(&str, Undo); 3] = [
    ("rx-vlan-hw-parse", Undo::RX_VLAN_OFFLOAD),
    ("rx-vlan-filter", Undo::RX_VLAN_FILTER),
    ("rx-lro", Undo::LRO),
];

impl Member {
    /// A device that is to become a port. Which features the XDP layer turns off is found out when it
    /// comes on.
    pub fn new(
        id: PortId,
        link: &Link,
        origin: Origin,
        hook: HookChoice,
        ipv6_disabled: Option<bool>,
    ) -> Self {
        let mut record = PortRecord::named(link.name.as_str());
        record.hook = hook as u16;
        record.origin = origin;
        record.undo = if id == PortId::UPLINK {
            Undo::default().with(Undo::PROMISC, !link.promiscuous)
        } else {
            let created = origin.has(Origin::TAP);
            Undo::default()
                .with(Undo::CREATED, created)
                .with(Undo::WAS_UP, link.up && !created)
                .with(Undo::IPV6, ipv6_disabled == Some(false))
        };
        Self {
            id,
            name: link.name.clone(),
            ifindex: link.index,
            mtu: link.mtu,
            up: link.up,
            carrier: link.carrier,
            record,
            xdp: None,
            guard: false,
        }
    }

    /// A device as it is written down, for whoever finds it: what was changed about it, and whether it has the
    /// XDP layer, is not to be read off the device.
    pub fn found(id: PortId, link: &Link, record: &PortRecord, xdp_attached: bool) -> Self {
        let mut member = Self::new(id, link, record.origin, HookChoice::from_raw(record.hook), None);
        member.record.undo = record.undo;
        // A controller may have died between a feature and the program.
        let begun = xdp_attached || FEATURES.iter().any(|(_, bit)| record.undo.has(*bit));
        member.xdp = begun.then_some(Slot::Xdp);
        member
    }

    /// Whether frames pass.
    pub fn forwards(&self) -> bool {
        self.up && self.carrier
    }

    /// The facts for the programs, with or without the XDP layer.
    pub fn facts(&self, xdp: bool) -> Port {
        let flags = PortFlags::default()
            .with(PortFlags::UP, self.forwards())
            .with(PortFlags::GUARD, self.guard)
            .with(PortFlags::XDP, xdp);
        Port { ifindex: self.ifindex, mtu: self.mtu, flags }
    }

    /// The facts of [`PortId::HOST`], which is reached through this device, with a carrier or without. What the host takes is not for
    /// the device's MTU to say, as in the Linux bridge (`br_pass_frame_up`).
    pub fn host_facts(&self) -> Port {
        Port {
            ifindex: self.ifindex,
            mtu: u16::MAX.into(),
            flags: PortFlags::default().with(PortFlags::UP, self.up),
        }
    }

    /// Everything that makes the device a port, the XDP layer included.
    pub fn steps(&self) -> Vec<Step> {
        if self.id == PortId::UPLINK { self.uplink_steps() } else { self.guest_steps() }
    }

    /// Everything that makes it what it was before.
    pub fn release(&self) -> Vec<Act> {
        backwards(self.steps())
    }

    /// Everything that takes our programs off a device that is somebody else's now: whether it is up, and
    /// whether it is there at all, is not ours to say any more.
    pub fn hand_over(&self) -> Vec<Act> {
        let mut acts = self.release();
        acts.retain(|act| !matches!(act, Act::Down(_) | Act::Up(_) | Act::Destroy(_)));
        acts
    }

    fn uplink_steps(&self) -> Vec<Step> {
        let Self { id, name, ifindex, .. } = self;
        let mut steps = vec![Step::new(Act::Record(*id, self.record), Act::Forget(*id))];
        if self.record.undo.has(Undo::PROMISC) {
            steps
                .push(Step::new(Act::Promiscuous(name.clone(), true), Act::Promiscuous(name.clone(), false)));
        }
        steps.push(Step::new(
            Act::Facts(PortId::HOST, self.host_facts()),
            Act::Facts(PortId::HOST, Port::default()),
        ));
        steps.push(Step::new(Act::Facts(*id, self.facts(false)), Act::NoFacts(*id, *ifindex)));
        steps.extend(self.clsact());
        // The host's frames first: what comes in from the wire may be answered at once.
        steps.push(self.attach(Slot::Egress));
        steps.push(self.attach(Slot::Ingress));
        steps.push(self.watch_devices());
        steps.extend(self.xdp_steps());
        steps
    }

    /// The tracepoint of what devices refuse, once for the bridge.
    fn watch_devices(&self) -> Step {
        let host = PortId::HOST;
        Step::new(Act::Attach(host, Slot::Xmit, self.name.clone(), 0), Act::Detach(host, Slot::Xmit, 0))
    }

    fn guest_steps(&self) -> Vec<Step> {
        let Self { id, name, ifindex, .. } = self;
        let undo = self.record.undo;
        let mut steps = vec![Step::new(Act::Record(*id, self.record), Act::Forget(*id))];
        if undo.has(Undo::CREATED) {
            steps.push(Step::only_undo(Act::Destroy(name.clone())));
        } else if undo.has(Undo::WAS_UP) {
            steps.push(Step::only_undo(Act::Up(name.clone())));
        }
        if undo.has(Undo::IPV6) {
            steps.push(Step::new(Act::Ipv6(name.clone(), false), Act::Ipv6(name.clone(), true)));
        }
        steps.push(Step::new(Act::Facts(*id, self.facts(false)), Act::NoFacts(*id, *ifindex)));
        steps.extend(self.clsact());
        steps.push(self.attach(Slot::Ingress));
        steps.extend(self.xdp_steps());
        if self.record.origin.has(Origin::ATTACHED) {
            steps.push(Step { act: Some(Act::Free(name.clone())), undo: None });
        }
        // Up last, and down first: without its program it would be a plain interface of the host.
        steps.push(Step::new(Act::Up(name.clone()), Act::Down(name.clone())));
        steps
    }

    /// The XDP layer alone.
    pub fn xdp_steps(&self) -> Vec<Step> {
        let Some(slot) = self.xdp else { return Vec::new() };
        let Self { id, name, ifindex, .. } = self;
        let mut steps = Vec::new();
        for (feature, bit) in FEATURES {
            if self.record.undo.has(bit) {
                steps.push(Step::new(
                    Act::Feature(name.clone(), feature, false),
                    Act::Feature(name.clone(), feature, true),
                ));
            }
        }
        steps.push(self.attach(slot));
        steps.push(Step::new(Act::Enter(*id, *ifindex), Act::Leave(*id)));
        steps.push(Step::new(Act::Facts(*id, self.facts(true)), Act::Facts(*id, self.facts(false))));
        steps
    }

    fn clsact(&self) -> Option<Step> {
        let step = || Step::new(Act::Clsact(self.name.clone(), true), Act::Clsact(self.name.clone(), false));
        self.record.undo.has(Undo::CLSACT).then(step)
    }

    fn attach(&self, slot: Slot) -> Step {
        let Self { id, name, ifindex, .. } = self;
        Step::new(Act::Attach(*id, slot, name.clone(), *ifindex), Act::Detach(*id, slot, *ifindex))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: PortId, undo: Undo, xdp: Option<Slot>) -> Member {
        let mut record = PortRecord::named("vm1");
        record.undo = undo;
        let name = "vm1".parse().unwrap();
        Member { id, name, ifindex: 7, mtu: 1500, up: true, carrier: true, record, xdp, guard: true }
    }

    fn place(acts: &[Option<Act>], wanted: impl Fn(&Act) -> bool) -> usize {
        acts.iter().position(|act| act.as_ref().is_some_and(&wanted)).unwrap()
    }

    #[test]
    fn a_guest_is_up_only_while_its_programs_are_attached() {
        let member = member(PortId(2), Undo::CREATED.with(Undo::IPV6, true), Some(Slot::Xdp));
        let forth: Vec<_> = member.steps().into_iter().map(|step| step.act).collect();
        let up = place(&forth, |act| matches!(act, Act::Up(_)));
        assert!(place(&forth, |act| matches!(act, Act::Attach(_, Slot::Ingress, ..))) < up);
        assert!(place(&forth, |act| matches!(act, Act::Attach(_, Slot::Xdp, ..))) < up);
        assert!(place(&forth, |act| matches!(act, Act::Ipv6(_, false))) < up);
        let back: Vec<_> = member.release().into_iter().map(Some).collect();
        assert_eq!(place(&back, |act| matches!(act, Act::Down(_))), 0);
        assert!(matches!(back.last(), Some(Some(Act::Forget(_)))), "the record goes last");
    }

    #[test]
    fn the_record_comes_first_so_that_a_crash_can_be_undone() {
        for id in [PortId::UPLINK, PortId(9)] {
            let steps = member(id, Undo(u32::MAX), Some(Slot::Xdp)).steps();
            assert!(matches!(steps[0].act, Some(Act::Record(..))));
            assert!(steps.iter().all(|step| step.undo.is_some()), "every step has an undo");
        }
    }

    #[test]
    fn what_has_a_master_is_left_up() {
        let mut member = member(PortId(2), Undo::WAS_UP.with(Undo::IPV6, true), Some(Slot::Xdp));
        member.record.origin = Origin::ATTACHED;
        let back = member.hand_over();
        assert!(!back.iter().any(|act| matches!(act, Act::Up(_) | Act::Down(_))), "{back:?}");
        assert!(back.iter().any(|act| matches!(act, Act::Detach(_, Slot::Ingress, _))));
        assert!(back.iter().any(|act| matches!(act, Act::Ipv6(_, true))));
        let forth: Vec<_> = member.steps().into_iter().map(|step| step.act).collect();
        let free = place(&forth, |act| matches!(act, Act::Free(_)));
        assert_eq!(free + 1, place(&forth, |act| matches!(act, Act::Up(_))));
    }

    #[test]
    fn only_what_we_changed_is_changed_back() {
        let back = member(PortId::UPLINK, Undo::default(), Some(Slot::Xdp)).release();
        assert!(!back.iter().any(|act| matches!(act, Act::Promiscuous(..) | Act::Feature(..) | Act::Up(_))));
        let back = member(PortId::UPLINK, Undo::PROMISC.with(Undo::LRO, true), Some(Slot::Xdp)).release();
        assert!(back.contains(&Act::Promiscuous("vm1".parse().unwrap(), false)));
        assert!(back.contains(&Act::Feature("vm1".parse().unwrap(), "rx-lro", true)));
    }
}
