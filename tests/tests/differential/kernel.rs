//! The programs and their maps.

use std::{collections::BTreeMap, time::Duration};

use bridge_common::{
    FdbEntry, FdbEvent, FdbKey, PortId, Vlan,
    maps::programs,
    model::{
        Arrival, Model, Program, Sent,
        laws::changed,
        script::{ABSENT, CAPACITY, CLOCKS, Devices, Step, VIDS},
    },
    multicast::{FIRST_SET, GroupSet},
    policy::Meter,
    vlan::PortSet,
};
use bridge_user::{
    datapath::{Bench, BridgeName, Context, Options, PinDir, Programs, Slot, Station, Tables},
    multicast::Write,
};
use xbr_lab::{Cleanup, RawPort, unique_name};

/// Within which a copy comes out.
const SOON: Duration = Duration::from_secs(2);

/// Every number from the host's to that of the port whose device does not exist.
fn ports() -> impl Iterator<Item = PortId> {
    (0..=ABSENT.0).map(PortId)
}

/// The programs over one set of maps: for each of [`CLOCKS`], with the guard and without.
pub struct Kernel {
    programs: Vec<[Programs; 2]>,
    tables: Tables,
    bench: Bench,
    events: Vec<FdbEvent>,
    /// What comes out of the devices.
    ears: Vec<RawPort>,
    // Held while the test runs.
    _idle: Programs,
    _cleanup: [Cleanup; 2],
}

impl Kernel {
    /// To be called in the namespace of the devices.
    pub fn load(devices: &Devices, ears: Vec<RawPort>) -> Self {
        let (name, idle) = (unique_name(), unique_name());
        let cleanup = [Cleanup::after(&name), Cleanup::after(&idle)];
        let pins = pins(&name);
        let options = Options::new(CAPACITY as u32, 0);
        let load = |clock, no_guard| {
            let (programs, tables, _) =
                Programs::load(&pins, &Options { clock, no_guard, ..options }).unwrap();
            (programs, tables)
        };
        let mut programs = Vec::new();
        let mut tables = None;
        for clock in CLOCKS {
            let (guarded, first) = load(clock, false);
            tables.get_or_insert(first);
            programs.push([load(clock, true).0, guarded]);
        }
        let mut tables = tables.unwrap();
        for (index, ifindex) in devices.ports.into_iter().chain([devices.absent]).enumerate() {
            tables.set_port_of(ifindex, Some(PortId(1 + index as u16))).unwrap();
        }
        Self {
            programs,
            tables,
            bench: Bench::open(&pins).unwrap(),
            events: Vec::new(),
            ears,
            _idle: register_queues(&idle, devices),
            _cleanup: cleanup,
        }
    }

    /// Makes the maps what the model is.
    pub fn begin(&mut self, model: &Model) {
        self.tables.set_config(model.config).unwrap();
        for id in ports() {
            let port = model.ports[&id];
            let in_devmap = model.devices.contains(&id);
            self.tables.set_device(id, in_devmap.then_some(port.ifindex)).unwrap();
            self.tables.clear_counters(id).unwrap();
            self.set_port(model, id);
        }
        for vid in VIDS {
            self.bench.set_vlan(vid, Vlan::default()).unwrap();
            self.set_vlan(model, vid);
        }
        self.bench.set_sources(&model.sources).unwrap();
        self.set_stations(model);
        self.set_groups(model);
        self.tables.settle_floods(true).unwrap();
        self.bench.forget().unwrap();
        self.bench.events();
        self.events.clear();
        self.ears.iter().for_each(|ear| drop(ear.drain().unwrap()));
    }

    /// What [`Step::operate`] has done to the model.
    pub fn operate(&mut self, step: &Step, model: &Model) {
        match *step {
            Step::Frame(_) | Step::Clock(_) => {}
            Step::Device(id, _) | Step::Policy(id, _) => self.set_port(model, id),
            Step::Member(vid, ..) => self.set_vlan(model, vid),
            Step::Source(..) => self.bench.set_sources(&model.sources).unwrap(),
            Step::Fix(..) | Step::Delete(_) => self.set_stations(model),
            Step::Group(..) => self.set_groups(model),
            Step::Filtering(_) => {
                self.tables.set_config(model.config).unwrap();
                self.set_stations(model);
            }
        }
        if matches!(step, Step::Device(..) | Step::Policy(..) | Step::Member(..) | Step::Filtering(_)) {
            self.tables.settle_floods(true).unwrap();
        }
    }

    fn set_port(&mut self, model: &Model, id: PortId) {
        self.tables.set_port(id, model.ports[&id]).unwrap();
        self.bench.set_policy(id, model.policies.get(&id).copied().unwrap_or_default()).unwrap();
        self.bench.set_meters(id, levels(model, id)).unwrap();
    }

    fn set_vlan(&mut self, model: &Model, vid: u16) {
        self.bench.set_vlan(vid, model.vlans.get(&vid).copied().unwrap_or_default()).unwrap();
    }

    /// Groups have the numbers that they have in the model.
    fn set_groups(&mut self, model: &Model) {
        for (key, ..) in self.tables.groups().unwrap() {
            if !model.groups.contains_key(&key) {
                self.tables.change_group(&Write::Forget(key)).unwrap();
            }
        }
        for (number, (key, ports)) in (FIRST_SET..).zip(&model.groups) {
            let set = GroupSet { ports: *ports, permanent: PortSet::default() };
            self.tables.change_group(&Write::Set(number, set)).unwrap();
            self.tables.change_group(&Write::Group(*key, number)).unwrap();
        }
    }

    fn set_stations(&mut self, model: &Model) {
        let old = self.stations();
        let gone: Vec<_> = old.keys().filter(|key| !model.stations.contains_key(key)).copied().collect();
        self.tables.remove_stations(&gone).unwrap();
        for (key, entry) in model.stations.iter().filter(|(key, entry)| old.get(key) != Some(entry)) {
            self.tables.set_stations(&[Station { key: *key, entry: *entry }]).unwrap();
        }
        for id in ports() {
            let count = model.learned.get(&id).copied().unwrap_or_default();
            // The controller has forgotten some before.
            self.bench.set_learned(id, count, 7 * u64::from(id.0)).unwrap();
        }
    }

    fn stations(&self) -> BTreeMap<FdbKey, FdbEntry> {
        self.tables.entries().unwrap().into_iter().map(|station| (station.key, station.entry)).collect()
    }

    /// The action, and the frame that comes out.
    pub fn run(&mut self, arrival: &Arrival, clock: usize, guard: bool, mark: u32) -> (u32, Vec<u8>) {
        let program = match arrival.program {
            Program::Xdp => programs::XDP,
            Program::Port => programs::PORT,
            Program::Wire => programs::WIRE,
            Program::Host => programs::HOST,
        };
        let context = Context { ifindex: arrival.ifindex, gso_size: arrival.gso_size, mark };
        let programs = &mut self.programs[clock][usize::from(guard)];
        // All of them share the map that leads to the program for many, which has constants of its own.
        programs.set_flooding().unwrap();
        programs.test_run(program, &arrival.bytes, &context).unwrap()
    }

    /// Runs XDP on a frame and has the kernel do what it says.
    pub fn live(&mut self, arrival: &Arrival, clock: usize, guard: bool) {
        let context = Context { ifindex: arrival.ifindex, ..Context::default() };
        let programs = &mut self.programs[clock][usize::from(guard)];
        programs.set_flooding().unwrap();
        programs.live(&arrival.bytes, &context).unwrap();
    }

    /// Whether the maps are what the model is.
    pub fn compare(&mut self, model: &Model) {
        for id in ports() {
            assert_eq!(self.tables.counters(id).unwrap(), model.counted(id), "counters of {id:?}");
            let learned = model.learned.get(&id).copied().unwrap_or_default();
            assert_eq!(self.bench.learned(id).unwrap(), learned, "stations of {id:?}");
            assert_eq!(self.bench.meters(id).unwrap(), levels(model, id), "buckets of {id:?}");
        }
        for vid in model.vlans.keys() {
            let expected = model.vlan_counters.get(vid).copied().unwrap_or_default();
            assert_eq!(self.bench.vlan_counters(*vid).unwrap(), expected, "counters of VLAN {vid}");
        }
        assert_eq!(self.stations(), model.stations, "stations");
        self.events.extend(self.bench.events());
        assert_eq!(self.events, model.events, "events");
    }

    /// Whether the copies of a flood came out of the devices, each with its tag.
    pub fn copies(&self, arrival: &Arrival, ingress: Option<PortId>, sent: &[Sent]) {
        for (index, ear) in self.ears.iter().enumerate() {
            let id = PortId(1 + index as u16);
            let came = sent.iter().filter(|sent| sent.port == id);
            // Between host and wire the frame itself goes on.
            let all = arrival.program == Program::Xdp || ingress.is_some_and(PortId::is_guest);
            let cloned = came.filter(|_| id.is_guest() || all);
            let expected: Vec<_> =
                cloned.map(|sent| changed(&arrival.bytes, sent.retag, sent.vlan)).collect();
            let mut heard: Vec<_> =
                expected.iter().filter_map(|_| ear.recv(SOON).unwrap()).map(|frame| frame.bytes).collect();
            heard.extend(ear.drain().unwrap().into_iter().map(|frame| frame.bytes));
            assert_eq!(heard, expected, "copies at {id:?}");
        }
    }
}

/// A port's buckets.
fn levels(model: &Model, id: PortId) -> [u64; Meter::COUNT] {
    Meter::ALL.map(|meter| model.meters.get(&(id, meter as u32)).copied().unwrap_or_default())
}

fn pins(name: &str) -> PinDir {
    PinDir::of(&name.parse::<BridgeName>().unwrap()).unwrap()
}

/// XDP's context may name only a device whose queues are registered with XDP, and a veth's are while it has a
/// program: another bridge's, which knows no port and passes everything.
fn register_queues(bridge: &str, devices: &Devices) -> Programs {
    let (mut idle, ..) = Programs::load(&pins(bridge), &Options::new(CAPACITY as u32, 0)).unwrap();
    for (index, ifindex) in devices.ports.into_iter().chain([devices.stranger]).enumerate() {
        idle.attach(PortId(1 + index as u16), Slot::Xdp, &device(index), ifindex).unwrap();
    }
    idle
}

/// The name of a device.
pub fn device(index: usize) -> String {
    format!("port{index}")
}
