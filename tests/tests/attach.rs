//! TAPs that somebody else makes, and that become ports for their names.

#[path = "attach/life.rs"]
mod life;

use std::time::{Duration, Instant};

use xbr_lab::{
    GuestKind, Namespace, Process, Segment, Snapshot, Tap, TapGuest, TapMode, Xbr, is_running, ping,
    require_privileges, tcp_transfer, wait_until,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const SOON: Duration = Duration::from_secs(10);
/// Within which a TAP that appears is a port.
const AT_ONCE: Duration = Duration::from_millis(100);
const MIB: u64 = 1 << 20;

/// Waits for an event that has all of these words.
#[track_caller]
fn tells(monitor: &Process, words: &[&str]) {
    let told = wait_until(SOON, || {
        monitor.stdout_text().lines().any(|line| words.iter().all(|word| line.contains(word)))
    });
    assert!(told, "no event with {words:?}: {monitor}");
}

/// Two guests with TAPs `vm1` and `vm2`, which are not there yet, and a switch that has neither.
fn segment(kind: GuestKind, words: &str) -> (Segment, Xbr) {
    let segment = Segment::builder().guests(2, kind).build();
    let bridge = Xbr::run(XBR, &segment.host().ns, &format!("--uplink eth0 {words}"));
    (segment, bridge)
}

fn has(bridge: &Xbr, port: &str) -> bool {
    let rows = bridge.json("port show");
    rows.as_array().unwrap().iter().any(|row| row["ifname"] == port)
}

#[track_caller]
fn becomes_port(bridge: &Xbr, port: &str) {
    assert!(wait_until(SOON, || has(bridge, port)), "{port} is no port: {}", bridge.process.stderr_text());
}

#[track_caller]
fn is_port_no_more(bridge: &Xbr, port: &str) {
    assert!(wait_until(SOON, || !has(bridge, port)), "{port} is still a port: {}", bridge.text("port show"));
}

#[track_caller]
fn talks(segment: &Segment) {
    segment.settle();
    let (one, two, outside) = (segment.guest(1), segment.guest(2), segment.outside());
    for (a, b) in [(one, two), (two, one), (one, segment.host()), (outside, two)] {
        assert!(wait_until(SOON, || ping(&a.ns, b.v4).is_ok()), "{a:?} does not reach {b:?}");
        ping(&a.ns, b.v6).unwrap();
        tcp_transfer(&a.ns, &b.ns, b.v4, MIB).unwrap();
    }
}

#[test]
fn taps_that_appear_become_ports_and_go_with_their_stations() {
    if !require_privileges() {
        return;
    }
    for kind in [GuestKind::TapVnetHdr, GuestKind::Tap] {
        let (mut segment, bridge) = segment(kind, "--attach vm[0-9]");
        let monitor = bridge.monitor();
        let host = segment.host().ns.clone();
        let before = Snapshot::take(&host);
        // QEMU and libvirt open the TAP, which makes it, and set it up or do not.
        segment.plug(1);
        host.ip("tuntap add dev vm2 mode tap vnet_hdr multi_queue");
        host.ip("link set vm2 up");
        host.ip_batch(&["link del vm2"]);
        tells(&monitor, &["port-added", "vm1"]);
        segment.plug(2);
        talks(&segment);
        assert_eq!(bridge.port("vm1")["flags"].as_array().unwrap()[0], "attached");
        // Not what is no TAP, nor what has another name.
        host.ip_batch(&[
            "link add vm3 type veth peer name vm4",
            "tuntap add dev vm5 mode tun",
            "tuntap add dev other1 mode tap",
            "link add vm6 type bridge",
        ]);
        bridge.text("fdb add 52:54:00:75:dd:1a dev vm1");
        let station = bridge.station(segment.guest(1).mac).expect("learned");
        assert_eq!(station["ifname"], "vm1");
        segment.unplug(1);
        tells(&monitor, &["port-removed", "vm1", "the device is gone"]);
        is_port_no_more(&bridge, "vm1");
        assert!(bridge.station(segment.guest(1).mac).is_none());
        assert!(bridge.station("52:54:00:75:dd:1a").is_none());
        for name in ["vm3", "vm4", "vm5", "vm6", "other1"] {
            assert!(!has(&bridge, name), "{name}");
        }
        segment.plug(1);
        becomes_port(&bridge, "vm1");
        talks(&segment);
        host.ip_batch(&["link del vm3", "link del vm5", "link del vm6", "link del other1"]);
        segment.unplug(1);
        segment.unplug(2);
        is_port_no_more(&bridge, "vm1");
        is_port_no_more(&bridge, "vm2");
        assert!(
            wait_until(SOON, || Snapshot::take(&host) == before),
            "{:?}",
            before.difference(&Snapshot::take(&host))
        );
        bridge.stop();
    }
}

/// From the moment at which the device is there to the program at its ingress and the word of the monitor.
#[test]
fn a_tap_is_a_port_within_100_milliseconds() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = segment(GuestKind::TapVnetHdr, "--attach vm*");
    let monitor = bridge.monitor();
    let host = &segment.host().ns;
    let mut times = Vec::new();
    for round in 1..=20 {
        let name = format!("vm{round}");
        let mode = if round % 2 == 0 { TapMode::VnetHdr } else { TapMode::Plain };
        let tap = Tap::open(host, &name, mode).unwrap();
        let began = Instant::now();
        let word = format!("\"{name}\"");
        let told =
            || monitor.stdout_text().lines().any(|line| line.contains("port-added") && line.contains(&word));
        assert!(wait_until(SOON, told), "{name}: {monitor}");
        times.push(began.elapsed());
        assert!(is_running(host, &name), "xbr sets it up");
        let ipv6 = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
        assert_eq!(host.run(|| std::fs::read_to_string(&ipv6).unwrap().trim().to_owned()), "1");
        drop(tap);
    }
    times.sort();
    eprintln!(
        "a TAP is a port after {:?} (median), {:?} (longest)",
        times[times.len() / 2],
        times.last().unwrap()
    );
    // Not the longest: other tests have these CPUs too, for as long as they like.
    assert!(times[times.len() * 3 / 4] < AT_ONCE, "{times:?}");
    bridge.stop();
}

/// What is somebody else's works there as if xbr had never seen it.
#[test]
fn a_tap_that_gets_a_master_is_let_go_at_once() {
    if !require_privileges() {
        return;
    }
    for kind in [GuestKind::TapVnetHdr, GuestKind::Tap] {
        for when in ["at once", "after 5 ms", "as a port"] {
            let (mut segment, bridge) = segment(kind, "--attach vm*");
            let monitor = bridge.monitor();
            let host = segment.host().ns.clone();
            host.ip_batch(&[
                "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
                "link set br0 up",
            ]);
            for number in [1, 2] {
                segment.plug(number);
                let name = format!("vm{number}");
                match when {
                    "at once" => {}
                    "after 5 ms" => std::thread::sleep(Duration::from_millis(5)),
                    _ => becomes_port(&bridge, &name),
                }
                host.ip(&format!("link set {name} master br0"));
                let began = Instant::now();
                // Whoever finds it up need not set it up, and must not find it down later.
                if when != "as a port" {
                    host.ip(&format!("link set {name} up"));
                }
                is_port_no_more(&bridge, &name);
                let bare = || no_program(&host, &name);
                assert!(wait_until(SOON, bare), "{name} keeps programs");
                eprintln!("{kind:?} {when}: {name} is let go {:?} after", began.elapsed());
            }
            if when == "as a port" {
                tells(&monitor, &["port-removed", "vm1", "it has a master now"]);
            }
            // Up, a member, with its own IPv6 as the kernel gives it, and working.
            let link = host.output("ip -d link show vm1");
            assert!(link.contains("master br0") && link.contains(",UP"), "{link}");
            let ipv6 =
                host.run(|| std::fs::read_to_string("/proc/sys/net/ipv6/conf/vm1/disable_ipv6").unwrap());
            assert_eq!(ipv6.trim(), "0");
            segment.settle();
            let (one, two) = (segment.guest(1), segment.guest(2));
            for (a, b) in [(one, two), (two, one)] {
                assert!(wait_until(SOON, || ping(&a.ns, b.v4).is_ok()));
                tcp_transfer(&a.ns, &b.ns, b.v4, 4 * MIB).unwrap();
                tcp_transfer(&a.ns, &b.ns, b.v6, MIB).unwrap();
            }
            ping(&one.ns, segment.outside().v4).expect_err("br0 leads nowhere outside");
            assert!(!has(&bridge, "vm1"));
            // Its user gives it back.
            host.ip_batch(&["link set vm1 nomaster", "link set vm2 nomaster"]);
            becomes_port(&bridge, "vm1");
            becomes_port(&bridge, "vm2");
            talks(&segment);
            bridge.stop();
        }
    }
}

fn no_program(host: &Namespace, name: &str) -> bool {
    let lines = host.output("bpftool net");
    !lines.lines().any(|line| line.contains(&format!("{name}(")))
}

/// libvirt makes `vnet0` and gives it to `virbr0`; a pattern for others never touches it.
#[test]
fn a_nat_network_beside_it_stays_as_it_is() {
    if !require_privileges() {
        return;
    }
    let (mut segment, bridge) = segment(GuestKind::TapVnetHdr, "--attach vm*");
    let host = segment.host().ns.clone();
    host.ip_batch(&[
        "link add virbr0 type bridge stp_state 0 forward_delay 0",
        "addr add 192.168.122.1/24 dev virbr0",
        "link set virbr0 up",
    ]);
    let inside = Namespace::new("natted");
    let mut natted = TapGuest::new(&inside, "eth0", TapMode::VnetHdr, xbr_lab::Offloads::Default);
    inside.ip_batch(&["addr add 192.168.122.2/24 dev eth0", "link set eth0 up"]);
    natted.plug(&host, "vnet0");
    host.ip_batch(&["link set vnet0 master virbr0", "link set vnet0 up"]);
    let gateway = "192.168.122.1".parse::<std::net::Ipv4Addr>().unwrap();
    assert!(wait_until(SOON, || ping(&inside, gateway).is_ok()));
    segment.plug(1);
    segment.plug(2);
    talks(&segment);
    for _ in 0..3 {
        tcp_transfer(&inside, &host, gateway, MIB).unwrap();
        tcp_transfer(&host, &inside, "192.168.122.2".parse::<std::net::Ipv4Addr>().unwrap(), MIB).unwrap();
    }
    assert!(!has(&bridge, "vnet0"));
    assert!(no_program(&host, "vnet0"));
    bridge.stop();
    assert!(ping(&inside, gateway).is_ok());
}
