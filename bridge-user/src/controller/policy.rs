//! What ports are allowed, and who is stopped.

use bridge_common::{
    DropReason, FdbEvent, FdbEventKind, Port, PortId,
    policy::{Guards, MAX_SOURCES, Stop},
};

use super::Bridge;
use crate::{
    Refusal, Result,
    control::Event,
    datapath::Rules,
    policy::{self, PortOptions},
};

/// Why a port is stopped, for people.
pub(super) const fn reason(stop: Stop) -> &'static str {
    match stop {
        Stop::No => "",
        Stop::Operator => "taken down by the operator",
        Stop::Bpdu => "it sent a BPDU",
        Stop::Loop => "it is part of a loop",
    }
}

impl Bridge {
    /// The facts of a port's device, if that is there.
    fn device_facts(&self, id: PortId) -> Option<Port> {
        match id {
            PortId::HOST => self.members.get(&PortId::UPLINK).map(|uplink| uplink.host_facts()),
            _ => self.members.get(&id).map(|member| member.facts(member.xdp.is_some())),
        }
    }

    /// Changes what a port is allowed.
    pub(super) fn set_options(&mut self, id: PortId, options: &PortOptions) -> Result<()> {
        if options.is_empty() {
            return Ok(());
        }
        policy::check(id, &self.name_of(id), options)?;
        let before = self.hands.tables.rules(id)?;
        let after = policy::apply(id, before.clone(), options)?;
        if after != before {
            self.check_sources(&before, &after)?;
            self.hands.tables.set_rules(id, &after, self.device_facts(id))?;
            self.multicast_policy_changed(id)?;
        }
        self.settle_neighbours()
    }

    fn check_sources(&self, before: &Rules, after: &Rules) -> Result<()> {
        let all = self.hands.tables.sources()?.len() - before.sources.len() + after.sources.len();
        if all <= MAX_SOURCES as usize {
            return Ok(());
        }
        let message =
            format!("all ports together can have {MAX_SOURCES} addresses listed, and would have {all}");
        Err(Refusal::new(message, "list fewer, or take ports' lists off with mac off and ip off").into())
    }

    /// What a new port is allowed, which was allowed nothing yet, before its device brings anything in.
    pub(super) fn begin_policy(&mut self, id: PortId, is_tap: bool, options: &PortOptions) -> Result<()> {
        if is_tap {
            self.set_options(id, &PortOptions::of_tap())?;
        }
        self.set_options(id, options)
    }

    /// `xbr port set`.
    pub(super) fn port_set(&mut self, ifname: &str, options: &PortOptions, up: Option<bool>) -> Result<()> {
        let id = self.port_or_host(ifname)?;
        if up.is_some() && !id.is_guest() {
            return Err(Refusal::new(
                format!("{ifname} cannot be taken down or up: that would cut the host off"),
                "xbr down takes the whole bridge away",
            )
            .into());
        }
        self.set_options(id, options)?;
        match up {
            Some(true) => self.set_stop(id, Stop::No),
            Some(false) => self.set_stop(id, Stop::Operator),
            None => Ok(()),
        }
    }

    /// Stops a port, or lets it forward again.
    pub(super) fn set_stop(&mut self, id: PortId, stop: Stop) -> Result<()> {
        let mut rules = self.hands.tables.rules(id)?;
        if rules.policy.stopped == stop as u32 {
            return Ok(());
        }
        rules.policy.stopped = stop as u32;
        self.hands.tables.set_rules(id, &rules, self.device_facts(id))?;
        // What was counted until now is no reason to stop it again.
        self.bpdus.remove(&id);
        if stop == Stop::No {
            self.tell_port(Event::PortUp, id, "");
            self.probe_anew()?;
        } else {
            // As when a device goes down.
            self.flush_learned(id)?;
            self.tell_port(Event::PortDown, id, reason(stop));
        }
        Ok(())
    }

    /// Whether a port is stopped whatever its device does.
    pub(super) fn is_stopped(&self, id: PortId) -> Result<bool> {
        Ok(self.hands.tables.policy(id)?.stopped != 0)
    }

    /// Stops the guests' ports whose BPDUs the programs tell of, where that is asked for.
    pub(super) fn stop_senders(&mut self, events: &[FdbEvent]) -> Result<()> {
        let bpdus = events.iter().filter(|event| event.kind == FdbEventKind::Bpdu as u32);
        bpdus.map(|event| event.port).try_for_each(|port| self.stop_sender(port))
    }

    /// The same by the counters, once a second: a guest that is refused for something else may have used up the events.
    pub(super) fn watch_bpdus(&mut self) -> Result<()> {
        let guests: Vec<_> = self.members.keys().copied().filter(|id| id.is_guest()).collect();
        for id in guests {
            if !self.hands.tables.policy(id)?.guards.has(Guards::BPDU_SHUT) {
                self.bpdus.remove(&id);
                continue;
            }
            let count = self.hands.tables.counters(id)?.drops[DropReason::Bpdu as usize];
            if self.bpdus.insert(id, count).is_some_and(|before| before != count) {
                self.stop_sender(id)?;
            }
        }
        Ok(())
    }

    fn stop_sender(&mut self, id: PortId) -> Result<()> {
        if !self.members.contains_key(&id) {
            return Ok(());
        }
        let policy = self.hands.tables.policy(id)?;
        if policy.guards.has(Guards::BPDU_SHUT) && policy.stopped == 0 {
            tracing::warn!("port {} is stopped: it sent a BPDU", self.name_of(id));
            self.set_stop(id, Stop::Bpdu)?;
        }
        Ok(())
    }
}
