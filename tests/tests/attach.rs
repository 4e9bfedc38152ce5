//! TAPs that somebody else makes, and that become ports for their names.

use std::time::{Duration, Instant};

use xbr_lab::{
    Cleanup, GuestKind, Namespace, Process, Segment, Snapshot, Tap, TapGuest, TapMode, Xbr, bpffs_dir,
    is_running, ping, require_privileges, tcp_transfer, unique_name, wait_until,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const SOON: Duration = Duration::from_secs(4);
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
        assert!(wait_until(SOON, || Snapshot::take(&host) == before), "{:?}", before.difference(&Snapshot::take(&host)));
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
        let told = || monitor.stdout_text().lines().any(|line| line.contains("port-added") && line.contains(&word));
        assert!(wait_until(SOON, told), "{name}: {monitor}");
        times.push(began.elapsed());
        assert!(is_running(host, &name), "xbr sets it up");
        let ipv6 = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
        assert_eq!(host.run(|| std::fs::read_to_string(&ipv6).unwrap().trim().to_owned()), "1");
        drop(tap);
    }
    times.sort();
    eprintln!("a TAP is a port after {:?} (median), {:?} (longest)", times[times.len() / 2], times.last().unwrap());
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
        for pause in [None, Some(Duration::from_millis(5)), Some(Duration::from_millis(300))] {
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
                if let Some(pause) = pause {
                    std::thread::sleep(pause);
                }
                host.ip(&format!("link set {name} master br0"));
                let began = Instant::now();
                host.ip(&format!("link set {name} up"));
                is_port_no_more(&bridge, &name);
                let bare = || no_program(&host, &name);
                assert!(wait_until(SOON, bare), "{name} keeps programs");
                eprintln!("{kind:?} {pause:?}: {name} is let go {:?} after", began.elapsed());
            }
            if pause == Some(Duration::from_millis(300)) {
                tells(&monitor, &["port-removed", "vm1", "it has a master now"]);
            }
            // Up, a member, with its own IPv6 as the kernel gives it, and working.
            let link = host.output("ip -d link show vm1");
            assert!(link.contains("master br0") && link.contains(",UP"), "{link}");
            let ipv6 = host.run(|| std::fs::read_to_string("/proc/sys/net/ipv6/conf/vm1/disable_ipv6").unwrap());
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

#[test]
fn a_pattern_for_libvirts_names_is_refused() {
    if !require_privileges() {
        return;
    }
    let segment = Segment::builder().guests(1, GuestKind::Tap).build();
    let host = &segment.host().ns;
    host.ip("link add virbr7 type bridge");
    for pattern in ["vnet*", "*", "?net?", "v*[0-9]"] {
        let name = unique_name();
        let _cleanup = Cleanup::after(&name);
        let before = Snapshot::with_paths(host, &[&bpffs_dir(&name)]);
        let words = ["run", "--bridge", &name, "--uplink", "eth0", "--attach", "xvm*", "--attach", pattern];
        let output = host.command(XBR, words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        for word in [pattern, "virbr7", "hint:", "<target dev='xvm1'/>", "xbr libvirt install"] {
            assert!(said.contains(word), "no {word} in {said}");
        }
        before.assert_same(&Snapshot::with_paths(host, &[&bpffs_dir(&name)]));
    }
    let output = host.command(XBR, ["run", "--uplink", "eth0", "--attach", "vm["]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("is not closed"), "{said}");
}

#[test]
fn a_restart_keeps_what_matches_and_lets_the_rest_go() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(2, GuestKind::TapVnetHdr).build();
    let host = segment.host().ns.clone();
    // It is there before the start, up or down.
    segment.plug(1);
    host.ip("link set vm1 up");
    segment.plug(2);
    let mut bridge = Xbr::run(XBR, &host, "--uplink eth0 --attach vm1 --attach v?2");
    assert!(has(&bridge, "vm1") && has(&bridge, "vm2"), "what is there at the start is taken in by the start");
    talks(&segment);
    let attached = bridge.attachments();
    bridge.kill();
    talks(&segment);
    host.ip("tuntap add dev vm22 mode tap");
    bridge.restart("");
    assert!(has(&bridge, "vm1") && has(&bridge, "vm2"));
    let pins = |list: &[(String, String, bool)]| list.iter().map(|one| one.0.clone()).collect::<Vec<_>>();
    assert_eq!(pins(&bridge.attachments()), pins(&attached), "the same links");
    assert_eq!(bridge.station(segment.guest(1).mac).unwrap()["ifname"], "vm1");
    talks(&segment);
    // Without the pattern, and with a device that went and one that was given away meanwhile.
    bridge.kill();
    host.ip_batch(&["link add br0 type bridge", "link set vm2 master br0"]);
    bridge.reword("--uplink eth0 --attach v?2");
    bridge.restart("");
    assert!(!has(&bridge, "vm1") && !has(&bridge, "vm2"), "{}", bridge.text("port show"));
    assert!(host.output("ip link show vm1").contains(",UP"), "it was up when it was found");
    assert!(host.output("ip link show vm2").contains("master br0"));
    assert!(wait_until(SOON, || no_program(&host, "vm1") && no_program(&host, "vm2")));
    bridge.kill();
    host.ip("link set vm2 nomaster");
    bridge.restart("");
    becomes_port(&bridge, "vm2");
    bridge.kill();
    segment.unplug(2);
    bridge.restart("");
    assert!(!has(&bridge, "vm2"));
    assert!(bridge.station(segment.guest(2).mac).is_none());
    segment.plug(2);
    becomes_port(&bridge, "vm2");
    bridge.stop();
}

#[test]
fn names_and_operators_decide() {
    if !require_privileges() {
        return;
    }
    let (mut segment, bridge) = segment(GuestKind::TapVnetHdr, "--attach vm*");
    let monitor = bridge.monitor();
    let host = segment.host().ns.clone();
    segment.plug(1);
    becomes_port(&bridge, "vm1");
    // Another name that is meant, one that is not, and back.
    host.ip("link set vm1 name vm9");
    tells(&monitor, &["port-changed", "vm9", "renamed from vm1"]);
    assert!(has(&bridge, "vm9"));
    host.ip("link set vm9 name away");
    tells(&monitor, &["port-removed", "away"]);
    is_port_no_more(&bridge, "away");
    assert!(wait_until(SOON, || no_program(&host, "away")));
    assert!(!host.output("ip link show away").contains(",UP"), "nothing of xbr's is left to keep it closed");
    host.ip("link set away name vm1");
    becomes_port(&bridge, "vm1");
    segment.plug(2);
    talks(&segment);
    // Whoever lets it go has the last word, until the next device of that name.
    bridge.text("port del vm2");
    host.ip_batch(&["link set vm2 mtu 1400", "link set vm2 mtu 1500", "link set vm2 up", "link set vm2 down"]);
    std::thread::sleep(AT_ONCE * 3);
    assert!(!has(&bridge, "vm2"));
    bridge.text("port add vm2");
    bridge.text("port del vm2");
    segment.unplug(2);
    segment.plug(2);
    becomes_port(&bridge, "vm2");
    talks(&segment);
    bridge.stop();
}

#[test]
fn what_cannot_be_attached_is_said_once_and_tried_when_it_changes() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = segment(GuestKind::TapVnetHdr, "--attach vm* --hook xdp");
    let monitor = bridge.monitor();
    let host = &segment.host().ns;
    let told = |word: &str| monitor.stdout_text().lines().filter(|line| line.contains(word)).count();
    host.ip_batch(&["tuntap add dev hidden mode tap", "link set hidden up"]);
    host.output("nft add table bridge t");
    host.output("nft add chain bridge t f");
    host.output("nft add rule bridge t f iifname \"vm7\" drop");
    host.ip("link set hidden name vm7");
    tells(&monitor, &["port-refused", "vm7", "nftables chain bridge t f names vm7"]);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(told("port-refused"), 1, "{monitor}");
    assert!(!has(&bridge, "vm7"));
    // Something about it changes, and it is the same still: tried, and not said again.
    host.ip("link set vm7 mtu 1400");
    std::thread::sleep(AT_ONCE * 5);
    assert_eq!(told("port-refused"), 1, "{monitor}");
    host.output("nft flush chain bridge t f");
    tells(&monitor, &["port-added", "vm7"]);
    bridge.stop();
}
