//! What becomes of a frame that speaks of neighbours.

use super::{Heard, Neighbour};
use crate::{Config, PortFlags, PortId, Ports, Stations, Vlans, vlan::Membership};

/// What becomes of a frame that speaks of neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Outcome {
    /// It is flooded as ever.
    Flood,
    /// It is flooded, but not to ports with `neigh_suppress`.
    Withhold,
    /// The same, and it is answered for the neighbour.
    Answer,
}

/// Decides about a frame that `from`, the word of its port, lets in at `ingress`; `known` is who has its target, if
/// anybody.
#[inline(always)]
pub fn outcome<T: Stations + Ports + Vlans>(
    heard: &Heard,
    known: &Neighbour,
    (ingress, from): (PortId, PortFlags),
    (vlan, now): (u16, u64),
    config: &Config,
    tables: &T,
) -> Outcome {
    if from.has(PortFlags::NEIGH_SUPPRESS) {
        return Outcome::Flood;
    }
    if heard.is(Heard::ANNOUNCES) {
        return Outcome::Withhold;
    }
    if !heard.is(Heard::ASKS)
        || known.is_nobody()
        || known.is_doubted()
        || !known.is_alive(vlan, now, config, tables)
    {
        return Outcome::Flood;
    }
    let Some(port) = tables.port(known.port()).filter(crate::Port::is_up) else { return Outcome::Flood };
    let apart = from.has(PortFlags::ISOLATED) && port.flags.has(PortFlags::ISOLATED);
    let elsewhere = config.filters_vlans() && tables.membership(vlan, known.port()) == Membership::None;
    if apart || elsewhere {
        return Outcome::Flood;
    }
    let answers = port.flags.has(PortFlags::NEIGH_SUPPRESS) && known.port() != ingress;
    if answers { Outcome::Answer } else { Outcome::Withhold }
}
