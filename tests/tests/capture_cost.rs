//! What a capture costs a frame: nothing while there is none, and a bounded time while there is one.
//!
//! `--ignored --nocapture` prints the figures, in nanoseconds a frame.

use bridge_common::{Config, FdbEntry, FdbFlags, FdbKey, Mac, Port, PortFlags, PortId, maps::programs};
use bridge_user::datapath::{Context, Options, PinDir, Programs, Slot, Station, Tables};
use xbr_lab::{Cleanup, Namespace, Veth, frames, require_privileges, unique_name};

const FOREVER: Options = Options::new(1024, 0);
const REPEAT: u32 = 500_000;
const ROUNDS: usize = 15;
const STATIONS: [Mac; 2] = [Mac([2, 0, 0, 0, 1, 1]), Mac([2, 0, 0, 0, 1, 2])];

/// A bridge of two guests' ports on veths, loaded and not attached, but for the other bridge that registers their queues.
struct Bench {
    programs: Programs,
    #[allow(dead_code)]
    tables: Tables,
    #[allow(dead_code)]
    pins: PinDir,
    ifindex: u32,
    _idle: Programs,
    _cleanup: [Cleanup; 2],
}

/// To be called in the namespace of the devices.
fn load() -> Bench {
    let (name, idle) = (unique_name(), unique_name());
    let cleanup = [Cleanup::after(&name), Cleanup::after(&idle)];
    let pins = |name: &str| PinDir::of(&name.parse().unwrap()).unwrap();
    let (mut queues, ..) = Programs::load(&pins(&idle), &FOREVER).unwrap();
    let (programs, mut tables, _) = Programs::load(&pins(&name), &FOREVER).unwrap();
    tables.set_config(Config { ageing: 0, uplink_mac: Mac([2, 0, 0, 0, 0, 1]), ports_end: 4 }).unwrap();
    let mut first = 0;
    for number in 1..=2u16 {
        let id = PortId(number + 1);
        let device = format!("port{number}");
        let ifindex = nix::net::if_::if_nametoindex(device.as_str()).unwrap();
        if number == 1 {
            first = ifindex;
        }
        queues.attach(id, Slot::Xdp, &device, ifindex).unwrap();
        let flags = PortFlags(PortFlags::UP.0 | PortFlags::XDP.0);
        tables.set_port(id, Port { ifindex, mtu: 1500, flags }).unwrap();
        tables.set_port_of(ifindex, Some(id)).unwrap();
        tables.set_device(id, Some(ifindex)).unwrap();
        let key = FdbKey { vlan: 0, mac: STATIONS[usize::from(number) - 1] };
        tables.set_station(&Station { key, entry: FdbEntry::new(id, FdbFlags::STATIC, 0) }).unwrap();
    }
    Bench { programs, tables, pins: pins(&name), ifindex: first, _idle: queues, _cleanup: cleanup }
}

impl Bench {
    /// The median time of one frame, in nanoseconds.
    fn time(&self, program: &'static str, length: usize) -> u128 {
        let frame = frames::finished(xbr_lab::Mac(STATIONS[1].0), xbr_lab::Mac(STATIONS[0].0), length);
        let context = Context { ifindex: self.ifindex, ..Context::default() };
        let mut times: Vec<_> = (0..ROUNDS)
            .map(|_| {
                let (action, time) = self.programs.repeat(program, &frame, &context, REPEAT).unwrap();
                assert_eq!(action, if program == programs::XDP { 4 } else { 7 }, "{program} redirects");
                time.as_nanos()
            })
            .collect();
        times.sort_unstable();
        times[ROUNDS / 2]
    }
}

fn in_lab(test: impl FnOnce(Bench) + Send) {
    let (bridge, sinks) = (Namespace::new("bridge"), Namespace::new("sinks"));
    for number in 1..=2 {
        Veth::between(&sinks, &format!("sink{number}"), &bridge, &format!("port{number}")).create();
    }
    bridge.run(|| test(load()));
}

#[test]
#[ignore = "prints figures"]
fn while_there_is_none() {
    if !require_privileges() {
        return;
    }
    in_lab(|bench| {
        println!("off: xdp {} tc {}", bench.time(programs::XDP, 60), bench.time(programs::PORT, 60));
    });
}
