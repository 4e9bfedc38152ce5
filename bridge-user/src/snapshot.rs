//! A bridge at one moment, as plain data: what `show`, `stats`, `top` and the metrics make their pictures of.
//!
//! It is read from the pins and from netlink alone, so it needs no controller.

use std::collections::{BTreeMap, HashMap};

use bridge_common::{
    Config, Port, PortCounters, PortId, Vlan,
    multicast::GroupCounters,
    record::PortRecord,
    snoop::{SnoopBudget, SnoopKind},
    vlan::VlanCounters,
};

use crate::{
    Result, clock,
    datapath::{BridgeName, Rules, Station, Tables},
    link::{Link, Links},
};

/// The name of the port that has no device.
pub const HOST: &str = "host";

/// A port at one moment.
#[derive(Clone, Debug)]
pub struct PortRow {
    /// Its number.
    pub id: PortId,
    /// Its device's name; [`HOST`] for the host.
    pub name: String,
    /// What the programs know.
    pub port: Port,
    /// What the controller wrote down.
    pub record: PortRecord,
    /// What the programs counted.
    pub counters: PortCounters,
    /// What it is allowed.
    pub rules: Rules,
    /// Stations that count against its quota.
    pub stations_used: u64,
    /// What was counted of groups.
    pub groups: GroupCounts,
    /// The device as the kernel has it now; none for the host, and for a device that is gone.
    pub device: Option<Link>,
}

impl PortRow {
    /// Frames that the device dropped on their way out, which only the kernel counts: a TAP whose guest is
    /// too slow.
    pub fn device_tx_dropped(&self) -> Option<u64> {
        self.device.as_ref().map(|device| device.statistics.tx_dropped)
    }

    /// Drops of all reasons.
    pub fn drops(&self) -> u64 {
        self.counters.drops.iter().sum()
    }
}

/// What was counted of groups at a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupCounts {
    /// By the controller.
    pub counters: GroupCounters,
    /// By the programs, of IGMP and MLD.
    pub budgets: [SnoopBudget; 2],
}

/// How many stations are behind a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StationCount {
    /// Learned, and not expired.
    pub learned: u64,
    /// Static.
    pub fixed: u64,
}

/// A VLAN at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VlanRow {
    /// Its number.
    pub vid: u16,
    /// Its members.
    pub vlan: Vlan,
    /// What was counted, on all ports together.
    pub counters: VlanCounters,
}

/// A bridge at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its name.
    pub bridge: BridgeName,
    /// What the programs read for every frame.
    pub config: Config,
    /// How many stations the FDB holds at most.
    pub fdb_max: u32,
    /// The ports: the host, the uplink, then the guests' by number.
    pub ports: Vec<PortRow>,
    /// The stations behind each port that has any.
    pub stations: BTreeMap<PortId, StationCount>,
    /// The VLANs that have members, in order.
    pub vlans: Vec<VlanRow>,
    /// Multicast groups, and sources of groups, that are followed.
    pub groups: u64,
}

impl Snapshot {
    /// Reads everything, the FDB included.
    pub fn read(bridge: &BridgeName, tables: &Tables, links: &Links) -> Result<Self> {
        let config = tables.config();
        Ok(Self {
            bridge: bridge.clone(),
            config,
            fdb_max: tables.fdb_max(),
            ports: ports(tables, links)?,
            stations: count(&tables.stations()?, clock::monotonic(), config.ageing),
            vlans: vlans(tables)?,
            groups: tables.group_count()?,
        })
    }
}

/// The ports of a bridge: the host, the uplink, then the guests' by number.
pub fn ports(tables: &Tables, links: &Links) -> Result<Vec<PortRow>> {
    let mut devices: HashMap<u32, Link> = links.list()?.into_iter().map(|link| (link.index, link)).collect();
    let sources = tables.sources()?;
    let rules = |id: PortId| -> Result<Rules> {
        let own = sources.iter().filter(|source| source.port == id.0).copied().collect();
        Ok(Rules { policy: tables.policy(id)?, sources: own, groups: tables.group_policy(id)? })
    };
    let mut rows = vec![PortRow {
        id: PortId::HOST,
        name: HOST.into(),
        port: tables.port(PortId::HOST)?,
        record: PortRecord::default(),
        counters: tables.counters(PortId::HOST)?,
        rules: rules(PortId::HOST)?,
        stations_used: tables.stations_used(PortId::HOST)?,
        groups: group_counts(tables, PortId::HOST)?,
        device: None,
    }];
    for (id, record) in tables.records()? {
        let port = tables.port(id)?;
        rows.push(PortRow {
            id,
            name: record.name().into(),
            port,
            record,
            counters: tables.counters(id)?,
            rules: rules(id)?,
            stations_used: tables.stations_used(id)?,
            groups: group_counts(tables, id)?,
            device: devices.remove(&port.ifindex),
        });
    }
    Ok(rows)
}

fn group_counts(tables: &Tables, id: PortId) -> Result<GroupCounts> {
    let budgets = [tables.snoop_budget(id, SnoopKind::Igmp)?, tables.snoop_budget(id, SnoopKind::Mld)?];
    Ok(GroupCounts { counters: tables.group_counters(id)?, budgets })
}

/// The VLANs that have members, in order.
pub fn vlans(tables: &Tables) -> Result<Vec<VlanRow>> {
    let row = |(vid, vlan)| Ok(VlanRow { vid, vlan, counters: tables.vlans().counters(vid)? });
    tables.vlans().all()?.into_iter().map(row).collect()
}

/// The names of the ports, the host included.
pub fn names(tables: &Tables) -> Result<BTreeMap<PortId, String>> {
    let named = tables.records()?.into_iter().map(|(id, record)| (id, record.name().to_string()));
    Ok([(PortId::HOST, HOST.to_string())].into_iter().chain(named).collect())
}

/// Counts stations by port. `now` and `ageing` are in nanoseconds; expired stations are none.
pub fn count(stations: &[Station], now: u64, ageing: u64) -> BTreeMap<PortId, StationCount> {
    let mut counts = BTreeMap::<PortId, StationCount>::new();
    for Station { entry, .. } in stations.iter().filter(|station| !station.entry.is_expired(now, ageing)) {
        let count = counts.entry(entry.port()).or_default();
        *if entry.is_static() { &mut count.fixed } else { &mut count.learned } += 1;
    }
    counts
}

#[cfg(test)]
#[allow(missing_docs)]
pub mod tests {
    use super::*;
    use bridge_common::{
        FdbEntry, FdbFlags, FdbKey, Mac, PortFlags,
        record::{HookChoice, Origin, Undo},
        vlan::Membership,
    };

    /// A bridge as it might be: host, uplink `eth0`, the TAP `vm1` and the port `veth1`, which is down.
    pub fn sample() -> Snapshot {
        let port = |ifindex, mtu, flags| Port { ifindex, mtu, flags };
        let row = |id, name: &str, port, record, counters| PortRow {
            id: PortId(id),
            name: name.into(),
            port,
            record,
            counters,
            rules: Rules::default(),
            stations_used: 0,
            groups: GroupCounts::default(),
            device: None,
        };
        let record = |name: &str, hook: HookChoice, origin| PortRecord {
            hook: hook as u16,
            origin,
            ..PortRecord::named(name)
        };
        let tap = PortRecord {
            undo: Undo::CREATED.with(Undo::IPV6, true),
            ..record("vm1", HookChoice::Auto, Origin(Origin::CONFIGURED.0 | Origin::TAP.0))
        };
        let mut busy = PortCounters {
            rx_packets: 1200,
            rx_bytes: 98_000,
            tx_packets: 40,
            tx_bytes: 5000,
            learned: 2,
            moved: 1,
            refused_full: 7,
            ..PortCounters::default()
        };
        busy.drops[bridge_common::DropReason::LinkLocal as usize] = 3;
        busy.slow[bridge_common::SlowReason::Unfinished as usize] = 9;
        let up = PortFlags::UP;
        let xdp = PortFlags(PortFlags::UP.0 | PortFlags::XDP.0);
        let idle = PortCounters::default();
        let guarded = PortFlags::XDP.with(PortFlags::GUARD, true);
        Snapshot {
            bridge: "xbr0".parse().unwrap(),
            config: Config {
                ageing: 300_000_000_000,
                uplink: Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]).address(),
                ports_end: 4,
                ..Config::default()
            },
            groups: 3,
            fdb_max: 65_536,
            ports: vec![
                row(0, HOST, port(2, 1500, up), PortRecord::default(), idle),
                row(
                    1,
                    "eth0",
                    port(2, 1500, xdp),
                    record("eth0", HookChoice::Auto, Origin::CONFIGURED),
                    idle,
                ),
                row(2, "vm1", port(7, 1500, up), tap, busy),
                row(3, "veth1", port(9, 9000, guarded), record("veth1", HookChoice::Xdp, Origin(0)), idle),
            ],
            stations: [(PortId(2), StationCount { learned: 2, fixed: 1 })].into(),
            vlans: vec![
                VlanRow {
                    vid: 1,
                    vlan: Vlan::default()
                        .with(PortId::HOST, Membership::Untagged)
                        .with(PortId::UPLINK, Membership::Untagged),
                    counters: VlanCounters::default(),
                },
                VlanRow {
                    vid: 10,
                    vlan: Vlan::default()
                        .with(PortId::UPLINK, Membership::Tagged)
                        .with(PortId(2), Membership::Untagged),
                    counters: VlanCounters { rx_packets: 7, rx_bytes: 700, tx_packets: 6, tx_bytes: 600 },
                },
            ],
        }
    }

    #[test]
    fn expired_stations_do_not_count() {
        let station = |port, flags, last_seen| Station {
            key: FdbKey::default(),
            entry: FdbEntry::new(PortId(port), flags, last_seen),
        };
        let learned = FdbFlags::default();
        let stations = [station(2, learned, 1), station(2, learned, 90), station(2, FdbFlags::STATIC, 1)];
        let expected = StationCount { learned: 1, fixed: 1 };
        assert_eq!(count(&stations, 100, 20), [(PortId(2), expected)].into());
        assert_eq!(count(&stations, 100, 0)[&PortId(2)].learned, 2, "0 is for ever");
    }
}
