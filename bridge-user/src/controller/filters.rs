//! TC programs held by filters of the clsact qdisc, as before Linux 6.6.
//!
//! A filter is ours by its place and its name, `xbr/BRIDGE`. The name survives the pins, and tells two bridges apart.

use bridge_common::{PortId, record::Undo};

use super::{Bridge, hands::Hands};
use crate::{
    Error, Refusal, Result,
    control::Event,
    datapath::{Attachment, BridgeName, Slot, Way},
    link::{Direction, Filter, InterfaceName, Links, Place},
    plan::steps::Member,
};

/// The first of all: a filter in front of ours could hand a guest's frame to the host. `tc filter add` without
/// a priority begins at 49152 (`tcf_auto_prio`), and Cilium's `bpf` filters may share ours.
const PRIORITY: u16 = 1;

/// "xbr". Others count from 1 (`idr_alloc_u32` in `cls_bpf_change`).
const HANDLE: u32 = 0x0078_6272;

/// What is where a filter of ours belongs.
enum Found {
    Nothing,
    Ours,
    Foreign(Filter),
}

impl Hands {
    /// Puts a TC program into a slot: in place of our own filter's, without a gap, else anew.
    pub(super) fn put_filter(
        &mut self,
        id: PortId,
        slot: Slot,
        name: &InterfaceName,
        index: u32,
    ) -> Result<Attachment> {
        let Some(direction) = direction(slot) else { return Ok(Attachment::Replaced) };
        let Some(programs) = &mut self.programs else {
            return Err(Error::Controller(format!("no programs are loaded to attach to {name}")));
        };
        let (bridge, place) = (self.pins.bridge(), place(index, direction));
        let program = programs.classifier(id, slot)?;
        match look(&self.links, place, bridge)? {
            Found::Foreign(filter) => Err(refusal(&filter, name, direction).into()),
            Found::Ours => {
                self.pins.set_mark(id, slot)?;
                self.links.replace_filter(place, program, &filter_name(bridge))?;
                Ok(Attachment::Replaced)
            }
            Found::Nothing => {
                self.pins.set_mark(id, slot)?;
                if let Err(error) = self.links.add_filter(place, program, &filter_name(bridge)) {
                    self.pins.unpin(id, slot)?;
                    return Err(error.into());
                }
                Ok(Attachment::New)
            }
        }
    }

    /// Takes the program out of a slot, whatever holds it there. A device that is gone took its filters along.
    pub(super) fn take_out(&mut self, id: PortId, slot: Slot, index: u32) -> Result<()> {
        if self.pins.is_marked(id, slot)
            && let Some(direction) = direction(slot)
        {
            remove(&self.links, place(index, direction), self.pins.bridge())?;
        }
        Ok(self.pins.unpin(id, slot)?)
    }

    /// Whether the filter of a slot was removed from a device that is there still.
    fn has_lost(&self, member: &Member, slot: Slot) -> Result<bool> {
        let Some(direction) = direction(slot).filter(|_| self.pins.is_marked(member.id, slot)) else {
            return Ok(false);
        };
        let found = look(&self.links, place(member.ifindex, direction), self.pins.bridge())?;
        // The message that the device is gone may be on its way.
        Ok(matches!(found, Found::Nothing) && self.links.by_index(member.ifindex)?.is_some())
    }

    /// Gives the device a clsact qdisc, or takes it away unless somebody else's filters sit on it.
    pub(super) fn set_clsact(&self, name: &InterfaceName, index: u32, on: bool) -> Result<()> {
        let there = self.links.qdiscs(index)?.iter().any(|qdisc| qdisc.kind == "clsact");
        match (there, on) {
            (false, true) => Ok(self.links.add_clsact(index)?),
            (true, false) => {
                for direction in [Direction::Ingress, Direction::Egress] {
                    if !self.links.filters(index, direction)?.is_empty() {
                        tracing::info!(%name, "the clsact qdisc stays: filters of others sit on it");
                        return Ok(());
                    }
                }
                Ok(self.links.delete_clsact(index)?)
            }
            (true, true) | (false, false) => Ok(()),
        }
    }

    /// Writes into a member's record whether it needs a clsact qdisc of ours. One that others made serves us
    /// too, and so does an ingress qdisc (libvirt's, for a guest's bandwidth), which has no egress side.
    pub(super) fn plan_clsact(&self, member: &mut Member) -> Result<()> {
        if self.programs.as_ref().is_none_or(|programs| programs.way() == Way::Tcx) {
            return Ok(());
        }
        let qdiscs = self.links.qdiscs(member.ifindex)?;
        let has = |wanted: &str| qdiscs.iter().any(|qdisc| qdisc.kind == wanted);
        if has("ingress") && member.id == PortId::UPLINK {
            let message =
                format!("{0} has an ingress qdisc, beside which no clsact qdisc can be", member.name);
            let hint =
                format!("remove it, or make it a clsact qdisc: tc qdisc del dev {} ingress", member.name);
            return Err(Refusal::new(message, hint).into());
        }
        if !has("ingress") && !has("clsact") {
            member.record.undo = member.record.undo.with(Undo::CLSACT, true);
        }
        Ok(())
    }
}

impl Bridge {
    /// Called every second. Whoever deletes a clsact qdisc deletes our filters with it, and a TAP without its
    /// program is a plain interface of the host. (A tcx link stays.)
    pub(super) fn keep_filters(&mut self) -> Result<()> {
        if self.hands.programs.as_ref().is_none_or(|programs| programs.way() == Way::Tcx) {
            return Ok(());
        }
        let members: Vec<_> = self.members.values().cloned().collect();
        for mut member in members {
            for slot in [Slot::Egress, Slot::Ingress] {
                if self.hands.has_lost(&member, slot)? {
                    self.put_back(&mut member, slot)?;
                }
            }
        }
        Ok(())
    }

    fn put_back(&mut self, member: &mut Member, slot: Slot) -> Result<()> {
        self.hands.plan_clsact(member)?;
        self.hands.tables.set_record(member.id, member.record)?;
        self.members.insert(member.id, member.clone());
        if member.record.undo.has(Undo::CLSACT) {
            self.hands.set_clsact(&member.name, member.ifindex, true)?;
        }
        self.hands.put_filter(member.id, slot, &member.name, member.ifindex)?;
        self.tell_port(
            Event::PortChanged,
            member.id,
            format!("{slot} again: somebody had removed our filter"),
        );
        Ok(())
    }
}

/// Deletes every filter of a bridge in this network namespace, also such as nothing is written down of.
pub(super) fn remove_all(links: &Links, bridge: &BridgeName) -> Result<()> {
    for link in links.list()? {
        for direction in [Direction::Ingress, Direction::Egress] {
            remove(links, place(link.index, direction), bridge)?;
        }
    }
    Ok(())
}

fn remove(links: &Links, place: Place, bridge: &BridgeName) -> Result<()> {
    match look(links, place, bridge)? {
        Found::Ours => Ok(links.delete_filter(place)?),
        Found::Nothing | Found::Foreign(_) => Ok(()),
    }
}

fn look(links: &Links, place: Place, bridge: &BridgeName) -> Result<Found> {
    // Filters of one priority are of one kind and protocol, so another kind is in our way whatever its handle.
    let in_the_way = |filter: &Filter| {
        let fits = filter.kind == "bpf" && filter.all_protocols;
        filter.chain == 0 && filter.priority == place.priority && (!fits || filter.handle == place.handle)
    };
    let filters = links.filters(place.index, place.direction)?;
    Ok(match filters.into_iter().find(in_the_way) {
        None => Found::Nothing,
        Some(filter) if filter.name.as_deref() == Some(&filter_name(bridge)) => Found::Ours,
        Some(filter) => Found::Foreign(filter),
    })
}

fn refusal(filter: &Filter, name: &InterfaceName, direction: Direction) -> Refusal {
    let called = filter.name.as_ref().map_or(String::new(), |called| format!(" {called}"));
    let at = format!("at {} of {name}", direction.word());
    let Filter { priority, kind, .. } = filter;
    Refusal::new(
        format!("another filter ({kind}{called}) has priority {priority} {at}, which xbr needs"),
        format!("see it with tc filter show dev {name} {}, and give it another priority", direction.word()),
    )
}

fn filter_name(bridge: &BridgeName) -> String {
    format!("xbr/{bridge}")
}

fn place(index: u32, direction: Direction) -> Place {
    Place { index, direction, priority: PRIORITY, handle: HANDLE }
}

/// TC's slots alone can be a filter's.
fn direction(slot: Slot) -> Option<Direction> {
    match slot {
        Slot::Ingress => Some(Direction::Ingress),
        Slot::Egress => Some(Direction::Egress),
        Slot::Xdp | Slot::Xmit => None,
    }
}
