//! Which ports have the XDP layer. It is a matter of all of them together: XDP on the uplink pays only when
//! some port takes what it redirects.

use bridge_common::{PortId, record::Undo};

use super::{Bridge, ports::chosen};
use crate::{
    Error, Refusal, Result,
    control::{Event, protocol::HookChoice},
    datapath::{self, Slot},
    link::{Link, hardware, offload},
    plan::{
        act::{Act, Step, backwards},
        hook::{self, Chosen},
        steps::{FEATURES, Member},
    },
};

impl Bridge {
    /// Brings every port to the hook that it should have.
    pub(super) fn choose_hooks(&mut self) -> Result<()> {
        let guests: Vec<_> = self.members.keys().copied().filter(|id| id.is_guest()).collect();
        for id in guests {
            match self.choose_hook(id) {
                // Word of it is on its way, and it is no fault of the port that this is about.
                Err(Error::Link(error)) if error.is_gone() => {}
                outcome => outcome?,
            }
        }
        self.choose_hook(PortId::UPLINK)
    }

    /// What the rules say for a port, as things are.
    pub(super) fn choice_for(&self, member: &Member) -> Result<Chosen> {
        let link = self.link_of(member)?;
        let choice = chosen(&member.record);
        let driver = hardware::driver(&link.name)?.map(|driver| driver.name);
        let mut wanted = self.rules_for(member, choice, &link, driver.as_deref())?;
        if wanted.xdp
            && choice == HookChoice::Auto
            && let Some(why) = self.keeps_from_xdp(member)?
        {
            wanted = Chosen { xdp: false, guard: false, why };
        }
        Ok(wanted)
    }

    fn rules_for(
        &self,
        member: &Member,
        choice: HookChoice,
        link: &Link,
        driver: Option<&str>,
    ) -> Result<Chosen> {
        if member.id == PortId::UPLINK {
            let any = self.members.values().any(|member| member.id.is_guest() && member.xdp.is_some());
            return Ok(hook::uplink(choice, self.settings.prefer, link, driver, any)?);
        }
        Ok(hook::choose(choice, self.settings.prefer, link, driver)?)
    }

    /// Brings one port to the hook that it should have.
    pub(super) fn choose_hook(&mut self, id: PortId) -> Result<()> {
        let Some(member) = self.members.get(&id).cloned() else { return Ok(()) };
        let mut wanted = match self.choice_for(&member) {
            // The kernel's message of its end is on its way, and no reason for another port to fail.
            Err(Error::Link(error)) if error.is_gone() => return Ok(()),
            other => other?,
        };
        match (wanted.xdp, member.xdp.is_some()) {
            (true, false) => match self.raise(&member, wanted.guard) {
                Ok(()) => {}
                Err(Error::Datapath(error)) if chosen(&member.record) == HookChoice::Auto => {
                    wanted.xdp = false;
                    wanted.why = format!("{error}");
                }
                Err(error) => return Err(refusal_of_xdp(&member, error)),
            },
            (false, true) => self.lower(&member)?,
            _ => {}
        }
        self.set_guard(id, wanted.guard)?;
        self.say_hook(id, &wanted);
        Ok(())
    }

    /// Puts the XDP layer on.
    fn raise(&mut self, member: &Member, guard: bool) -> Result<()> {
        let mut raised = member.clone();
        raised.xdp = Some(Slot::Xdp);
        raised.guard = guard;
        for (feature, bit) in FEATURES {
            // Guests' devices keep theirs: a TAP has none of them, and a veth's are its peer's matter.
            let hides = member.id == PortId::UPLINK && self.is_on(&raised, feature)?;
            // What a controller that died had turned off already stays to be turned on again.
            let off_by_us = raised.record.undo.has(bit);
            raised.record.undo = raised.record.undo.with(bit, hides || off_by_us);
        }
        let record = |member: &Member| Act::Record(member.id, member.record);
        let mut steps = vec![Step { act: Some(record(&raised)), undo: Some(record(member)) }];
        steps.extend(raised.xdp_steps());
        self.hands.perform(steps)?;
        self.members.insert(raised.id, raised);
        Ok(())
    }

    /// On, and the driver lets it change.
    fn is_on(&self, member: &Member, feature: &str) -> Result<bool> {
        let features = offload::features(&member.name)?;
        Ok(features.iter().any(|one| one.name == feature && one.active && !one.fixed))
    }

    /// Takes the XDP layer off.
    fn lower(&mut self, member: &Member) -> Result<()> {
        self.hands.take_back(backwards(member.xdp_steps()));
        let mut lowered = member.clone();
        lowered.xdp = None;
        for bit in [Undo::RX_VLAN_OFFLOAD, Undo::RX_VLAN_FILTER, Undo::LRO] {
            lowered.record.undo = lowered.record.undo.with(bit, false);
        }
        self.hands.tables.set_record(lowered.id, lowered.record)?;
        self.members.insert(lowered.id, lowered);
        Ok(())
    }

    fn set_guard(&mut self, id: PortId, guard: bool) -> Result<()> {
        let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
        if member.guard != guard {
            member.guard = guard;
            let facts = member.facts(member.xdp.is_some());
            self.hands.tables.set_facts(id, facts)?;
        }
        Ok(())
    }

    /// Says what was chosen, once for each change.
    fn say_hook(&mut self, id: PortId, chosen: &Chosen) {
        let hook = if chosen.xdp { "xdp" } else { "tc" };
        let text = format!("{hook} ({})", chosen.why);
        if self.said.get(&id) != Some(&text) {
            self.notes.push(format!("{}: {text}", self.name_of(id)));
            self.tell_port(Event::PortChanged, id, format!("hook {text}"));
            self.said.insert(id, text);
        }
    }
}

/// Native XDP was asked for by name and the device cannot: bad input, no silent fallback.
fn refusal_of_xdp(member: &Member, error: Error) -> Error {
    match error {
        Error::Datapath(datapath::Error::Attach { reason, .. }) => Refusal::new(
            format!("{} cannot do native XDP: {reason}", member.name),
            format!("let xbr choose with --hook {}=auto, or take tc", member.name),
        )
        .into(),
        other => other,
    }
}
