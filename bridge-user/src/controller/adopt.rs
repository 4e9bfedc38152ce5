//! Taking over what a former controller left forwarding, without losing a frame.

use bridge_common::{
    PortId,
    record::{Origin, PortRecord, Undo},
};

use super::{
    Bridge,
    attach::is_attached,
    checks,
    lend::is_lent,
    ports::{chosen, recorded},
    transient::ends_with_device,
};
use crate::{
    Result,
    datapath::{Attachment, Slot, Way},
    link::{InterfaceName, Link, sysctl},
    plan::{
        act::{Act, Step},
        steps::Member,
    },
};

impl Bridge {
    pub(super) fn adopt(&mut self, uplink: &Link) -> Result<()> {
        let records = self.hands.tables.records()?;
        let hook = recorded(self.settings.uplink_hook) as u16;
        let bypass = self.settings.allow_bypass;
        if !records.iter().any(|(id, _)| *id == PortId::UPLINK) {
            // The former controller died before it had the uplink.
            self.take_in_uplink(uplink)?;
        }
        for (id, mut record) in records {
            if id == PortId::UPLINK {
                record.hook = hook;
                record.origin = record.origin.with(Origin::BYPASS, bypass);
            } else if is_attached(&record) {
                record.origin = record.origin.with(Origin::BYPASS, bypass);
            }
            if ends_with_device(&record) && self.has_vanished(id)? {
                self.forget_vanished(id)?;
                continue;
            }
            match self.find(id, &record)? {
                Some(link) => self.adopt_port(id, record, &link)?,
                // A controller died before it made the device.
                None if !record.origin.has(Origin::COMPLETE) => {
                    self.hands.tables.set_record(id, PortRecord::default())?;
                }
                None if is_lent(&record) => self.forget_vanished(id)?,
                None => {
                    let ifindex = self.hands.tables.port(id)?.ifindex;
                    self.hands.forget_device(id, ifindex)?;
                    self.absent.insert(id, record);
                }
            }
        }
        let ports = self.numbers();
        self.hands.tables.recount(&ports)?;
        let away: Vec<_> = self.absent.keys().copied().collect();
        if !away.is_empty() {
            self.delete_where(|row| away.contains(&row.entry.port()) && !row.entry.is_static())?;
        }
        self.drop_unconfigured()
    }

    /// The device of a record: by index, since it may have been renamed, else by name.
    fn find(&self, id: PortId, record: &PortRecord) -> Result<Option<Link>> {
        let port = self.hands.tables.port(id)?;
        if port.ifindex != 0
            && self.hands.pins.is_attached(id, Slot::Ingress)
            && let Some(link) = self.hands.links.by_index(port.ifindex)?
        {
            return Ok(Some(link));
        }
        if is_lent(record) {
            // What has its name now is another guest's, and has a helper who asks for it.
            return Ok(None);
        }
        match record.name().parse::<InterfaceName>() {
            Ok(name) => Ok(self.hands.links.get(&name)?),
            Err(_) => Ok(None),
        }
    }

    fn adopt_port(&mut self, id: PortId, record: PortRecord, link: &Link) -> Result<()> {
        let old = self.hands.tables.port(id)?.ifindex;
        let mut member = Member::found(id, link, &record, self.hands.pins.is_attached(id, Slot::Xdp));
        if !record.origin.has(Origin::COMPLETE) && (old == 0 || old == link.index) {
            // A controller died while it took the device in: the same steps again, each of which may have been
            // done. The undo is what was written down when the device was untouched.
            member.xdp = None;
            return self.take_in(member);
        }
        if old != link.index {
            return self.take_in_returned(id, record, link);
        }
        self.hands.plan_clsact(&mut member)?;
        if member.record.undo.has(Undo::CLSACT) {
            // There already, unless somebody deleted it while no controller was here.
            self.hands.set_clsact(&member.name, member.ifindex, true)?;
        }
        if self.is_severed(&member)? {
            return self.take_in_returned(id, record, link);
        }
        member.guard = self.choice_for(&member)?.guard;
        for act in adoption(&member) {
            self.hands.perform(vec![Step { act: Some(act), undo: None }])?;
        }
        self.members.insert(id, member);
        Ok(())
    }

    /// Puts our program into a port's live link. True if there is none: the device went, and one of the same index came.
    fn is_severed(&mut self, member: &Member) -> Result<bool> {
        let attached = self.hands.attach(member.id, Slot::Ingress, &member.name, member.ifindex)?;
        // A filter tells nothing of its device: one that is missing was deleted, as far as we can know.
        Ok(attached == Attachment::New && self.hands.pins.way()? != Some(Way::Clsact))
    }

    /// A device that came back under a known name is taken in anew, under its old number.
    pub(super) fn take_in_returned(&mut self, id: PortId, record: PortRecord, link: &Link) -> Result<()> {
        let old = self.hands.tables.port(id)?.ifindex;
        self.hands.forget_device(id, old)?;
        let ipv6_disabled = if id.is_guest() { sysctl::ipv6_disabled(&link.name)? } else { None };
        let origin = record.origin.with(Origin::COMPLETE, false);
        let mut member = Member::new(id, link, origin, recorded(chosen(&record)), ipv6_disabled);
        // Somebody else made it this time.
        member.record.undo =
            member.record.undo.with(Undo::CREATED, false).with(Undo::WAS_UP, link.up && id.is_guest());
        self.hands.plan_clsact(&mut member)?;
        let choice = self.choice_for(&member)?;
        member.guard = choice.guard;
        self.hands.perform(member.steps())?;
        self.look_up(&mut member)?;
        self.members.insert(id, member);
        Ok(())
    }

    /// Ports of an earlier configuration that this one does not have. Those added by hand stay.
    fn drop_unconfigured(&mut self) -> Result<()> {
        let uplink = self.settings.uplink.clone();
        let wanted = |name: &str| {
            name == uplink.as_str() || self.settings.ports.iter().any(|port| port.ifname.as_str() == name)
        };
        let records = self.hands.tables.records()?;
        let unwanted: Vec<_> = records
            .iter()
            .filter(|(_, record)| record.origin.has(Origin::CONFIGURED) && !wanted(record.name()))
            .map(|(id, _)| *id)
            .collect();
        for id in unwanted {
            if id == PortId::UPLINK {
                // Tables of another layout could not be looked at before.
                return Err(checks::other_uplink(&self.settings.bridge, &self.name_of(id)).into());
            }
            self.let_go(id)?;
        }
        self.drop_unwanted()
    }
}

/// The acts that take a port over in place: programs replaced on live links, facts as they are, and nothing
/// on the way that would stop a frame.
fn adoption(member: &Member) -> Vec<Act> {
    let attach = |slot| Act::Attach(member.id, slot, member.name.clone(), member.ifindex);
    let mut acts = vec![Act::Record(member.id, member.record)];
    if member.id == PortId::UPLINK {
        if member.record.undo.has(Undo::PROMISC) {
            // Somebody may have cleared it while nobody watched.
            acts.push(Act::Promiscuous(member.name.clone(), true));
        }
        acts.push(attach(Slot::Egress));
        acts.push(Act::Facts(PortId::HOST, member.host_facts()));
        acts.push(Act::Attach(PortId::HOST, Slot::Xmit, member.name.clone(), 0));
    }
    // Its ingress program is in place since `is_severed`.
    if let Some(slot) = member.xdp {
        acts.push(Act::Enter(member.id, member.ifindex));
        acts.push(attach(slot));
    }
    acts.push(Act::Facts(member.id, member.facts(member.xdp.is_some())));
    acts
}
