//! Groups, over a `BTreeMap`.

use super::Model;
use crate::{
    Decision, Groups, PortId, Question,
    forward::Spread,
    multicast::{EVERYONE, FIRST_SET, GroupKey, NOT_SHOWN, look},
    vlan::PortSet,
};

impl Groups for Model {
    fn set(&self, key: &GroupKey) -> Option<u32> {
        self.groups.keys().position(|group| group == key).map(|at| at as u32 + FIRST_SET)
    }

    fn has(&self, set: u32, port: PortId) -> bool {
        let group = set.checked_sub(FIRST_SET).and_then(|at| self.groups.values().nth(at as usize));
        group.is_some_and(|ports: &PortSet| ports.has(port))
    }
}

impl Model {
    /// The sets of ports that a flood is for.
    pub(super) fn look_for_group(
        &mut self,
        question: &Question<'_>,
        decision: &Decision,
        packet: &&[u8],
    ) -> u32 {
        if !self.config.snoops() || decision.spread != Spread::Multicast {
            return EVERYONE;
        }
        let look = look(packet, question.ingress, decision.vlan, self.config.flags, self);
        if look.shown != NOT_SHOWN {
            self.shown.push((question.ingress, look.shown));
        }
        look.sets
    }
}
