//! `xbr trace`: what the switch would do with a frame, and why. It runs the forwarding decision itself on the
//! live tables, and changes nothing.

mod explain;

use std::collections::BTreeMap;

use bridge_common::{
    Config, Fdb, FdbEntry, FdbKey, Frame, Mac, Port, PortId, Ports, decide, fdb::Full, frame::HEADER,
};
use clap::Args;

use self::explain::explain;
use super::{Common, output, which};
use crate::{Refusal, Result, clock, datapath::Tables, snapshot};

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
    names: BTreeMap<PortId, String>,
}

impl Fdb for Facts {
    fn station(&self, key: &FdbKey) -> Option<FdbEntry> {
        self.stations.get(key).copied()
    }

    fn refresh(&mut self, key: &FdbKey, now: u64) {
        if let Some(entry) = self.stations.get_mut(key) {
            entry.last_seen = now;
        }
    }

    fn learn(&mut self, key: &FdbKey, entry: FdbEntry, _ageing: u64) -> Result<(), Full> {
        self.stations.insert(*key, entry);
        Ok(())
    }
}

impl Ports for Facts {
    fn port(&self, id: PortId) -> Option<Port> {
        self.ports.get(&id).copied()
    }
}

impl Facts {
    fn read(tables: &Tables, frame: &Frame) -> Result<Self> {
        let names = snapshot::names(tables)?;
        let mut facts = Self { config: tables.config()?, now: clock::monotonic(), names, ..Self::default() };
        for id in facts.names.keys() {
            facts.ports.insert(*id, tables.port(*id)?);
        }
        for key in [frame.source(), frame.destination()] {
            if let Some(entry) = tables.station(&key)? {
                facts.stations.insert(key, entry);
            }
        }
        Ok(facts)
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
    // While VLAN filtering is off, every frame is in VLAN 0.
    let frame = Frame { dst: args.destination, src: args.source, vlan: 0, length: args.length };
    let facts = Facts::read(&bridge.tables, &frame)?;
    let Some(ingress) = facts.names.iter().find(|(_, name)| **name == args.from).map(|(id, _)| *id) else {
        let known = facts.names.into_values().collect::<Vec<_>>().join(", ");
        return Err(
            Refusal::new(format!("the bridge has no port {}", args.from), format!("it has {known}")).into()
        );
    };
    let decision = decide(&frame, ingress, facts.now, &facts.config, &facts);
    let explained = explain(&facts, &frame, ingress, decision);
    output::print(&if common.json { output::json(&explained)? } else { explained.text() })
}
