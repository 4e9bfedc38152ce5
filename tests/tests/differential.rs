//! The programs in the kernel against the model in user space: the same sequences of frames, and after each
//! frame the same action, counters, stations and events.
//!
//! `XBR_DIFFERENTIAL_SEQUENCES` runs more of them, `XBR_DIFFERENTIAL_SEED` begins elsewhere.

use std::{env, fs};

use bridge_common::{
    DropReason, FdbEvent, FdbKey, PortCounters, PortId, SlowReason,
    maps::programs,
    model::{
        Action, Arrival, Model, Program,
        script::{ABSENT, CAPACITY, CLOCKS, Devices, GUESTS, Script, Step, random},
    },
};
use bridge_user::datapath::{Bench, BridgeName, Context, Options, PinDir, Programs, Slot, Station, Tables};
use xbr_lab::{Cleanup, Namespace, Veth, require_privileges, unique_name};

/// Every number from the host's to that of the port whose device does not exist.
fn ports() -> impl Iterator<Item = PortId> {
    (0..=ABSENT.0).map(PortId)
}

/// The programs over one set of maps: for each of [`CLOCKS`], with the guard and without.
struct Kernel {
    programs: Vec<[Programs; 2]>,
    tables: Tables,
    bench: Bench,
    events: Vec<FdbEvent>,
    // Held while the test runs.
    _idle: Programs,
    _cleanup: [Cleanup; 2],
}

impl Kernel {
    /// To be called in the namespace of the devices.
    fn load(devices: &Devices) -> Self {
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
            _idle: register_queues(&idle, devices),
            _cleanup: cleanup,
        }
    }

    /// Makes the maps what the model is.
    fn begin(&mut self, model: &Model) {
        let old: Vec<FdbKey> = self.tables.stations().unwrap().iter().map(|station| station.key).collect();
        self.tables.remove_stations(&old).unwrap();
        let stations: Vec<_> =
            model.stations.iter().map(|(key, entry)| Station { key: *key, entry: *entry }).collect();
        self.tables.set_stations(&stations).unwrap();
        self.tables.set_config(model.config).unwrap();
        for id in ports() {
            let port = model.ports[&id];
            self.tables.set_port(id, port).unwrap();
            let in_devmap = model.devices.contains(&id);
            self.tables.set_device(id, in_devmap.then_some(port.ifindex)).unwrap();
            self.tables.clear_counters(id).unwrap();
        }
        self.bench.forget().unwrap();
        self.bench.events();
        self.events.clear();
    }

    /// What [`Step::operate`] does to the model.
    fn operate(&mut self, step: &Step, model: &Model) {
        match *step {
            Step::Frame(_) | Step::Clock(_) => {}
            Step::Port(id, port) => self.tables.set_port(id, port).unwrap(),
            Step::Static(key, _) => {
                if let Some(entry) = model.stations.get(&key).copied() {
                    self.tables.set_station(&Station { key, entry }).unwrap();
                }
            }
            Step::Delete(key) => self.tables.remove_stations(&[key]).unwrap(),
        }
    }

    fn run(&mut self, arrival: &Arrival, clock: usize, guard: bool, mark: u32) -> u32 {
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

    fn compare(&mut self, model: &Model) {
        for id in ports() {
            assert_eq!(self.tables.counters(id).unwrap(), model.counted(id), "counters of {id:?}");
        }
        let mut stations: Vec<_> =
            self.tables.stations().unwrap().iter().map(|station| (station.key, station.entry)).collect();
        stations.sort_by_key(|(key, _)| *key);
        let expected: Vec<_> = model.stations.iter().map(|(key, entry)| (*key, *entry)).collect();
        assert_eq!(stations, expected, "stations");
        self.events.extend(self.bench.events());
        assert_eq!(self.events, model.events, "events");
    }
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

fn device(index: usize) -> String {
    format!("port{index}")
}

/// Ports whose other ends only take.
fn lab() -> (Namespace, Namespace, Devices) {
    let (bridge, sinks) = (Namespace::new("bridge"), Namespace::new("sinks"));
    for namespace in [&bridge, &sinks] {
        namespace.sysctl("net/ipv6/conf/default/disable_ipv6", "1");
    }
    let mut indexes = (0..GUESTS as usize + 2).map(|index| {
        let name = device(index);
        Veth::between(&sinks, &format!("sink{index}"), &bridge, &name).create();
        bridge.run(|| nix::net::if_::if_nametoindex(name.as_str())).unwrap()
    });
    let ports = std::array::from_fn(|_| indexes.next().unwrap());
    let stranger = indexes.next().unwrap();
    drop(indexes);
    (bridge, sinks, Devices { ports, absent: 4_000_000, stranger })
}

/// The kernel has no test run for a frame of less than a header, nor in TC for one of no more or without the whole
/// of its IP header (`bpf_test_init`, `bpf_prog_test_run_skb`). It cannot cut a segmented one whose kind nobody
/// declared, which the copies of a flood would ask for.
fn possible(model: &Model, arrival: &Arrival) -> Option<Arrival> {
    let mut arrival = arrival.clone();
    let least = match arrival.bytes.get(12..14)? {
        _ if arrival.program == Program::Xdp => 14,
        [0x08, 0x00] => 14 + 20,
        [0x86, 0xdd] => 14 + 40,
        _ => 15,
    };
    if arrival.bytes.len() < least {
        return None;
    }
    if model.floods(&arrival) {
        arrival.gso_size = 0;
    }
    Some(arrival)
}

fn number(action: Action, program: Program) -> u32 {
    match (action, program) {
        // TC_ACT_UNSPEC, TC_ACT_SHOT, TC_ACT_REDIRECT
        (Action::LetThrough, _) => u32::MAX,
        (Action::Consume, _) => 2,
        (Action::Redirect(_), Program::Port | Program::Wire | Program::Host) => 7,
        // XDP_PASS, XDP_DROP, XDP_REDIRECT
        (Action::Pass, _) => 2,
        (Action::Drop, _) => 1,
        (Action::Redirect(_), Program::Xdp) => 4,
    }
}

/// Says where it was when a comparison fails.
struct Place<'a>(&'a str, usize, &'a Step);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("*** script {}, step {}: {:02x?}", self.0, self.1, self.2);
        }
    }
}

/// Runs a script on both, and returns how many frames that were and the model at the end.
fn replay(kernel: &mut Kernel, devices: &Devices, name: &str, bytes: &[u8]) -> (u64, Model) {
    let Script { mut model, steps } = Script::decode(bytes, devices);
    kernel.begin(&model);
    let mut frames = 0;
    for (index, step) in steps.iter().enumerate() {
        let _place = Place(name, index, step);
        let Step::Frame(arrival) = step else {
            step.operate(&mut model);
            kernel.operate(step, &model);
            continue;
        };
        let Some(arrival) = possible(&model, arrival) else { continue };
        let clock = CLOCKS.iter().position(|clock| *clock == model.now).unwrap();
        let done = model.run(&arrival);
        let action = kernel.run(&arrival, clock, model.guard, 1 << (index % 32));
        assert_eq!(action, number(done.action, arrival.program), "action, instead of {done:?}");
        kernel.compare(&model);
        frames += 1;
    }
    (frames, model)
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}

#[test]
fn the_kernel_does_what_the_model_does() {
    if !require_privileges() {
        return;
    }
    let (bridge, _sinks, devices) = lab();
    let first = setting("XBR_DIFFERENTIAL_SEED", 1);
    let sequences = setting("XBR_DIFFERENTIAL_SEQUENCES", 100);
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../bridge-common/fuzz/corpus/sequence");
    bridge.run(|| {
        let mut kernel = Kernel::load(&devices);
        for entry in fs::read_dir(corpus).unwrap() {
            let path = entry.unwrap().path();
            replay(&mut kernel, &devices, &path.display().to_string(), &fs::read(&path).unwrap());
        }
        let (mut total, mut frames) = (PortCounters::default(), 0);
        for seed in first..first + sequences {
            let name = format!("of XBR_DIFFERENTIAL_SEED={seed} XBR_DIFFERENTIAL_SEQUENCES=1");
            let (count, model) = replay(&mut kernel, &devices, &name, &random(seed, 1200));
            frames += count;
            model.counters.values().for_each(|counters| total.add(counters));
        }
        println!("{frames} frames of {sequences} sequences: {total:?}");
        if sequences >= 100 {
            every_outcome_was_there(&total);
        }
    });
}

/// Agreement about frames that never came would prove nothing.
fn every_outcome_was_there(total: &PortCounters) {
    // No test run takes a malformed frame.
    for reason in DropReason::ALL.iter().filter(|reason| **reason != DropReason::Malformed) {
        assert_ne!(total.drops[*reason as usize], 0, "no drop: {}", reason.name());
    }
    for reason in SlowReason::ALL {
        assert_ne!(total.slow[*reason as usize], 0, "no slow path: {}", reason.name());
    }
    let told =
        [total.learned, total.moved, total.refused_full, total.refused_static, total.events_suppressed];
    assert!(told.iter().all(|count| *count > 0), "{told:?}");
}
