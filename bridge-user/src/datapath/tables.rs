//! The tables, typed. They work on the pins alone, so they read the same with and without a controller.

use std::os::fd::AsFd as _;

use aya::maps::{Array, DevMap, HashMap, Map, MapData, MapError, PerCpuArray};
use bridge_common::{
    Config, FdbEntry, FdbKey, Port, PortCounters, PortId, maps,
    record::{BridgeRecord, PortRecord},
    vlan::ANY_VLAN,
};

use super::{
    PinDir, VlanTables, batch,
    error::{Error, Result, words},
    floods::FloodMaps,
    groups::GroupMaps,
    layout,
    neighbours::NeighbourMaps,
    policies::PolicyMaps,
    probes::ProbeMaps,
    programs::OBJECT,
    state::Shared,
};

/// Entries that are written by one call: a millisecond's worth, since what was read of them before counts until the call is over.
const WRITTEN_AT_ONCE: usize = 4096;

/// A row of the FDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// VLAN and address.
    pub key: FdbKey,
    /// Port, flags and time.
    pub entry: FdbEntry,
}

/// The tables of one bridge.
pub struct Tables {
    fdb: HashMap<MapData, FdbKey, FdbEntry>,
    /// The same map again: aya keeps the descriptor of the typed one to itself.
    fdb_data: MapData,
    state: Shared,
    ports: Array<MapData, Port>,
    records: Array<MapData, PortRecord>,
    /// As above.
    records_data: MapData,
    bridge: Array<MapData, BridgeRecord>,
    counters: PerCpuArray<MapData, PortCounters>,
    port_of: HashMap<MapData, u32, u32>,
    devices: DevMap<MapData>,
    pub(super) policy_maps: PolicyMaps,
    pub(super) probe_maps: ProbeMaps,
    pub(super) neighbour_maps: NeighbourMaps,
    pub(super) group_maps: GroupMaps,
    vlans: VlanTables,
    pub(super) floods: FloodMaps,
    fdb_max: u32,
}

impl Tables {
    /// Opens the tables of a bridge that exists. Refuses those that another version of xbr made in other
    /// shapes.
    pub fn open(pins: &PinDir) -> Result<Self> {
        match layout::compare(pins, OBJECT, None)? {
            layout::Found::Same => Self::open_at(|name| pins.map(name)),
            layout::Found::Nothing => Err(Error::NoBridge(pins.bridge().to_string())),
            layout::Found::Other(reason) => {
                Err(Error::OtherLayout { bridge: pins.bridge().to_string(), reason })
            }
        }
    }

    /// Opens tables whose shapes are known to be right.
    pub(super) fn open_at(pin: impl Fn(&str) -> std::path::PathBuf) -> Result<Self> {
        let pin = &pin;
        let data = |map: &'static str| {
            MapData::from_pin(pin(map)).map_err(|error| Error::OpenMap { map, reason: words(&error) })
        };
        let fdb_max = data(maps::FDB)?.info().map_err(|error| open_error(maps::FDB, error))?.max_entries();
        Ok(Self {
            fdb: typed(maps::FDB, data(maps::FDB)?)?,
            fdb_data: data(maps::FDB)?,
            state: Shared::open(&data(maps::STATE)?)?,
            ports: typed(maps::PORTS, data(maps::PORTS)?)?,
            records: typed(maps::RECORDS, data(maps::RECORDS)?)?,
            records_data: data(maps::RECORDS)?,
            bridge: typed(maps::BRIDGE, data(maps::BRIDGE)?)?,
            counters: typed(maps::COUNTERS, data(maps::COUNTERS)?)?,
            port_of: typed(maps::PORT_OF, data(maps::PORT_OF)?)?,
            devices: typed(maps::DEVICES, data(maps::DEVICES)?)?,
            policy_maps: PolicyMaps::open(data)?,
            floods: FloodMaps::open(data)?,
            probe_maps: ProbeMaps::open(data)?,
            neighbour_maps: NeighbourMaps::open(data)?,
            group_maps: GroupMaps::open(data)?,
            vlans: VlanTables::open_at(pin)?,
            fdb_max,
        })
    }

    /// How many stations the FDB holds at most.
    pub fn fdb_max(&self) -> u32 {
        self.fdb_max
    }

    /// The settings that the programs read.
    pub fn config(&self) -> Config {
        self.state.config()
    }

    /// Writes the settings.
    pub fn set_config(&mut self, config: Config) -> Result<()> {
        self.floods.outdate()?;
        self.state.set_config(config);
        // A longer ageing time makes an entry young again, but not one that was swept away.
        self.state.end_generation();
        Ok(())
    }

    /// What the controller wrote down about the bridge.
    pub fn bridge(&self) -> Result<BridgeRecord> {
        self.bridge.get(&0, 0).map_err(|error| read_error(maps::BRIDGE, error))
    }

    /// Writes the bridge's record.
    pub fn set_bridge(&mut self, record: BridgeRecord) -> Result<()> {
        self.bridge.set(0, record, 0).map_err(|error| write_error(maps::BRIDGE, error))
    }

    /// The facts of a port.
    pub fn port(&self, id: PortId) -> Result<Port> {
        self.ports.get(&id.index(), 0).map_err(|error| read_error(maps::PORTS, error))
    }

    /// Writes the facts of a port.
    pub fn set_port(&mut self, id: PortId, port: Port) -> Result<()> {
        self.floods.outdate()?;
        self.ports.set(id.index(), port, 0).map_err(|error| write_error(maps::PORTS, error))?;
        self.state.set_port(id, &port);
        Ok(())
    }

    /// The VLANs.
    pub fn vlans(&self) -> &VlanTables {
        &self.vlans
    }

    /// The VLANs, to be changed.
    pub fn vlans_mut(&mut self) -> Result<&mut VlanTables> {
        self.floods.outdate()?;
        Ok(&mut self.vlans)
    }

    /// What the controller wrote down about a port.
    pub fn record(&self, id: PortId) -> Result<PortRecord> {
        self.records.get(&id.index(), 0).map_err(|error| read_error(maps::RECORDS, error))
    }

    /// Writes a port's record.
    pub fn set_record(&mut self, id: PortId, record: PortRecord) -> Result<()> {
        self.records.set(id.index(), record, 0).map_err(|error| write_error(maps::RECORDS, error))
    }

    /// Every port with a record, the uplink included and the host not.
    pub fn records(&self) -> Result<Vec<(PortId, PortRecord)>> {
        let rows = batch::read::<u32, PortRecord>(self.records_data.fd().as_fd())
            .map_err(|error| Error::ReadMap { map: maps::RECORDS, reason: error.to_string() })?;
        let ports = rows.into_iter().map(|(index, record)| (PortId(index as u16), record));
        Ok(ports.filter(|(id, record)| *id != PortId::HOST && !record.name().is_empty()).collect())
    }

    /// Tells the programs which port a device is, or that it is none.
    pub fn set_port_of(&mut self, ifindex: u32, port: Option<PortId>) -> Result<()> {
        let outcome = match port {
            Some(port) => self.port_of.insert(ifindex, port.index(), 0),
            None => absent_is_fine(self.port_of.remove(&ifindex)),
        };
        outcome.map_err(|error| write_error(maps::PORT_OF, error))?;
        match port {
            Some(id) => self.state.set_device(id, &Port { ifindex, ..self.port(id)? }),
            None => self.state.clear_device(ifindex),
        }
        Ok(())
    }

    /// Puts a port's device into the devmap, or takes it out.
    pub fn set_device(&mut self, port: PortId, ifindex: Option<u32>) -> Result<()> {
        // aya cannot delete an element of a devmap; to the kernel, interface 0 is none (`dev_map_update_elem`).
        self.devices
            .set(port.index(), ifindex.unwrap_or(0), None, 0)
            .map_err(|error| Error::WriteMap { map: maps::DEVICES, reason: words(&error) })
    }

    /// A port's counters, all CPUs together.
    pub fn counters(&self, id: PortId) -> Result<PortCounters> {
        let shares = self.counters.get(&id.index(), 0).map_err(|error| read_error(maps::COUNTERS, error))?;
        let mut sum = PortCounters::default();
        for share in shares.iter() {
            sum.add(share);
        }
        Ok(sum)
    }

    /// Sets a port's counters to zero, for a new port of an old number.
    pub fn clear_counters(&mut self, id: PortId) -> Result<()> {
        let error = |error| write_error(maps::COUNTERS, error);
        let mut shares = self.counters.get(&id.index(), 0).map_err(error)?.to_vec();
        shares.fill(PortCounters::default());
        let shares = shares
            .try_into()
            .map_err(|source| Error::WriteMap { map: maps::COUNTERS, reason: format!("{source}") })?;
        self.counters.set(id.index(), shares, 0).map_err(error)
    }

    /// Every station of the FDB, expired ones included, in no order.
    pub fn stations(&self) -> Result<Vec<Station>> {
        let mut rows = self.entries()?;
        // Those say again what a static station's own entry says.
        rows.retain(|row| row.key.vlan != ANY_VLAN);
        Ok(rows)
    }

    /// Every entry of the FDB, those of [`ANY_VLAN`] included, which are no stations.
    pub fn entries(&self) -> Result<Vec<Station>> {
        let rows = batch::read::<FdbKey, FdbEntry>(self.fdb_data.fd().as_fd())
            .map_err(|error| Error::ReadMap { map: maps::FDB, reason: error.to_string() })?;
        Ok(rows.into_iter().map(|(key, entry)| Station { key, entry }).collect())
    }

    /// One entry of the FDB.
    pub fn station(&self, key: &FdbKey) -> Result<Option<FdbEntry>> {
        match self.fdb.get(key, 0) {
            Ok(entry) => Ok(Some(entry)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(read_error(maps::FDB, error)),
        }
    }

    /// Writes many entries of the FDB.
    pub fn set_stations(&mut self, stations: &[Station]) -> Result<()> {
        let mut before = 0;
        for part in stations.chunks(WRITTEN_AT_ONCE) {
            let keys: Vec<_> = part.iter().map(|station| station.key).collect();
            let entries: Vec<_> = part.iter().map(|station| station.entry).collect();
            let outcome = batch::write(self.fdb_data.fd().as_fd(), &keys, &entries);
            self.state.end_generation();
            outcome.map_err(|(written, error)| Error::WriteMap {
                map: maps::FDB,
                reason: format!("{error} (after {} entries)", before + written),
            })?;
            before += part.len();
        }
        Ok(())
    }

    /// Deletes entries of the FDB; those that are not there are passed over. What counts against quotas is not touched: see
    /// [`Self::forget_stations`].
    pub fn remove_stations(&mut self, keys: &[FdbKey]) -> Result<()> {
        self.take_stations(keys).map(drop)
    }

    /// Deletes entries of the FDB and says which of them, by their places in `keys`, were not there.
    pub(super) fn take_stations(&mut self, keys: &[FdbKey]) -> Result<Vec<usize>> {
        let outcome = batch::delete(self.fdb_data.fd().as_fd(), keys);
        self.state.end_generation();
        outcome.map_err(|error| Error::WriteMap { map: maps::FDB, reason: error.to_string() })
    }
}

pub(super) fn typed<T: TryFrom<Map, Error = MapError>>(map: &'static str, data: MapData) -> Result<T> {
    Map::from_map_data(data).and_then(T::try_from).map_err(|error| open_error(map, error))
}

pub(super) fn absent_is_fine(outcome: Result<(), MapError>) -> Result<(), MapError> {
    match outcome {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(super) fn open_error(map: &'static str, error: MapError) -> Error {
    Error::OpenMap { map, reason: words(&error) }
}

pub(super) fn read_error(map: &'static str, error: MapError) -> Error {
    Error::ReadMap { map, reason: words(&error) }
}

pub(super) fn write_error(map: &'static str, error: MapError) -> Error {
    Error::WriteMap { map, reason: words(&error) }
}
