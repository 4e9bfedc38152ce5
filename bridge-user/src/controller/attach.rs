//! TAPs that somebody else makes: those whose names match a pattern become ports as they appear.

use std::{collections::BTreeMap, time::Duration, time::Instant};

use bridge_common::{
    PortId,
    record::{Origin, PortRecord},
};

use super::Bridge;
use crate::{
    Error, Result,
    control::{Event, protocol::Loan, protocol::PortEvent},
    link::Link,
    plan::{
        bypass::{self, Bypassed},
        steps::Member,
    },
    policy::PortOptions,
};

/// Whoever makes a TAP makes its rules and queueing disciplines a moment later. Those that come within this
/// time count as if they had been there before.
const SETTLING: Duration = Duration::from_secs(5);

/// What is known of TAPs whose names match.
#[derive(Default)]
pub struct Attaching {
    /// Those that are not to be tried again as they are, by index.
    declined: BTreeMap<u32, Declined>,
    /// When ports were taken in.
    since: BTreeMap<PortId, Instant>,
}

/// Why a TAP is no port.
enum Declined {
    /// It could not be one: as it was then, and the reason in words.
    Refused(Box<Link>, String),
    /// The operator let it go, which holds until the device is gone.
    LetGo,
}

/// Whether a port is there for its name alone.
pub(super) fn is_attached(record: &PortRecord) -> bool {
    record.origin.has(Origin::ATTACHED) && !record.origin.has(Origin::CONFIGURED)
}

/// A device without what changes all the time, and without what taking it in changes.
fn facts(link: &Link) -> Box<Link> {
    Box::new(Link { statistics: Default::default(), promiscuity: 0, xdp: Vec::new(), ..link.clone() })
}

impl Bridge {
    /// Whether a pattern of the settings matches.
    fn is_wanted(&self, name: &str) -> bool {
        // A pattern as wide as `*` takes no TAP of the bridge helper's, which asks for its port itself.
        !Loan::is_loan(name) && self.settings.attach.iter().any(|pattern| pattern.matches(name))
    }

    /// Attaches what is there already, or was changed while nobody listened.
    pub(super) fn attach_all(&mut self) -> Result<()> {
        if self.settings.attach.is_empty() {
            return Ok(());
        }
        for link in self.hands.links.list()? {
            self.attach_if_wanted(&link)?;
        }
        Ok(())
    }

    /// Takes a device that is no port in, if it is a TAP that nobody else has and its name matches.
    pub(super) fn attach_if_wanted(&mut self, link: &Link) -> Result<()> {
        if !link.is_tap()
            || !self.is_wanted(link.name.as_str())
            || self.port_named(link.name.as_str()).is_some()
        {
            return Ok(());
        }
        let again = match self.attaching.declined.get(&link.index) {
            Some(Declined::LetGo) => return Ok(()),
            Some(Declined::Refused(before, _)) => *before != facts(link),
            None => true,
        };
        // Whoever is in charge of a device with a master is that master's user.
        if again && link.master.is_none() { self.try_to_attach(link) } else { Ok(()) }
    }

    fn try_to_attach(&mut self, link: &Link) -> Result<()> {
        let origin = Origin::ATTACHED.with(Origin::BYPASS, self.settings.allow_bypass);
        let hook = self.settings.attach_hook;
        let notes = self.notes.len();
        let outcome =
            self.take_in_and_choose(|bridge| bridge.add_link(link, hook, origin, &PortOptions::default()));
        // Nobody asked, so nobody waits for what there is to say.
        for note in self.notes.drain(notes..) {
            tracing::info!("{note}");
        }
        let Err(error) = outcome else {
            self.attaching.declined.remove(&link.index);
            if let Some(id) = self.port_at(link.index) {
                self.attaching.since.insert(id, Instant::now());
            }
            return Ok(());
        };
        match self.hands.links.by_index(link.index)? {
            // Somebody was faster.
            None => Ok(()),
            Some(now) if now.master.is_some() => Ok(()),
            Some(now) => {
                self.decline(&now, &error);
                Ok(())
            }
        }
    }

    /// Reports a device that cannot be a port, once for each reason, and lets it be until something changes.
    fn decline(&mut self, link: &Link, error: &Error) {
        let why = match error {
            Error::Refused(refusal) => refusal.message.clone(),
            other => other.to_string(),
        };
        let declined = Declined::Refused(facts(link), why.clone());
        let before = self.attaching.declined.insert(link.index, declined);
        if matches!(before, Some(Declined::Refused(_, before)) if before == why) {
            return;
        }
        tracing::warn!("{} is not attached: {error}", link.name);
        self.tell(Event::PortRefused(PortEvent { ifname: link.name.to_string(), detail: why }));
    }

    /// Something that a refusal may have been about has changed.
    pub(super) fn attach_declined(&mut self) -> Result<()> {
        let refused = |(index, declined): (&u32, &Declined)| {
            matches!(declined, Declined::Refused(..)).then_some(*index)
        };
        let indexes: Vec<_> = self.attaching.declined.iter().filter_map(refused).collect();
        for index in indexes {
            match self.hands.links.by_index(index)? {
                Some(link) if link.master.is_none() && self.is_wanted(link.name.as_str()) => {
                    self.try_to_attach(&link)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A device is gone, and another one may come to its index.
    pub(super) fn forget_declined(&mut self, index: u32) {
        self.attaching.declined.remove(&index);
    }

    /// The operator let a device go: its name does not make it a port again.
    pub(super) fn leave_alone(&mut self, index: u32) {
        self.attaching.declined.insert(index, Declined::LetGo);
    }

    /// Lets a port go that is there for its name, if it has got a master or another name. True if it is none any more.
    pub(super) fn let_go_if_taken(&mut self, id: PortId, link: &Link) -> Result<bool> {
        if !self.members.get(&id).is_some_and(|member| is_attached(&member.record)) {
            return Ok(false);
        }
        if link.master.is_some() {
            self.hand_over(id);
        } else if !self.is_wanted(link.name.as_str()) {
            self.let_go(id)?;
        } else {
            return Ok(false);
        }
        self.choose_hook(PortId::UPLINK)?;
        Ok(true)
    }

    /// Takes our programs off a device that is somebody else's now, and changes nothing else about it.
    fn hand_over(&mut self, id: PortId) {
        let Some(member) = self.members.get(&id) else { return };
        let acts = member.hand_over();
        self.tell_port(Event::PortRemoved, id, "it has a master now");
        self.members.remove(&id);
        self.hands.take_back(acts);
        if let Err(error) = self.hands.tables.clear_rules(id) {
            tracing::error!(%error, "cannot forget what a port was allowed");
        }
        self.forget_port(id);
    }

    /// What was kept beside a port's record.
    pub(super) fn forget_port(&mut self, id: PortId) {
        self.said.remove(&id);
        self.bypasses.remove(&id);
        self.attaching.since.remove(&id);
        self.bpdus.remove(&id);
    }

    /// Lets a port go whose maker is still at work, if its frames go past something. True if so.
    pub(super) fn let_go_while_new(&mut self, member: &Member, bypassed: &[Bypassed]) -> Result<bool> {
        let new = self.attaching.since.get(&member.id).is_some_and(|since| since.elapsed() < SETTLING);
        if !new || !is_attached(&member.record) {
            return Ok(false);
        }
        let Err(refusal) = bypass::refuse(&member.name, bypassed, true) else { return Ok(false) };
        self.let_go(member.id)?;
        if let Some(link) = self.hands.links.by_index(member.ifindex)? {
            self.decline(&link, &refusal.into());
        }
        Ok(true)
    }

    /// Ports that a former controller took in for their names, and that this one would not.
    pub(super) fn drop_unwanted(&mut self) -> Result<()> {
        let members: Vec<_> = self.members.values().cloned().collect();
        for member in members {
            if let Some(link) = self.hands.links.by_index(member.ifindex)? {
                self.let_go_if_taken(member.id, &link)?;
            }
        }
        Ok(())
    }
}
