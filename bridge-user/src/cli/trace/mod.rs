//! `xbr trace`: what the switch would do with a frame, and why. It runs the forwarding decision itself on the
//! live tables, and changes nothing.

mod explain;

use std::collections::BTreeMap;

use bridge_common::{
    Config, DropReason, Fdb, FdbEntry, FdbKey, Frame, Mac, Policies, Port, PortId, Ports, Question, Stations,
    Vlan, Vlans, decide,
    fdb::Full,
    frame::{HEADER, Segments},
    policy::{Guards, Meter, Source},
    vlan::{ANY_VLAN, Membership, Tag},
};
use clap::Args;

use self::explain::explain;
use super::{Common, output, which};
use crate::{
    Refusal, Result, clock,
    datapath::{Levels, Rules, Tables},
    snapshot,
};

/// Which frame.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// The port where it comes in; `host` for the host
    #[arg(long, value_name = "PORT")]
    from: String,
    /// Its source address
    source: Mac,
    /// Its destination address
    destination: Mac,
    /// Its length in bytes with L2 header, without FCS
    #[arg(long = "len", value_name = "BYTES", default_value_t = 60)]
    length: u32,
    /// The VLAN of its tag; 0 for a tag of priority only, and no tag if it is not given
    #[arg(long, value_name = "VID", value_parser = clap::value_parser!(u16).range(0..=4095))]
    vlan: Option<u16>,
}

/// What the decision asks about, read from the tables beforehand, so that a map that cannot be read is an
/// error and no absent station.
#[derive(Clone, Debug, Default)]
struct Facts {
    config: Config,
    /// In nanoseconds of the FDB's clock.
    now: u64,
    stations: BTreeMap<FdbKey, FdbEntry>,
    ports: BTreeMap<PortId, Port>,
    vlans: BTreeMap<u16, Vlan>,
    names: BTreeMap<PortId, String>,
    allowed: BTreeMap<PortId, Allowed>,
}

/// What a port is allowed, and how much of it is used.
#[derive(Clone, Debug, Default)]
struct Allowed {
    rules: Rules,
    levels: Levels,
    stations_used: u64,
}

impl Stations for Facts {
    fn station(&self, key: &FdbKey) -> Option<FdbEntry> {
        self.stations.get(key).copied()
    }
}

impl Fdb for Facts {
    fn refresh(&mut self, key: &FdbKey, now: u64) {
        if let Some(entry) = self.stations.get_mut(key) {
            entry.last_seen = now;
        }
    }

    fn learn(&mut self, key: &FdbKey, entry: FdbEntry, _ageing: u64) -> Result<(), Full> {
        self.stations.insert(*key, entry);
        Ok(())
    }

    fn make_room(&mut self, _ageing: u64) -> bool {
        false
    }
}

impl Ports for Facts {
    fn port(&self, id: PortId) -> Option<Port> {
        self.ports.get(&id).copied()
    }
}

impl Vlans for Facts {
    fn membership(&self, vid: u16, id: PortId) -> Membership {
        self.vlans.get(&vid).map_or(Membership::None, |vlan| vlan.membership(id))
    }
}

impl Policies for Facts {
    fn guards(&self, id: PortId) -> Guards {
        self.allowed.get(&id).map_or(Guards::default(), |allowed| allowed.rules.policy.guards)
    }

    fn allows(&self, source: &Source) -> bool {
        self.allowed.get(&PortId(source.port)).is_some_and(|allowed| allowed.rules.sources.contains(source))
    }

    fn has_room(&self, id: PortId) -> bool {
        let room = |allowed: &Allowed| allowed.stations_used < u64::from(allowed.rules.policy.stations_max);
        self.allowed.get(&id).is_some_and(room)
    }

    fn may(&self, id: PortId, meter: Meter, now: u64, units: u64) -> bool {
        let Some(allowed) = self.allowed.get(&id) else { return true };
        let (rate, level) = (allowed.rules.policy.rates[meter as usize], allowed.levels[meter as usize]);
        !rate.is_limit() || rate.after(level, now, units).is_some()
    }

    /// A trace changes nothing.
    fn charge(&mut self, _id: PortId, _meter: Meter, _now: u64, _units: u64) {}
}

impl Facts {
    fn read(
        tables: &Tables,
        names: BTreeMap<PortId, String>,
        frame: &Frame,
        ingress: PortId,
    ) -> Result<Self> {
        let mut facts = Self { config: tables.config(), now: clock::monotonic(), names, ..Self::default() };
        for id in facts.names.keys() {
            facts.ports.insert(*id, tables.port(*id)?);
            let (rules, levels) = (tables.rules(*id)?, tables.levels(*id)?);
            let allowed = Allowed { rules, levels, stations_used: tables.stations_used(*id)? };
            facts.allowed.insert(*id, allowed);
        }
        facts.vlans = tables.vlans().all()?.into_iter().collect();
        let vlan = facts.vlan_of(frame, ingress);
        for key in [frame.source(vlan), frame.source(ANY_VLAN), frame.destination(vlan)] {
            if let Some(entry) = tables.station(&key)? {
                facts.stations.insert(key, entry);
            }
        }
        Ok(facts)
    }

    /// The VLAN that the decision takes a frame to be of.
    fn vlan_of(&self, frame: &Frame, ingress: PortId) -> u16 {
        let pvid = self.ports.get(&ingress).map_or(0, |port| port.flags.pvid());
        match frame.tag.vid() {
            _ if !self.config.filters_vlans() => 0,
            0 => pvid,
            vid => vid,
        }
    }

    fn name(&self, id: PortId) -> String {
        self.names.get(&id).cloned().unwrap_or_else(|| format!("#{}", id.0))
    }
}

/// Decides and explains.
pub fn run(common: &Common, args: &TraceArgs) -> Result<()> {
    let bridge = which::bridge(common.bridge.as_ref())?;
    if args.length < HEADER {
        let message = format!("no frame is {} bytes long", args.length);
        return Err(Refusal::new(message, "an Ethernet header alone has 14").into());
    }
    let names = snapshot::names(&bridge.tables)?;
    let Some(ingress) = names.iter().find(|(_, name)| **name == args.from).map(|(id, _)| *id) else {
        let known = names.into_values().collect::<Vec<_>>().join(", ");
        return Err(
            Refusal::new(format!("the bridge has no port {}", args.from), format!("it has {known}")).into()
        );
    };
    let tag = args.vlan.map_or(Tag::NONE, |vid| Tag::new(vid, false));
    // While VLAN filtering is off, the programs do not look at tags.
    let tag = if bridge.tables.config().filters_vlans() { tag } else { Tag::NONE };
    let frame = Frame {
        dst: args.destination.address(),
        src: args.source.address(),
        tag,
        frames: Segments::one(args.length),
    };
    let facts = Facts::read(&bridge.tables, names, &frame, ingress)?;
    let question = Question { frame, ingress, now: facts.now, config: &facts.config };
    // Of the frame only its addresses are known: what the guards ask of its inside is taken to be right.
    let inspect = |guards: Guards| {
        let own = !guards.has(Guards::MACS) || facts.allows(&Source::mac(ingress, frame.src.mac()));
        (!own).then_some(DropReason::MacGuard)
    };
    let decision = decide(&question, facts.port(ingress).as_ref(), &facts, &facts, inspect);
    let explained = explain(&facts, &question, decision);
    output::print(&if common.json { output::json(&explained)? } else { explained.text() })
}
