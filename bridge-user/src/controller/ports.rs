//! Ports come and go.

use bridge_common::{
    PortId,
    record::{HookChoice as RecordedHook, Origin, PortRecord, Undo},
};

use super::{Bridge, checks};
use crate::{
    Error, Refusal, Result,
    control::{
        Event,
        protocol::{HookChoice, TapOptions},
    },
    link::{self, InterfaceName, Link, sysctl, tap},
    plan::{steps::Member, validate},
    policy::PortOptions,
    settings::PortSettings,
    snapshot::HOST,
};

/// The recorded form of a choice.
pub(super) const fn recorded(hook: HookChoice) -> RecordedHook {
    match hook {
        HookChoice::Auto => RecordedHook::Auto,
        HookChoice::Xdp => RecordedHook::Xdp,
        HookChoice::Tc => RecordedHook::Tc,
    }
}

/// A recorded choice.
pub(super) const fn chosen(record: &PortRecord) -> HookChoice {
    match RecordedHook::from_raw(record.hook) {
        RecordedHook::Auto => HookChoice::Auto,
        RecordedHook::Xdp => HookChoice::Xdp,
        RecordedHook::Tc => HookChoice::Tc,
    }
}

impl Bridge {
    pub(super) fn take_in_uplink(&mut self, link: &Link) -> Result<()> {
        let hook = recorded(self.settings.uplink_hook);
        let origin = self.configured();
        self.check_bypass(&link.name, Some(link.index), self.settings.uplink_hook, origin)?;
        let member = Member::new(PortId::UPLINK, link, origin, hook, None);
        self.take_in(member)
    }

    /// The origin of what the settings name.
    pub(super) fn configured(&self) -> Origin {
        Origin::CONFIGURED.with(Origin::BYPASS, self.settings.allow_bypass)
    }

    /// A port of the settings, which may be there already.
    pub(super) fn take_in_configured(&mut self, port: &PortSettings) -> Result<()> {
        let origin = self.configured();
        if let Some(id) = self.port_named(port.ifname.as_str()) {
            if let (true, Some(options)) = (self.absent.contains_key(&id), &port.tap) {
                self.absent.remove(&id);
                self.set_options(id, &port.policy)?;
                // Somebody deleted it while nobody watched. Its number stays, and so do static stations.
                return self.make_tap(id, &port.ifname, port.hook, options, origin);
            }
            self.set_options(id, &port.policy)?;
            return self.update_record(id, |record| {
                record.hook = recorded(port.hook) as u16;
                record.origin = record.origin.with(Origin::BYPASS, origin.has(Origin::BYPASS));
            });
        }
        match &port.tap {
            Some(options) => self.add_tap(&port.ifname, port.hook, options, origin, &port.policy),
            None => self.add_port(&port.ifname, port.hook, origin, &port.policy),
        }
    }

    /// Attaches a device that exists.
    pub(super) fn add_port(
        &mut self,
        name: &InterfaceName,
        hook: HookChoice,
        origin: Origin,
        policy: &PortOptions,
    ) -> Result<()> {
        let link = checks::existing(name, &self.hands.links)?;
        self.add_link(&link, hook, origin, policy)
    }

    /// Attaches a device that was looked up.
    pub(super) fn add_link(
        &mut self,
        link: &Link,
        hook: HookChoice,
        origin: Origin,
        policy: &PortOptions,
    ) -> Result<()> {
        self.check_port(link)?;
        self.check_bypass(&link.name, Some(link.index), hook, origin)?;
        self.take_in_guest(link, hook, origin, policy)
    }

    /// Makes a TAP and attaches it. One of that name that exists is taken as it is.
    pub(super) fn add_tap(
        &mut self,
        name: &InterfaceName,
        hook: HookChoice,
        options: &TapOptions,
        origin: Origin,
        policy: &PortOptions,
    ) -> Result<()> {
        let existing = self.hands.links.get(name)?;
        validate::tap(name, existing.as_ref())?;
        if let Some(link) = existing {
            return self.add_link(&link, hook, origin, policy);
        }
        self.check_bypass(name, None, hook, origin)?;
        let id = self.free_number()?;
        self.hands.begin(id)?;
        self.begin_policy(id, true, policy)?;
        self.make_tap(id, name, hook, options, origin)
    }

    fn make_tap(
        &mut self,
        id: PortId,
        name: &InterfaceName,
        hook: HookChoice,
        options: &TapOptions,
        origin: Origin,
    ) -> Result<()> {
        let make = tap::TapOptions {
            owner: options.owner,
            multi_queue: options.multi_queue,
            vnet_hdr: !options.no_vnet_hdr,
        };
        let mut record = PortRecord::named(name.as_str());
        record.origin = origin.with(Origin::TAP, true);
        record.undo = Undo::CREATED;
        record.hook = recorded(hook) as u16;
        // Written down first: were we to die after making it, whoever comes next knows whose it is.
        self.hands.tables.set_record(id, record)?;
        if let Err(error) = tap::create(name, &make) {
            self.hands.tables.set_record(id, PortRecord::default())?;
            return Err(error.into());
        }
        let outcome = self.finish_tap(id, name, options, &record);
        if outcome.is_err() && !self.members.contains_key(&id) {
            // Nobody else knows of it yet.
            if let Err(error) = tap::destroy(&self.hands.links, name)
                && !error.is_gone()
            {
                tracing::error!(%error);
            }
            self.hands.tables.set_record(id, PortRecord::default())?;
        }
        outcome
    }

    fn finish_tap(
        &mut self,
        id: PortId,
        name: &InterfaceName,
        options: &TapOptions,
        record: &PortRecord,
    ) -> Result<()> {
        let mut link = checks::existing(name, &self.hands.links)?;
        let uplink_mtu = self.members.get(&PortId::UPLINK).map(|uplink| uplink.mtu);
        let mtu = options.mtu.or(uplink_mtu).unwrap_or(link.mtu);
        if mtu != link.mtu {
            self.hands.links.set_mtu(link.index, mtu)?;
            link.mtu = mtu;
        }
        let ipv6_disabled = sysctl::ipv6_disabled(&link.name)?;
        self.take_in(Member::new(id, &link, record.origin, recorded(chosen(record)), ipv6_disabled))
    }

    fn check_port(&mut self, link: &Link) -> Result<()> {
        if self.port_named(link.name.as_str()).is_some() {
            return Err(Refusal::new(
                format!("{} is a port of bridge {} already", link.name, self.settings.bridge),
                "xbr port show lists the ports",
            )
            .into());
        }
        let Some(uplink) = self.members.get(&PortId::UPLINK) else { return Ok(()) };
        let uplink = self.link_of(uplink)?;
        let now;
        let claimed = match &self.claimed {
            Some(claimed) => claimed,
            None => {
                now = checks::Claimed::read(&self.hands.pins)?;
                &now
            }
        };
        for warning in checks::port(link, &uplink, claimed)? {
            let warning = format!("warning: {warning}");
            // A start has said it already.
            if !self.notes.contains(&warning) {
                self.notes.push(warning);
            }
        }
        Ok(())
    }

    fn take_in_guest(
        &mut self,
        link: &Link,
        hook: HookChoice,
        origin: Origin,
        policy: &PortOptions,
    ) -> Result<()> {
        let ipv6_disabled = sysctl::ipv6_disabled(&link.name)?;
        let id = self.free_number()?;
        self.hands.begin(id)?;
        self.begin_policy(id, link.is_tap(), policy)?;
        self.take_in(Member::new(id, link, origin, recorded(hook), ipv6_disabled))
    }

    pub(super) fn take_in(&mut self, mut member: Member) -> Result<()> {
        let id = member.id;
        let chosen = self.choice_for(&member)?;
        member.guard = chosen.guard;
        self.hands.plan_clsact(&mut member)?;
        self.give_vlans(id, member.name.as_str())?;
        if id == PortId::UPLINK {
            self.give_vlans(PortId::HOST, HOST)?;
        }
        self.hands.perform(member.steps())?;
        self.look_up(&mut member)?;
        self.members.insert(id, member);
        self.tell_port(Event::PortAdded, id, "");
        Ok(())
    }

    /// What became of the device when the steps had set it up. The kernel's own message may have come and gone
    /// while it was no member yet.
    pub(super) fn look_up(&mut self, member: &mut Member) -> Result<()> {
        let link = self.link_of(member)?;
        (member.up, member.carrier) = (link.up, link.carrier);
        member.record.origin = member.record.origin.with(Origin::COMPLETE, true);
        self.hands.tables.set_record(member.id, member.record)?;
        if member.id == PortId::UPLINK {
            // The host is reached through it, and no later message need tell of a change that was seen here.
            self.hands.tables.set_facts(PortId::HOST, member.host_facts())?;
        }
        Ok(self.hands.tables.set_facts(member.id, member.facts(member.xdp.is_some()))?)
    }

    /// Attaches one more port while the bridge runs, its hook included.
    pub(super) fn take_in_and_choose(&mut self, take_in: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let before: Vec<_> = self.members.keys().copied().collect();
        take_in(self)?;
        let new: Vec<_> = self.members.keys().copied().filter(|id| !before.contains(id)).collect();
        // The hooks of other guests' ports do not depend on this one; the uplink's does.
        let mut outcome = Ok(());
        for id in new.iter().copied().chain([PortId::UPLINK]) {
            outcome = outcome.and_then(|()| self.choose_hook(id));
        }
        if outcome.is_err() {
            for id in new {
                self.let_go(id)?;
            }
        }
        outcome
    }

    /// Lets a port go and leaves its device as it was found.
    pub(super) fn let_go(&mut self, id: PortId) -> Result<()> {
        self.tell_port(Event::PortRemoved, id, "");
        self.forget_port(id);
        self.forget_in_capture(id)?;
        self.forget_in_groups(id)?;
        if let Some(member) = self.members.remove(&id) {
            self.hands.take_back(member.release());
        }
        if self.absent.remove(&id).is_some() {
            self.hands.forget(id)?;
        }
        Ok(self.hands.tables.clear_rules(id)?)
    }

    /// Whether we made the device of this port.
    pub(super) fn is_ours(&self, id: PortId) -> bool {
        let undo = self.members.get(&id).map(|member| member.record.undo);
        undo.or_else(|| self.absent.get(&id).map(|record| record.undo))
            .is_some_and(|undo| undo.has(Undo::CREATED))
    }

    pub(super) fn update_record(&mut self, id: PortId, change: impl Fn(&mut PortRecord)) -> Result<()> {
        let record = match (self.members.get_mut(&id), self.absent.get_mut(&id)) {
            (Some(member), _) => &mut member.record,
            (None, Some(record)) => record,
            (None, None) => return Ok(()),
        };
        change(record);
        record.origin = record.origin.with(Origin::CONFIGURED, true);
        Ok(self.hands.tables.set_record(id, *record)?)
    }

    /// The link of a member, or an error that names it.
    pub(super) fn link_of(&self, member: &Member) -> Result<Link> {
        self.hands.links.by_index(member.ifindex)?.ok_or_else(|| {
            let reason = nix::errno::Errno::ENODEV.into();
            Error::from(link::Error::Get { name: member.name.clone(), reason })
        })
    }
}
