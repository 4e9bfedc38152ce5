//! Ports that end with their devices. The next device of such a name is another guest's, as far as anybody knows.

use bridge_common::{
    PortId,
    record::{Origin, PortRecord},
};

use super::{Bridge, checks, lend::is_lent};
use crate::{Result, control::protocol::HookChoice, link::InterfaceName, policy::PortOptions};

/// Whether a port ends with its device. What the configuration names waits for its return.
pub(super) fn ends_with_device(record: &PortRecord) -> bool {
    let origin = record.origin;
    let theirs = origin.has(Origin::ATTACHED) || origin.has(Origin::TRANSIENT);
    is_lent(record) || theirs && !origin.has(Origin::CONFIGURED)
}

impl Bridge {
    /// Attaches a device for as long as it is there. One that is a port already stays what it is.
    pub(super) fn add_transient(
        &mut self,
        name: &InterfaceName,
        hook: HookChoice,
        origin: Origin,
        policy: &PortOptions,
    ) -> Result<()> {
        self.bury(name)?;
        let link = checks::existing(name, &self.hands.links)?;
        if self.port_at(link.index).is_some() {
            return Ok(());
        }
        if self.absent.values().any(|record| record.name() == name.as_str()) {
            // The port has waited for it. The kernel's message is on its way.
            return self.link_changed(&link);
        }
        let origin = origin.with(Origin::TRANSIENT, true);
        self.take_in_and_choose(|bridge| bridge.add_link(&link, hook, origin, policy))
    }

    /// A successor may be here before the kernel's message of the end of the device whose name it has.
    fn bury(&mut self, name: &InterfaceName) -> Result<()> {
        let member = self.members.values().find(|member| member.name == *name);
        let Some((id, ifindex)) = member.map(|member| (member.id, member.ifindex)) else { return Ok(()) };
        match self.hands.links.by_index(ifindex)? {
            Some(_) => Ok(()),
            None => self.vanished(id),
        }
    }

    /// Whether the device of a record that a former controller left is gone.
    pub(super) fn has_vanished(&self, id: PortId) -> Result<bool> {
        let ifindex = self.hands.tables.port(id)?.ifindex;
        Ok(ifindex != 0 && self.hands.links.by_index(ifindex)?.is_none())
    }

    /// Forgets a port whose device went while no controller was here.
    pub(super) fn forget_vanished(&mut self, id: PortId) -> Result<()> {
        let ifindex = self.hands.tables.port(id)?.ifindex;
        self.hands.forget_device(id, ifindex)?;
        self.forget_in_groups(id)?;
        self.hands.forget(id)?;
        Ok(self.hands.tables.clear_rules(id)?)
    }
}
