//! Who gets copies of floods: whether the host does, and where XDP may make them all.

use bridge_common::{PortId, config::ConfigFlags, record::Undo};

use super::Bridge;
use crate::{Result, link::Link};

/// More devices than this on a port, and the kernel cannot leave that port out of a redirect to many: it has room for so many on its stack,
/// and before the fix of CVE-2026-23359 writes past it (`get_upper_ifindexes`).
const UPPERS: usize = 8;

impl Bridge {
    /// Works out who gets copies, if anything that it depends on was changed since. Until then floods are TC's.
    pub(super) fn settle_floods(&mut self) -> Result<()> {
        if !self.hands.tables.are_floods_outdated()? {
            return Ok(());
        }
        let links = self.hands.links.list()?;
        let crowded = self.members.values().any(|member| {
            let on_it = |link: &&Link| link.other_end.is_some_and(|end| end.index == member.ifindex);
            member.id.is_guest() && links.iter().filter(on_it).count() > UPPERS
        });
        Ok(self.hands.tables.settle_floods(!crowded)?)
    }

    /// Something has come to lie on a device, of which there may be too many now.
    pub(super) fn may_be_crowded(&mut self, link: &Link) -> Result<()> {
        let on_port = link.other_end.is_some_and(|end| self.port_at(end.index).is_some_and(PortId::is_guest));
        if on_port { Ok(self.hands.tables.outdate_floods()?) } else { Ok(()) }
    }

    /// Looks whether a station other than the host may be behind the host's port and silent: then unicasts to nobody known are for it too.
    /// As with the Linux bridge, whose own device gets them while it is promiscuous, which a macvlan on it makes it.
    pub(super) fn look_behind_host(&mut self) -> Result<()> {
        let Some(uplink) = self.members.get(&PortId::UPLINK) else { return Ok(()) };
        let (index, ours) = (uplink.ifindex, u32::from(uplink.record.undo.has(Undo::PROMISC)));
        let Some(link) = self.hands.links.by_index(index)? else { return Ok(()) };
        let others = self.hands.links.unicast_addresses(index)?;
        let alone = link.promiscuity <= ours && others.iter().all(|mac| Some(*mac) == link.mac);
        let mut config = self.hands.tables.config();
        let flags = config.flags.with(ConfigFlags::HOST_ALONE, alone);
        if flags != config.flags {
            tracing::info!(alone, "the host, and what may be behind it");
            config.flags = flags;
            self.hands.tables.set_config(config)?;
        }
        Ok(())
    }
}
