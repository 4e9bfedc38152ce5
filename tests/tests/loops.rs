//! Loops through guests, and guests that pretend to be one.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use xbr_lab::{
    GuestKind, Mac, Namespace, Node, Offloads, RawPort, Segment, Stream, TapGuest, TapMode, Veth, Xbr,
    frames, is_running, require_privileges, tcp_transfer, vm::full, wait_until,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const MIB: u64 = 1 << 20;
/// Within which a loop is to be found.
const SOON: Duration = Duration::from_secs(3);
/// Longer than a search takes that finds nothing.
const LONG: Duration = Duration::from_millis(3500);

/// TC and XDP, on a device each; the others take longer than CI has.
fn kinds() -> Vec<(GuestKind, &'static str)> {
    let few = [(GuestKind::Veth, "tc"), (GuestKind::Tap, "xdp")];
    let more = [(GuestKind::Veth, "xdp"), (GuestKind::TapVnetHdr, "auto")];
    few.into_iter().chain(more.into_iter().filter(|_| full())).collect()
}

/// Two guests on a quiet segment.
fn quiet(kind: GuestKind, hook: &str, more: &str) -> (Segment, Xbr) {
    let mut segment = Segment::builder().quiet().guests(2, kind).build();
    let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook} {more}"));
    (segment, bridge)
}

/// A guest with two ports and a bridge of its own between them.
struct Joiner {
    ns: Namespace,
    taps: Vec<TapGuest>,
}

impl Joiner {
    /// One that has joined nothing yet.
    fn new() -> Self {
        let ns = Namespace::new("joiner");
        ns.sysctl("net/ipv6/conf/default/disable_ipv6", "1");
        ns.ip("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0");
        ns.ip("link set br0 up");
        Joiner { ns, taps: Vec::new() }
    }

    /// Gets one more port, which its bridge does not have yet.
    fn port(&mut self, segment: &Segment, bridge: &Xbr, kind: GuestKind, hook: &str, name: &str) {
        let host = &segment.host().ns;
        if kind == GuestKind::Veth {
            Veth::between(&self.ns, name, host, name).create();
            bridge.text(&format!("port add {name} --hook {hook}"));
        } else {
            let (mode, word) = match kind {
                GuestKind::Tap => (TapMode::Plain, "--no-vnet-hdr"),
                _ => (TapMode::VnetHdr, ""),
            };
            bridge.text(&format!("tap add {name} {word} --hook {hook}"));
            let mut tap = TapGuest::new(&self.ns, name, mode, Offloads::Default);
            tap.plug(host, name);
            self.taps.push(tap);
            self.ns.ip(&format!("link set {name} up"));
        }
        assert!(wait_until(SOON, || is_running(host, name) && bridge.port(name)["state"] == "forwarding"));
    }

    fn join(&self, names: &[&str]) {
        for name in names {
            self.ns.ip(&format!("link set {name} master br0"));
        }
    }

    fn part(&self, name: &str) {
        self.ns.ip(&format!("link set {name} nomaster"));
    }
}

fn stopped(bridge: &Xbr, name: &str) -> bool {
    bridge.port(name)["stopped"] == "loop"
}

/// The time until a port is stopped as part of a loop.
#[track_caller]
fn time_until_stopped(bridge: &Xbr, name: &str, told: &str) -> Duration {
    let began = Instant::now();
    assert!(wait_until(SOON, || stopped(bridge, name)), "{told}: {}", bridge.text("port show -d"));
    began.elapsed()
}

/// What a loop carries on and on.
fn broadcast(from: &Node) {
    RawPort::open(&from.ns, "eth0").send(&frames::frame(Mac::BROADCAST, from.mac, 60)).unwrap();
}

#[test]
fn a_loop_through_a_guest_stops_its_younger_port() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in kinds() {
        let told = format!("{kind:?} {hook}");
        let (segment, mut bridge) = quiet(kind, hook, "");
        segment.address_quietly();
        let (one, outside) = (segment.guest(1), segment.outside());
        tcp_transfer(&one.ns, &outside.ns, outside.v4, MIB).unwrap();
        let mut joiner = Joiner::new();
        for name in ["gone", "old"] {
            joiner.port(&segment, &bridge, kind, hook, name);
        }
        // The younger has the lower number.
        bridge.text(&format!("{} del gone", if kind == GuestKind::Veth { "port" } else { "tap" }));
        joiner.port(&segment, &bridge, kind, hook, "young");
        bridge.text("port set old storm broadcast=1000pps");
        bridge.text("port set young storm broadcast=1000pps");
        let monitor = bridge.monitor();
        let stream = Stream::start(&one.ns, &outside.ns, outside.v4, xbr_lab::pace(1000)).unwrap();
        joiner.join(&["old", "young"]);
        broadcast(one);
        let found = time_until_stopped(&bridge, "young", &told);
        let report = stream.stop();
        println!("{told}: found in {found:?}, meanwhile {report:?}");
        assert_eq!(bridge.port("old")["state"], "forwarding", "{told}");
        for name in ["vm1", "vm2"] {
            assert_eq!(bridge.port(name)["state"], "forwarding", "{told}");
        }
        let line = monitor.wait_line("port-down", SOON);
        assert!(line.contains("part of a loop") && line.contains("young"), "{told}: {line}");
        assert!(bridge.text("port show").contains("stopped:loop"), "{told}");
        // Some of the storm may be on its way; then all is as before, but for the stream's station that the loop moved.
        broadcast(one);
        tcp_transfer(&one.ns, &outside.ns, outside.v4, MIB).unwrap_or_else(|e| panic!("{told}: {e}"));
        bridge.kill();
        bridge.restart("");
        assert!(stopped(&bridge, "young"), "{told}: a restart lets it go");
        // The operator may try again, and what is found again is stopped again.
        bridge.text("port set young up");
        broadcast(one);
        time_until_stopped(&bridge, "young", &told);
        joiner.part("young");
        bridge.text("port set young up");
        broadcast(one);
        std::thread::sleep(LONG);
        assert_eq!(bridge.port("young")["state"], "forwarding", "{told}");
        tcp_transfer(&one.ns, &outside.ns, outside.v4, MIB).unwrap_or_else(|e| panic!("{told}: {e}"));
        bridge.stop();
    }
}

#[test]
fn only_what_came_back_stops_a_port() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in kinds() {
        let told = format!("{kind:?} {hook}");
        let (segment, bridge) = quiet(kind, hook, "");
        let [one, two] = [1, 2].map(|number| segment.guest(number));
        let ears = [one, two].map(|node| RawPort::open(&node.ns, "eth0"));
        // As long as nothing is suspicious, nothing is sent.
        std::thread::sleep(Duration::from_millis(1500));
        let probes = |ear: &RawPort| -> Vec<Vec<u8>> {
            let heard = ear.drain().unwrap().into_iter().map(|frame| frame.bytes);
            heard.filter(|frame| frames::is_probe(frame)).collect()
        };
        assert_eq!(
            (probes(&ears[0]).len(), probes(&ears[1]).len()),
            (0, 0),
            "{told}: probes without a reason"
        );
        let spoof = |ear: &RawPort| ear.send(&frames::frame(Mac::BROADCAST, segment.host().mac, 60)).unwrap();
        let spoof_for = |time: Duration, more: &[Vec<u8>]| {
            let began = Instant::now();
            while began.elapsed() < time {
                spoof(&ears[0]);
                for frame in more {
                    ears[1].send(frame).unwrap();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        spoof_for(LONG, &[]);
        for name in ["vm1", "vm2"] {
            assert_eq!(bridge.port(name)["state"], "forwarding", "{told}: spoofing alone stops a port");
        }
        let kept = probes(&ears[1]);
        assert!(!kept.is_empty(), "{told}: no probe was sent");
        // What was kept from earlier says nothing.
        std::thread::sleep(Duration::from_millis(1500));
        spoof_for(LONG, &kept[..1]);
        assert!(!probes(&ears[1]).is_empty(), "{told}: no probe was sent while an old one came in");
        for name in ["vm1", "vm2"] {
            assert_eq!(bridge.port(name)["state"], "forwarding", "{told}: an old probe stops a port");
        }
        // Who brings back the new one, even alone, is stopped, and nobody else.
        let began = Instant::now();
        while began.elapsed() < 2 * SOON && !stopped(&bridge, "vm2") {
            spoof(&ears[0]);
            for frame in probes(&ears[1]) {
                ears[1].send(&frame).unwrap();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(stopped(&bridge, "vm2"), "{told}: {}", bridge.text("port show -d"));
        assert_eq!(bridge.port("vm1")["state"], "forwarding", "{told}");
        segment.address_quietly();
        let outside = segment.outside();
        tcp_transfer(&one.ns, &outside.ns, outside.v4, MIB).unwrap_or_else(|e| panic!("{told}: {e}"));
        bridge.stop();
    }
}

#[test]
fn a_loop_outside_is_told_and_stops_nothing() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in kinds() {
        let told = format!("{kind:?} {hook}");
        let (segment, bridge) = quiet(kind, hook, "");
        let monitor = bridge.monitor();
        let (outside, host) = (segment.outside(), segment.host().mac);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let wire = RawPort::open(&outside.ns, "eth0");
                while !over.load(Relaxed) {
                    wire.send(&frames::frame(Mac::BROADCAST, host, 60)).unwrap();
                    for frame in wire.collect(Duration::from_millis(20)).unwrap() {
                        if frames::is_probe(&frame.bytes) {
                            wire.send(&frame.bytes).unwrap();
                        }
                    }
                }
            });
            let line = monitor.wait_line("a loop outside", 2 * SOON);
            assert!(line.contains("eth0"), "{told}: {line}");
            over.store(true, Relaxed);
        });
        for name in ["eth0", "vm1", "vm2"] {
            assert_eq!(bridge.port(name)["state"], "forwarding", "{told}");
        }
        segment.address_quietly();
        tcp_transfer(&segment.guest(1).ns, &outside.ns, outside.v4, MIB).unwrap();
        bridge.stop();
    }
}

#[test]
fn loops_are_found_in_vlans_where_the_host_is_not_and_carrying_between_vlans_is_none() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in kinds() {
        let told = format!("{kind:?} {hook}");
        let (segment, bridge) = quiet(kind, hook, "--vlan-filtering");
        let one = segment.guest(1);
        let mut joiner = Joiner::new();
        for name in ["old", "young"] {
            joiner.port(&segment, &bridge, kind, hook, name);
        }
        let put = |name: &str, vid: u16| {
            bridge.text(&format!("vlan del dev {name} vid 1-4094"));
            bridge.text(&format!("vlan add dev {name} vid {vid} pvid untagged"));
        };
        put("vm1", 10);
        put("old", 10);
        put("young", 20);
        joiner.join(&["old", "young"]);
        // A bridge between two VLANs is somebody's firewall.
        let began = Instant::now();
        let ear = RawPort::open(&one.ns, "eth0");
        while began.elapsed() < LONG {
            ear.send(&frames::frame(Mac::BROADCAST, segment.host().mac, 60)).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(
            !stopped(&bridge, "young") && !stopped(&bridge, "old"),
            "{told}: {}",
            bridge.text("port show -d")
        );
        put("young", 10);
        broadcast(one);
        println!("{told}: found in {:?}", time_until_stopped(&bridge, "young", &told));
        assert_eq!(bridge.port("old")["state"], "forwarding", "{told}");
        // And as trunks, with tags.
        joiner.part("young");
        bridge.text("port set young up");
        for name in ["old", "young"] {
            bridge.text(&format!("vlan del dev {name} vid 1-4094"));
            bridge.text(&format!("vlan add dev {name} vid 10"));
        }
        joiner.join(&["young"]);
        broadcast(one);
        println!("{told}: with tags in {:?}", time_until_stopped(&bridge, "young", &told));
        bridge.stop();
    }
}

#[test]
fn it_can_be_turned_off_and_stays_off() {
    if !require_privileges() {
        return;
    }
    let (segment, mut bridge) = quiet(GuestKind::Veth, "tc", "--loop-detect off");
    let mut joiner = Joiner::new();
    for name in ["old", "young"] {
        joiner.port(&segment, &bridge, GuestKind::Veth, "tc", name);
        bridge.text(&format!("port set {name} storm broadcast=100pps"));
    }
    joiner.join(&["old", "young"]);
    broadcast(segment.guest(1));
    std::thread::sleep(LONG);
    assert!(!stopped(&bridge, "young"));
    let dropped = bridge.counters("old").dropped("storm_broadcast")
        + bridge.counters("young").dropped("storm_broadcast");
    assert!(dropped > 0, "storm control limits it meanwhile: {}", bridge.text("stats"));
    bridge.kill();
    bridge.reword("--uplink eth0 --port vm1 --port vm2 --hook tc");
    bridge.restart("");
    std::thread::sleep(LONG);
    assert!(!stopped(&bridge, "young"), "a start that says nothing leaves it as it was");
    bridge.kill();
    bridge.restart("--loop-detect on");
    broadcast(segment.guest(1));
    time_until_stopped(&bridge, "young", "turned on");
}
