//! Rules, filters and queueing disciplines of others, at the ports.

use bridge_common::{PortId, record::Origin};

use super::Bridge;
use crate::{
    Result,
    control::{Event, protocol::HookChoice},
    link::{
        Direction, InterfaceName, Links, default_qdisc,
        rules::{self, Rule},
    },
    plan::{
        bypass::{self, Bypassed, Found},
        steps::Member,
    },
};

/// What there is at a device, beside the rules; no index is for a device that is yet to be made.
pub fn found(links: &Links, index: Option<u32>, rules: Vec<Rule>) -> Result<Found> {
    let mut found = Found { rules, default_qdisc: default_qdisc(), ..Found::default() };
    let Some(index) = index else { return Ok(found) };
    found.qdiscs = links.qdiscs(index)?;
    let has = |kind: &str| found.qdiscs.iter().any(|qdisc| qdisc.kind == kind);
    // An ingress qdisc has one list of filters, which answers to either name.
    let directions: &[_] = match (has("clsact"), has("ingress")) {
        (true, _) => &[Direction::Ingress, Direction::Egress],
        (false, true) => &[Direction::Ingress],
        (false, false) => &[],
    };
    for direction in directions {
        let filters = links.filters(index, *direction)?;
        found.filters.extend(filters.into_iter().map(|filter| (*direction, filter)));
    }
    Ok(found)
}

/// All that frames of a device would go past.
pub fn look(links: &Links, name: &InterfaceName, index: Option<u32>) -> Result<Vec<Bypassed>> {
    Ok(bypass::bypassed(name, index, &found(links, index, rules::list()?)?))
}

/// Refuses a device whose frames would go past something, unless that is allowed. Then it says past what.
pub fn check(
    links: &Links,
    name: &InterfaceName,
    index: Option<u32>,
    hook: HookChoice,
    allowed: bool,
) -> Result<Vec<String>> {
    let xdp = hook == HookChoice::Xdp;
    match look(links, name, index) {
        Ok(bypassed) if allowed => {
            let goes = bypassed.into_iter().filter(|one| xdp || !one.by_xdp_only);
            Ok(goes.map(|one| format!("{}, and xbr goes past it, as allowed", one.what)).collect())
        }
        Ok(bypassed) => bypass::refuse(name, &bypassed, xdp).map(|()| Vec::new()).map_err(Into::into),
        Err(error) if allowed => Ok(vec![error.to_string()]),
        Err(error) => Err(error),
    }
}

impl Bridge {
    /// [`check`] for a device that is about to become a port; what is allowed is said.
    pub(super) fn check_bypass(
        &mut self,
        name: &InterfaceName,
        index: Option<u32>,
        hook: HookChoice,
        origin: Origin,
    ) -> Result<()> {
        let allowed = origin.has(Origin::BYPASS);
        let warnings = check(&self.hands.links, name, index, hook, allowed)?;
        self.notes.extend(warnings.into_iter().map(|warning| format!("warning: {warning}")));
        Ok(())
    }

    /// Why a port that could have XDP must not, unless that is allowed.
    pub(super) fn keeps_from_xdp(&self, member: &Member) -> Result<Option<String>> {
        if member.record.origin.has(Origin::BYPASS) {
            return Ok(None);
        }
        let found = found(&self.hands.links, Some(member.ifindex), Vec::new())?;
        Ok(bypass::why_tc(&bypass::bypassed(&member.name, Some(member.ifindex), &found)))
    }

    /// Somebody changed rules, filters or queueing disciplines: says what frames of the ports go past now, and
    /// looks again at the devices that could not be attached.
    pub(super) fn rules_changed(&mut self) -> Result<()> {
        let rules = rules::list()?;
        let members: Vec<_> = self.members.values().cloned().collect();
        for member in members {
            // Its device may be gone, of which word is on its way.
            if self.hands.links.by_index(member.ifindex)?.is_none() {
                continue;
            }
            let found = found(&self.hands.links, Some(member.ifindex), rules.clone())?;
            let mut bypassed = bypass::bypassed(&member.name, Some(member.ifindex), &found);
            bypassed.retain(|one| !one.by_xdp_only || member.record.hook == HookChoice::Xdp as u16);
            if !member.record.origin.has(Origin::BYPASS) && !self.let_go_while_new(&member, &bypassed)? {
                self.say_bypassed(member.id, bypassed);
            }
        }
        self.choose_hooks()?;
        self.attach_declined()
    }

    /// Says each thing once.
    fn say_bypassed(&mut self, id: PortId, bypassed: Vec<Bypassed>) {
        let now: Vec<_> = bypassed.into_iter().map(|one| one.what).collect();
        let before = self.bypasses.insert(id, now.clone()).unwrap_or_default();
        for what in now.iter().filter(|what| !before.contains(what)) {
            tracing::warn!("{what}, and what xbr forwards goes past it");
            self.tell_port(Event::PortChanged, id, format!("{what}, and what xbr forwards goes past it"));
        }
    }
}
