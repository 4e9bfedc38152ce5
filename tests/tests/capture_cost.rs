//! What a capture costs a frame: nothing while there is none, and a bounded time while there is one.
//!
//! `--ignored --nocapture` prints the figures, in nanoseconds a frame.

use bridge_common::capture::{Capture, SNAPLEN_MAX, Wanted};
use bridge_common::{Config, FdbEntry, FdbFlags, FdbKey, Mac, Port, PortFlags, PortId, maps::programs};
use bridge_user::datapath::{CaptureRings, CaptureSwitch, Context, Options, PinDir, Programs, Slot, Station};
use xbr_lab::{Cleanup, Namespace, Veth, frames, require_privileges, unique_name};

const FOREVER: Options = Options::new(1024, 0);
const REPEAT: u32 = 500_000;
/// While every frame is copied.
const FEWER: u32 = 50_000;
const ROUNDS: usize = 15;
const STATIONS: [Mac; 2] = [Mac([2, 0, 0, 0, 1, 1]), Mac([2, 0, 0, 0, 1, 2])];

/// A bridge of two guests' ports on veths, loaded and not attached, but for the other bridge that registers their queues.
struct Bench {
    programs: Programs,
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
    tables
        .set_config(Config {
            ageing: 0,
            uplink: Mac([2, 0, 0, 0, 0, 1]).address(),
            ports_end: 4,
            ..Config::default()
        })
        .unwrap();
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
    Bench { programs, pins: pins(&name), ifindex: first, _idle: queues, _cleanup: cleanup }
}

impl Bench {
    /// The median time of one frame, in nanoseconds.
    fn time(&self, program: &'static str, length: usize, repeat: u32) -> u128 {
        let frame = frames::finished(xbr_lab::Mac(STATIONS[1].0), xbr_lab::Mac(STATIONS[0].0), length);
        let context = Context { ifindex: self.ifindex, ..Context::default() };
        let mut times: Vec<_> = (0..ROUNDS)
            .map(|_| {
                let (action, time) = self.programs.repeat(program, &frame, &context, repeat).unwrap();
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
        println!(
            "off: xdp {} tc {}",
            bench.time(programs::XDP, 60, REPEAT),
            bench.time(programs::PORT, 60, REPEAT)
        );
    });
}

#[test]
#[ignore = "prints figures"]
fn with_all_guards() {
    if !require_privileges() {
        return;
    }
    in_lab(|bench| {
        use bridge_common::{
            config::ConfigFlags,
            policy::{Guards, Policy, Source},
            vlan::{Membership, Vlan},
        };
        let mut tables = bridge_user::datapath::Tables::open(&bench.pins).unwrap();
        let mut config = tables.config().unwrap();
        config.flags = config.flags.with(ConfigFlags::VLAN_FILTERING, true);
        tables.set_config(config).unwrap();
        let mut maps = bridge_user::datapath::Bench::open(&bench.pins).unwrap();
        let members =
            Vlan::default().with(PortId(2), Membership::Untagged).with(PortId(3), Membership::Untagged);
        maps.set_vlan(1, members).unwrap();
        let sources = [Source::mac(PortId(2), STATIONS[0]), Source::v4(PortId(2), [192, 0, 2, 1])];
        maps.set_sources(&sources).unwrap();
        let guards = Guards(15);
        let policy = Policy { guards, ..Policy::default() }.settled().with_first(&sources);
        maps.set_policy(PortId(2), policy).unwrap();
        for number in 2..=3u16 {
            let id = PortId(number);
            let mut port = tables.port(id).unwrap();
            port.flags = port.flags.with_pvid(1).with(PortFlags::INSPECTED, number == 2);
            tables.set_port(id, port).unwrap();
            let key = FdbKey { vlan: 1, mac: STATIONS[usize::from(number) - 2] };
            tables.set_station(&Station { key, entry: FdbEntry::new(id, FdbFlags::STATIC, 0) }).unwrap();
        }
        println!(
            "off: xdp {} tc {}",
            bench.time(programs::XDP, 60, REPEAT),
            bench.time(programs::PORT, 60, REPEAT)
        );
    });
}

#[test]
#[ignore = "prints figures"]
fn while_there_is_one() {
    if !require_privileges() {
        return;
    }
    in_lab(|bench| {
        let mut switch = CaptureSwitch::open(&bench.pins).unwrap();
        let mut figures = |what: &str, lengths: &[usize], capture: &Capture| {
            switch.set(capture).unwrap();
            let lost = switch.unseen().unwrap();
            for length in lengths {
                let [xdp, tc] =
                    [programs::XDP, programs::PORT].map(|program| bench.time(program, *length, FEWER));
                println!("{what}, {length} bytes: xdp {xdp} tc {tc}");
            }
            println!(
                "    {} of {} lost",
                switch.unseen().unwrap() - lost,
                lengths.len() * 2 * ROUNDS * FEWER as usize
            );
        };
        let capture = Capture { wanted: Wanted::FRAMES, snaplen: SNAPLEN_MAX, ..Capture::default() };
        let (mut there, mut elsewhere) = (capture, capture);
        there.set(PortId(2), true);
        elsewhere.set(PortId(7), true);
        let other_mac = Capture { wanted: Wanted(Wanted::FRAMES.0 | Wanted::MAC.0), ..there };
        figures("off", &[60], &Capture::default());
        figures("of another port", &[60], &elsewhere);
        figures("of another address", &[60], &other_mac);
        figures("of a process that died", &[60], &there);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _inside = runtime.enter();
        let mut rings = CaptureRings::open(&bench.pins).unwrap();
        figures("of a process that does not read", &[60, 1514], &there);
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut read = Vec::new();
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    rings.take(&mut read);
                    read.clear();
                }
            });
            figures("of a process that reads", &[60, 1514], &there);
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    });
}
