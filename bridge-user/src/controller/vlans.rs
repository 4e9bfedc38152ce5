//! Ports come into VLANs and leave them.
//!
//! Every change goes in an order in which no frame is lost that would pass before and after it: a port is a member before a
//! VLAN becomes its PVID, all ports are members before filtering is on, and what is taken away goes last.

use std::collections::BTreeSet;

use bridge_common::{
    PortFlags, PortId,
    vlan::{DEFAULT_VLAN, Membership},
};

use super::Bridge;
use crate::{
    Refusal, Result,
    control::{Event, protocol::VlanEvent},
    vlan::{PortVlan, Vids},
};

impl Bridge {
    /// Puts a port into VLANs. The first of the bridge turns filtering on.
    pub(super) fn vlan_add(&mut self, ifname: &str, vlan: &PortVlan) -> Result<()> {
        let id = self.port_or_host(ifname)?;
        let filters = self.filters_vlans();
        // Where there are VLANs and filtering is off, somebody has turned it off.
        let first = !filters && self.hands.tables.vlans().all()?.is_empty();
        if first {
            self.give_default_vlans()?;
        }
        self.join(id, vlan)?;
        self.tell(Event::VlanAdded(self.vlan_event(id, vlan)));
        if first {
            self.turn_vlan_filtering(true)?;
            self.notes.push(
                "VLAN filtering is on; ports without VLANs of their own are in VLAN 1, untagged".into(),
            );
        } else if !filters {
            self.notes
                .push("VLAN filtering is off: this counts once it is on (xbr vlan filtering on)".into());
        }
        Ok(())
    }

    /// Takes a port out of VLANs.
    pub(super) fn vlan_del(&mut self, ifname: &str, vids: Vids) -> Result<()> {
        let id = self.port_or_host(ifname)?;
        let parts = self.hands.tables.vlans().all()?;
        let parts = parts.into_iter().filter(|(vid, vlan)| vids.has(*vid) && vlan.members.has(id));
        let parts: Vec<_> = parts.map(|(vid, _)| vid).collect();
        if parts.is_empty() {
            let hint = format!("xbr vlan show dev {ifname} lists those that it is in");
            return Err(Refusal::new(format!("{ifname} is not in VLAN {vids}"), hint).into());
        }
        let pvid = self.hands.tables.policy(id)?.flags.pvid();
        let own = vids.has(DEFAULT_VLAN) || vids.has(pvid);
        self.set_pvid(id, if vids.has(pvid) { 0 } else { pvid }, own)?;
        self.leave(id, &parts)?;
        self.tell(Event::VlanDeleted(VlanEvent { ifname: ifname.into(), vlan: vids, flags: Vec::new() }));
        Ok(())
    }

    /// Turns filtering on or off.
    pub(super) fn set_vlan_filtering(&mut self, on: bool) -> Result<()> {
        if self.filters_vlans() == on {
            return Ok(());
        }
        if on {
            self.give_default_vlans()?;
        }
        self.turn_vlan_filtering(on)
    }

    /// The last step to filtering, and the first away from it: the ports' VLANs are as they should be.
    fn turn_vlan_filtering(&mut self, on: bool) -> Result<()> {
        self.translate_static(on)?;
        let mut config = self.hands.tables.config();
        config.flags = config.flags.with(bridge_common::config::ConfigFlags::VLAN_FILTERING, on);
        self.hands.tables.set_config(config)?;
        // What was learned without VLANs says nothing about them, and the other way round.
        self.delete_where(|row| (row.key.vlan == 0) == on)?;
        self.settle_static(on)?;
        self.ask_all_anew()?;
        tracing::info!(on, "VLAN filtering");
        self.tell(Event::VlanFiltering { on });
        Ok(())
    }

    pub(super) fn filters_vlans(&self) -> bool {
        self.hands.tables.config().filters_vlans()
    }

    /// What the settings say of VLANs, once every port is there. What they do not speak of stays as it was found.
    pub(super) fn apply_vlan_settings(&mut self) -> Result<()> {
        let ids =
            [PortId::HOST].into_iter().chain(self.members.keys().copied()).chain(self.absent.keys().copied());
        for id in ids.collect::<Vec<_>>() {
            if let Some(vlans) = self.settings.vlans_of(id, &self.name_of(id)).map(<[_]>::to_vec) {
                self.replace_vlans(id, &vlans)?;
            }
        }
        if let Some(on) = self.settings.wants_vlan_filtering() {
            self.set_vlan_filtering(on)?;
        }
        // Tables of another layout may have lost them.
        if self.filters_vlans() {
            self.give_default_vlans()?;
            // The former controller may have died between a static station and what tells of it in every VLAN.
            self.settle_static(true)?;
        }
        Ok(())
    }

    /// Gives a port the VLANs that it begins with, before its first frame.
    pub(super) fn give_vlans(&mut self, id: PortId, name: &str) -> Result<()> {
        match self.settings.vlans_of(id, name).map(<[_]>::to_vec) {
            Some(vlans) => self.replace_vlans(id, &vlans),
            None if self.filters_vlans() => self.give_default_vlan(id),
            None => Ok(()),
        }
    }

    fn give_default_vlans(&mut self) -> Result<()> {
        let records = self.hands.tables.records()?;
        let ids = records.into_iter().map(|(id, _)| id).chain([PortId::HOST]);
        ids.collect::<Vec<_>>().into_iter().try_for_each(|id| self.give_default_vlan(id))
    }

    /// The default VLAN, untagged, for a port of which the operator has said nothing.
    fn give_default_vlan(&mut self, id: PortId) -> Result<()> {
        let flags = self.hands.tables.policy(id)?.flags;
        if flags.has(PortFlags::OWN_VLANS) {
            return Ok(());
        }
        self.hands.tables.vlans_mut()?.set_part(DEFAULT_VLAN, id, Membership::Untagged)?;
        self.set_pvid(id, DEFAULT_VLAN, false)
    }

    fn join(&mut self, id: PortId, vlan: &PortVlan) -> Result<()> {
        for vid in vlan.vids.each() {
            self.hands.tables.vlans_mut()?.set_part(vid, id, vlan.membership())?;
        }
        let flags = self.hands.tables.policy(id)?.flags;
        let (pvid, own) = pvid_after(flags.pvid(), vlan);
        self.set_pvid(id, pvid, own)?;
        // The Linux bridge leaves a port in its default VLAN, where it goes on hearing floods, and may send with a tag.
        let was_default = !flags.has(PortFlags::OWN_VLANS);
        if was_default && own && !vlan.vids.has(DEFAULT_VLAN) {
            self.leave(id, &[DEFAULT_VLAN])?;
        }
        Ok(())
    }

    /// Makes these the VLANs that a port is in, and no others.
    fn replace_vlans(&mut self, id: PortId, vlans: &[PortVlan]) -> Result<()> {
        let (mut pvid, mut wanted) = (0, BTreeSet::new());
        for vlan in vlans {
            for vid in vlan.vids.each() {
                self.hands.tables.vlans_mut()?.set_part(vid, id, vlan.membership())?;
                wanted.insert(vid);
            }
            (pvid, _) = pvid_after(pvid, vlan);
        }
        self.set_pvid(id, pvid, true)?;
        let parts = self.hands.tables.vlans().all()?;
        let unwanted = parts.into_iter().filter(|(vid, vlan)| vlan.members.has(id) && !wanted.contains(vid));
        self.leave(id, &unwanted.map(|(vid, _)| vid).collect::<Vec<_>>())
    }

    /// Takes a port out of VLANs, and forgets what was learned of it there, as the Linux bridge does (`nbp_vlan_delete`).
    fn leave(&mut self, id: PortId, vids: &[u16]) -> Result<()> {
        for vid in vids {
            self.hands.tables.vlans_mut()?.set_part(*vid, id, Membership::None)?;
        }
        if !vids.is_empty() {
            self.delete_where(|row| {
                row.entry.port() == id && !row.entry.is_static() && vids.contains(&row.key.vlan)
            })?;
        }
        Ok(())
    }

    /// Writes a port's PVID, 0 for none. `own`: because the operator said so.
    fn set_pvid(&mut self, id: PortId, pvid: u16, own: bool) -> Result<()> {
        let mut policy = self.hands.tables.policy(id)?;
        let flags = policy.flags.with_pvid(pvid);
        policy.flags = flags.with(PortFlags::OWN_VLANS, own || flags.has(PortFlags::OWN_VLANS));
        Ok(self.hands.tables.set_policy(id, policy)?)
    }

    fn vlan_event(&self, id: PortId, vlan: &PortVlan) -> VlanEvent {
        VlanEvent { ifname: self.name_of(id), vlan: vlan.vids, flags: vlan.flags() }
    }
}

/// The PVID of a port once this was written: a VLAN that is written without `pvid` is it no longer, as in the Linux bridge
/// (`__vlan_add_flags`). And whether that says what the port's own VLAN is.
fn pvid_after(pvid: u16, vlan: &PortVlan) -> (u16, bool) {
    let own = vlan.pvid || vlan.vids.has(DEFAULT_VLAN);
    match vlan.vids.single() {
        Some(vid) if vlan.pvid => (vid, own),
        _ if vlan.vids.has(pvid) => (0, own),
        _ => (pvid, own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vlan_written_without_pvid_is_it_no_longer() {
        let after = |pvid, vlan: &str| pvid_after(pvid, &vlan.parse().unwrap());
        assert_eq!(after(1, "10 pvid untagged"), (10, true));
        assert_eq!(after(1, "20-30"), (1, false));
        assert_eq!(after(25, "20-30"), (0, false));
        assert_eq!(after(1, "1 untagged"), (0, true));
        assert_eq!(after(0, "10"), (0, false));
    }
}
