//! The sets of recipients of floods that XDP makes the copies of.
//!
//! All that they depend on is written through [`Tables`], which ends the generation before it writes: from then on every flood is TC's,
//! until [`Tables::settle_floods`] has worked the sets out anew. So no frame meets a set that is not true any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::maps::{Array, HashMap, Map, MapData, MapError, xdp::DevMap};
use bridge_common::{
    Config, Policies, Port, PortFlags, PortId, Ports, Vlan, Vlans,
    maps::{FLOOD_DEVICES, FLOOD_OF, FLOOD_SETS, FLOOD_STATE},
    policy::{Guards, Meter, Source},
    recipients::{Kind, MAX_KINDS, MAX_SETS, Recipients, recipients},
    vlan::Membership,
};

use super::{
    Tables, batch,
    error::{Error, Result},
    tables::{absent_is_fine, read_error, typed, write_error},
};

/// The maps.
pub(super) struct FloodMaps {
    state: Array<MapData, u64>,
    of: HashMap<MapData, u32, u32>,
    /// The same map again: aya keeps the descriptor of the typed one to itself.
    of_data: MapData,
    sets: Array<MapData, Recipients>,
    devices: MapData,
    /// The generation of which the sets were worked out here.
    settled: Option<u64>,
    /// It was ended here since.
    ended: bool,
}

impl FloodMaps {
    pub(super) fn open(data: impl Fn(&'static str) -> Result<MapData>) -> Result<Self> {
        Ok(Self {
            state: typed(FLOOD_STATE, data(FLOOD_STATE)?)?,
            of: typed(FLOOD_OF, data(FLOOD_OF)?)?,
            of_data: data(FLOOD_OF)?,
            sets: typed(FLOOD_SETS, data(FLOOD_SETS)?)?,
            devices: data(FLOOD_DEVICES)?,
            settled: None,
            ended: false,
        })
    }

    fn generation(&self) -> Result<u64> {
        self.state.get(&0, 0).map_err(|error| read_error(FLOOD_STATE, error))
    }

    /// To be called before anything is written that floods depend on.
    pub(super) fn outdate(&mut self) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let next = self.generation()?.wrapping_add(1);
        self.state.set(0, next, 0).map_err(|error| write_error(FLOOD_STATE, error))?;
        self.ended = true;
        Ok(())
    }

    /// Writes sets, and which kinds have them, in rows that no program reads: those of the other half may be read by programs on their way.
    fn publish(&mut self, wanted: &BTreeMap<Kind, Recipients>, facts: &Facts) -> Result<()> {
        let old = batch::read::<u32, u32>(self.of_data.fd().as_fd())
            .map_err(|error| Error::ReadMap { map: FLOOD_OF, reason: error.to_string() })?;
        let first = if old.iter().any(|(_, row)| *row < MAX_SETS) { MAX_SETS } else { 0 };
        let rows = self.write_sets(first, wanted.values(), facts)?;
        let rows = wanted.iter().filter_map(|(kind, set)| Some((kind.0, *rows.get(set)?)));
        let rows: BTreeMap<_, _> = rows.take(MAX_KINDS as usize).collect();
        for (kind, _) in old.iter().filter(|(kind, _)| !rows.contains_key(kind)) {
            absent_is_fine(self.of.remove(kind)).map_err(|error| write_error(FLOOD_OF, error))?;
        }
        for (kind, row) in rows {
            self.of.insert(kind, row, 0).map_err(|error| write_error(FLOOD_OF, error))?;
        }
        Ok(())
    }

    /// Writes each set once, and says where. What there is no row for stays with TC.
    fn write_sets<'a>(
        &mut self,
        first: u32,
        sets: impl Iterator<Item = &'a Recipients>,
        facts: &Facts,
    ) -> Result<BTreeMap<Recipients, u32>> {
        let (mut rows, mut devices) = (BTreeMap::new(), Vec::new());
        for set in sets.copied().collect::<BTreeSet<_>>() {
            let row = first + devices.len() as u32;
            if devices.len() == MAX_SETS as usize {
                break;
            }
            // One that is not there any more is word on its way.
            if let Some(map) = devmap(set.each().filter_map(|id| Some(facts.port(id)?.ifindex)))? {
                self.sets.set(row, set, 0).map_err(|error| write_error(FLOOD_SETS, error))?;
                devices.push((row, map));
                rows.insert(set, row);
            }
        }
        // All at once: after each call of this kind the kernel waits for programs on their way (`maybe_wait_bpf_programs`).
        let (rows_of, fds): (Vec<u32>, Vec<u32>) =
            devices.iter().map(|(row, map)| (*row, map.fd().as_fd().as_raw_fd() as u32)).unzip();
        batch::write(self.devices.fd().as_fd(), &rows_of, &fds)
            .map_err(|(_, error)| Error::WriteMap { map: FLOOD_DEVICES, reason: error.to_string() })?;
        Ok(rows)
    }
}

/// A devmap of these devices; `None` if one of them does not exist.
fn devmap(ifindexes: impl Iterator<Item = u32>) -> Result<Option<MapData>> {
    /// `BPF_MAP_TYPE_DEVMAP`, and the sizes of its key and of `struct bpf_devmap_val`.
    const KIND: (u32, u32, u32) = (14, 4, 8);
    let failed = |error: MapError| write_error(FLOOD_DEVICES, error);
    let ifindexes: Vec<_> = ifindexes.collect();
    let object = aya_obj::Map::new_from_params(KIND.0, KIND.1, KIND.2, ifindexes.len() as u32, 0);
    let mut map = Map::DevMap(MapData::create(object, "FLOOD_DEVICE", None).map_err(failed)?);
    let mut devices = DevMap::try_from(&mut map).map_err(failed)?;
    for (slot, ifindex) in (0..).zip(ifindexes) {
        if ifindex == 0 || devices.set(slot, ifindex, None, 0).is_err() {
            return Ok(None);
        }
    }
    match map {
        Map::DevMap(data) => Ok(Some(data)),
        _ => Ok(None),
    }
}

/// What the sets depend on, as it was read.
struct Facts {
    ports: Vec<Port>,
    vlans: BTreeMap<u16, Vlan>,
}

impl Ports for Facts {
    fn port(&self, id: PortId) -> Option<Port> {
        self.ports.get(usize::from(id.0)).copied()
    }
}

impl Vlans for Facts {
    fn membership(&self, vid: u16, id: PortId) -> Membership {
        self.vlans.get(&vid).map_or(Membership::None, |vlan| vlan.membership(id))
    }
}

/// A copy that has an account to ask is none of these sets'.
impl Policies for Facts {
    fn guards(&self, _: PortId) -> Guards {
        Guards::default()
    }

    fn allows(&self, _: &Source) -> bool {
        true
    }

    fn has_room(&self, _: PortId) -> bool {
        true
    }

    fn may(&self, _: PortId, _: Meter, _: u64, _: u64) -> bool {
        true
    }

    fn charge(&mut self, _: PortId, _: Meter, _: u64, _: u64) {}
}

impl Facts {
    fn sets(&self, config: &Config) -> BTreeMap<Kind, Recipients> {
        let vlans = match config.filters_vlans() {
            true => self.vlans.keys().copied().collect(),
            false => vec![0],
        };
        let kinds = vlans.into_iter().flat_map(Kind::each);
        kinds.filter_map(|kind| Some((kind, recipients(kind, config, self)?))).collect()
    }
}

impl Tables {
    /// Whether floods are TC's alone until [`Self::settle_floods`], whoever has changed something.
    pub fn are_floods_outdated(&self) -> Result<bool> {
        Ok(self.floods.settled != Some(self.floods.generation()?))
    }

    /// To be called before anything changes that is not in these tables and that floods depend on.
    pub fn outdate_floods(&mut self) -> Result<()> {
        self.floods.outdate()
    }

    /// Works out anew who gets the copies of floods that XDP makes. `leave_out`: a sender among the recipients can be left out.
    pub fn settle_floods(&mut self, leave_out: bool) -> Result<()> {
        self.floods.outdate()?;
        let config = self.config();
        let ids = (0..config.ports_end).map(PortId);
        let ports = ids.map(|id| self.port(id)).collect::<Result<_>>()?;
        let vlans =
            if config.filters_vlans() { self.vlans().all()?.into_iter().collect() } else { BTreeMap::new() };
        let facts = Facts { ports, vlans };
        let mut sets = facts.sets(&config);
        sets.retain(|kind, _| leave_out || !kind.leaves_out_sender(PortFlags::default()));
        let generation = self.floods.generation()?;
        sets.values_mut().for_each(|set| set.generation = generation);
        self.floods.publish(&sets, &facts)?;
        (self.floods.settled, self.floods.ended) = (Some(generation), false);
        Ok(())
    }
}
