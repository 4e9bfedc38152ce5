//! Following what happens to the ports' devices.

use bridge_common::{PortId, record::Undo};

use super::{Bridge, lend::is_lent, transient::ends_with_device};
use crate::{
    Error, Result,
    control::{Event, protocol::PortEvent},
    link::{Link, LinkEvent},
    plan::steps::Member,
};

impl Bridge {
    /// Follows one message of the kernel.
    pub(super) fn follow(&mut self, event: LinkEvent) -> Result<()> {
        match event {
            // The message tells how the device was; another may be behind it in the queue.
            LinkEvent::Changed(link) => match self.hands.links.by_index(link.index)? {
                Some(link) => match self.may_be_crowded(&link).and_then(|()| self.link_changed(&link)) {
                    // It went meanwhile, of which word is on its way.
                    Err(Error::Link(error)) if error.is_gone() => Ok(()),
                    outcome => outcome,
                },
                None => Ok(()),
            },
            LinkEvent::Gone { index, .. } => {
                self.forget_declined(index);
                match self.port_at(index) {
                    Some(id) => self.vanished(id),
                    None => Ok(()),
                }
            }
            LinkEvent::Overrun => self.look_again(),
        }
    }

    /// Messages were lost: everything may have happened.
    fn look_again(&mut self) -> Result<()> {
        let links = self.hands.links.list()?;
        let gone: Vec<_> = self
            .members
            .values()
            .filter(|member| !links.iter().any(|link| link.index == member.ifindex))
            .map(|member| member.id)
            .collect();
        for id in gone {
            self.vanished(id)?;
        }
        for link in &links {
            self.link_changed(link)?;
        }
        Ok(())
    }

    pub(super) fn port_at(&self, ifindex: u32) -> Option<PortId> {
        self.members.values().find(|member| member.ifindex == ifindex).map(|member| member.id)
    }

    pub(super) fn link_changed(&mut self, link: &Link) -> Result<()> {
        if let Some(id) = self.port_at(link.index) {
            return self.port_changed(id, link);
        }
        let returned = self.absent.iter().find(|(_, record)| record.name() == link.name.as_str());
        match returned.map(|(id, record)| (*id, *record)) {
            Some((id, record)) => {
                self.absent.remove(&id);
                if let Err(error) = self.take_in_returned(id, record, link) {
                    self.absent.insert(id, record);
                    return Err(error);
                }
                if id == PortId::UPLINK
                    && let Some(mac) = link.mac
                {
                    self.configure(mac)?;
                }
                self.tell_port(Event::PortAdded, id, "the device is back");
                self.choose_hooks()
            }
            None => self.attach_if_wanted(link),
        }
    }

    fn port_changed(&mut self, id: PortId, link: &Link) -> Result<()> {
        let Some(old) = self.members.get(&id).cloned() else { return Ok(()) };
        if self.is_abandoned(id, link) {
            return Ok(self.hands.links.delete(link.index)?);
        }
        let mut new = old.clone();
        new.mtu = link.mtu;
        (new.up, new.carrier) = (link.up, link.carrier);
        if new.name != link.name {
            new.name = link.name.clone();
            let mut record = bridge_common::record::PortRecord::named(link.name.as_str());
            (record.undo, record.hook, record.origin) = (old.record.undo, old.record.hook, old.record.origin);
            new.record = record;
            self.hands.tables.set_record(id, record)?;
        }
        if new != old {
            self.hands.tables.set_facts(id, new.facts(new.xdp.is_some()))?;
            if id == PortId::UPLINK {
                self.hands.tables.set_facts(PortId::HOST, new.host_facts())?;
            }
            self.members.insert(id, new.clone());
        }
        let stopped = self.is_stopped(id)?;
        self.tell_changes(&old, &new, stopped);
        if self.let_go_if_taken(id, link)? {
            // One that has another name now may be wanted under that.
            return Ok(());
        }
        if old.forwards() && !new.forwards() {
            self.flush_learned(id)?;
        }
        if id == PortId::UPLINK {
            self.uplink_changed(link)?;
        }
        // vnet_hdr may ask for another hook, and that for one on the uplink.
        self.choose_hook(id)?;
        self.choose_hook(PortId::UPLINK)
    }

    fn uplink_changed(&mut self, link: &Link) -> Result<()> {
        if let Some(mac) = link.mac
            && self.hands.tables.config().uplink.mac() != mac
        {
            self.configure(mac)?;
            self.tell_port(Event::PortChanged, PortId::UPLINK, format!("MAC address {mac}"));
        }
        let ours =
            self.members.get(&PortId::UPLINK).is_some_and(|member| member.record.undo.has(Undo::PROMISC));
        // The flag is not counted: whoever clears it clears ours, and guests would fall silent.
        if ours && !link.promiscuous {
            self.hands.links.set_promiscuous(link.index, true)?;
            self.tell_port(Event::PortChanged, PortId::UPLINK, "promiscuous again: somebody had cleared it");
        }
        Ok(())
    }

    fn tell_changes(&self, old: &Member, new: &Member, stopped: bool) {
        if old.name != new.name {
            self.tell_port(Event::PortChanged, new.id, format!("renamed from {}", old.name));
        }
        if old.mtu != new.mtu {
            self.tell_port(Event::PortChanged, new.id, format!("MTU {}", new.mtu));
        }
        match (old.forwards(), new.forwards()) {
            (false, true) if !stopped => self.tell_port(Event::PortUp, new.id, ""),
            (true, false) if !stopped => self.tell_port(Event::PortDown, new.id, ""),
            _ => {}
        }
    }

    /// The device is gone, and its attachments with it. The port waits for its return, unless it ends with it.
    pub(super) fn vanished(&mut self, id: PortId) -> Result<()> {
        let Some(member) = self.members.remove(&id) else { return Ok(()) };
        self.hands.forget_device(id, member.ifindex)?;
        self.forget_port(id);
        self.flush_learned(id)?;
        if ends_with_device(&member.record) {
            self.forget_in_capture(id)?;
            self.forget_in_groups(id)?;
            self.hands.forget(id)?;
            self.hands.tables.clear_rules(id)?;
            let lent = is_lent(&member.record);
            let detail = if lent { "the guest is gone" } else { "the device is gone" }.into();
            let event = Event::PortRemoved(PortEvent { ifname: member.name.to_string(), detail });
            tracing::info!(?event);
            self.tell(event);
        } else {
            self.absent.insert(id, member.record);
            self.tell_port(Event::PortDown, id, "the device is gone");
        }
        // The other guests' ports do not depend on this one.
        self.choose_hook(PortId::UPLINK)
    }
}
