//! A bridge that is loaded and not attached: how long its programs take for a frame, by `BPF_PROG_TEST_RUN`.

use bridge_common::{
    Config, FdbEntry, FdbFlags, FdbKey, Mac, Policy, Port, PortFlags, PortId,
    config::ConfigFlags,
    maps::programs,
    policy::{Guards, Source},
    vlan::{Membership, Vlan},
};
use bridge_user::datapath::{Bench, Context, Options, PinDir, Programs, Slot, Station, Tables};

use crate::{Cleanup, Namespace, Veth, frames, unique_name};

/// With these the programs are as users have them.
pub const AS_USED: Options = Options::new(1024, 0);

/// Behind the two ports.
pub const STATIONS: [Mac; 2] = [Mac([2, 0, 0, 0, 1, 2]), Mac([2, 0, 0, 0, 1, 3])];
const PORTS: [PortId; 2] = [PortId(2), PortId(3)];
/// Test runs of which [`Loaded::redirects_in`] takes the median.
pub const RUNS: usize = 15;

/// Two devices, in whose namespace `test` runs.
pub fn in_lab(test: impl FnOnce() + Send) {
    let (bridge, sinks) = (Namespace::new("bridge"), Namespace::new("sinks"));
    for number in 2..=3 {
        Veth::between(&sinks, &format!("sink{number}"), &bridge, &format!("port{number}")).create();
    }
    bridge.run(|| {
        // An attached XDP program is what makes a veth take redirected frames.
        let name = unique_name();
        let _cleanup = Cleanup::after(&name);
        let (mut queues, ..) = Programs::load(&pins(&name), &AS_USED).expect("programs");
        for id in PORTS {
            queues.attach(id, Slot::Xdp, &format!("port{}", id.0), ifindex(id)).expect("a free hook");
        }
        test();
    });
}

fn pins(name: &str) -> PinDir {
    PinDir::of(&name.parse().expect("a bridge's name")).expect("a bpffs")
}

fn ifindex(id: PortId) -> u32 {
    nix::net::if_::if_nametoindex(format!("port{}", id.0).as_str()).expect("a device of the lab")
}

/// A bridge between the two, each with a static station.
pub struct Loaded {
    programs: Programs,
    tables: Tables,
    pins: PinDir,
    _cleanup: Cleanup,
}

impl Loaded {
    /// To be called in the namespace of the devices.
    #[track_caller]
    pub fn new(options: &Options) -> Self {
        let name = unique_name();
        let cleanup = Cleanup::after(&name);
        let (programs, mut tables, _) = Programs::load(&pins(&name), options).expect("programs");
        let uplink = Mac([2, 0, 0, 0, 0, 1]).address();
        let config = Config { uplink, ports_end: 4, ..Config::default() };
        tables.set_config(config).expect("a table");
        for id in PORTS {
            let ifindex = ifindex(id);
            let port = Port { ifindex, mtu: 1500, flags: PortFlags::UP.or(PortFlags::XDP) };
            tables.set_port(id, port).expect("a table");
            tables.set_port_of(ifindex, Some(id)).expect("a table");
            tables.set_device(id, Some(ifindex)).expect("a table");
        }
        let mut loaded = Self { programs, tables, pins: pins(&name), _cleanup: cleanup };
        loaded.place(0);
        loaded
    }

    fn place(&mut self, vlan: u16) {
        for (mac, id) in STATIONS.into_iter().zip(PORTS) {
            let entry = FdbEntry::new(id, FdbFlags::STATIC, 0);
            self.tables.set_stations(&[Station { key: FdbKey { vlan, mac }, entry }]).expect("a table");
        }
    }

    /// Where its maps are pinned.
    pub fn pins(&self) -> &PinDir {
        &self.pins
    }

    /// Has the port where frames come in ask the checksum guard.
    #[track_caller]
    pub fn guard_checksums(&mut self) {
        self.change(|port| port.flags = port.flags.or(PortFlags::GUARD));
    }

    /// VLANs, and all guards of ports.
    #[track_caller]
    pub fn guard_all(&mut self) {
        let mut config = self.tables.config();
        config.flags = config.flags.with(ConfigFlags::VLAN_FILTERING, true);
        self.tables.set_config(config).expect("a table");
        let mut maps = Bench::open(&self.pins).expect("maps");
        let members = PORTS.into_iter().fold(Vlan::default(), |vlan, id| vlan.with(id, Membership::Untagged));
        maps.set_vlan(1, members).expect("a map");
        self.place(1);
        // The address of `frames::finished`.
        let sources = [Source::mac(PORTS[0], STATIONS[0]), Source::v4(PORTS[0], [192, 0, 2, 1])];
        maps.set_sources(&sources).expect("a map");
        let guards = [Guards::MACS, Guards::ADDRESSES, Guards::NO_DHCP_SERVER, Guards::NO_RA]
            .into_iter()
            .fold(Guards::default(), |all, guard| all.with(guard, true));
        let policy = Policy { guards, ..Policy::default() }.settled().with_first(&sources);
        maps.set_policy(PORTS[0], policy).expect("a map");
        self.change(|port| port.flags = port.flags.or(PortFlags::INSPECTED).with_pvid(1));
    }

    fn change(&mut self, change: impl FnOnce(&mut Port)) {
        let mut port = self.tables.port(PORTS[0]).expect("a table");
        change(&mut port);
        self.tables.set_port(PORTS[0], port).expect("a table");
    }

    /// The median time that a program takes to redirect a frame of so many bytes from the one station to the other, in nanoseconds.
    #[track_caller]
    pub fn redirects_in(&self, program: &'static str, length: usize, repeat: u32) -> u128 {
        let [from, to] = STATIONS.map(|mac| crate::Mac(mac.0));
        let frame = frames::finished(to, from, length);
        let context = Context { ifindex: ifindex(PORTS[0]), ..Context::default() };
        let mut times: Vec<_> = (0..RUNS)
            .map(|_| {
                let (action, time) =
                    self.programs.repeat(program, &frame, &context, repeat).expect("a test run");
                assert_eq!(action, if program == programs::XDP { 4 } else { 7 }, "{program} redirects");
                time.as_nanos()
            })
            .collect();
        times.sort_unstable();
        times[RUNS / 2]
    }
}
