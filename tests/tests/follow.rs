//! What others do to the devices while the bridge runs.

use std::time::Duration;

use xbr_lab::{
    GuestKind, Mac, Process, Segment, Tap, TapMode, TapsBy, Veth, Xbr, is_running, ping, require_privileges,
    tcp_transfer, wait_until,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const SOON: Duration = Duration::from_secs(4);

fn segment(kind: GuestKind, words: &str) -> (Segment, Xbr) {
    let mut segment = Segment::builder().guests(2, kind).build();
    let bridge = segment.start(TapsBy::Switch, |segment| Xbr::start(XBR, segment, words));
    (segment, bridge)
}

/// Waits for an event that has all of these words.
#[track_caller]
fn tells(monitor: &Process, words: &[&str]) {
    let told = wait_until(SOON, || {
        monitor.stdout_text().lines().any(|line| words.iter().all(|word| line.contains(word)))
    });
    assert!(told, "no event with {words:?}: {monitor}");
}

#[track_caller]
fn becomes(bridge: &Xbr, port: &str, key: &str, value: &str) {
    let is = || bridge.port(port)[key].as_str() == Some(value);
    assert!(wait_until(SOON, is), "{port} has not {key} {value}: {}", bridge.port(port));
}

#[test]
fn a_port_goes_down_comes_up_and_changes_name_and_mtu() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = segment(GuestKind::Veth, "");
    let monitor = bridge.monitor();
    let host = &segment.host().ns;
    host.ip("link set vm1 down");
    tells(&monitor, &["port-down", "vm1"]);
    becomes(&bridge, "vm1", "state", "disabled");
    host.ip("link set vm1 name other");
    tells(&monitor, &["port-changed", "other", "renamed from vm1"]);
    host.ip("link set other mtu 1400");
    tells(&monitor, &["port-changed", "other", "MTU 1400"]);
    assert_eq!(bridge.port("other")["mtu"], 1400);
    host.ip("link set other up");
    tells(&monitor, &["port-up", "other"]);
    becomes(&bridge, "other", "state", "forwarding");
    ping(&segment.guest(1).ns, segment.outside().v4).unwrap();
    // The controller knows it by its new name, and so does whoever takes over.
    bridge.text("fdb add 52:54:00:75:dd:1a dev other");
    assert_eq!(bridge.station("52:54:00:75:dd:1a").unwrap()["ifname"], "other");
    bridge.text("port del other");
    tells(&monitor, &["port-removed", "other"]);
    ping(&segment.guest(1).ns, segment.outside().v4).expect_err("it is no port any more");
    bridge.text("port add other");
    tells(&monitor, &["port-added", "other"]);
    ping(&segment.guest(1).ns, segment.outside().v4).unwrap();
    bridge.stop();
}

#[test]
fn the_uplink_gets_another_address_and_somebody_clears_promiscuity() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = segment(GuestKind::Veth, "");
    let monitor = bridge.monitor();
    let host = &segment.host().ns;
    let (old, new) = (segment.host().mac, Mac::numbered(0x99));
    ping(&segment.guest(1).ns, segment.host().v4).unwrap();
    assert_eq!(bridge.station(old).unwrap()["state"], "permanent");
    host.ip(&format!("link set eth0 address {new}"));
    tells(&monitor, &["port-changed", "eth0", &format!("MAC address {new}")]);
    let row = bridge.station(new).expect("the new address is shown");
    assert_eq!((row["state"].as_str(), row["ifname"].as_str()), (Some("permanent"), Some("host")));
    assert!(bridge.station(old).is_none_or(|row| row["state"] != "permanent"));
    for node in [segment.guest(1), segment.outside()] {
        node.ns.ip("neigh flush all");
        ping(&node.ns, segment.host().v4).unwrap();
        ping(&segment.host().ns, node.v6).unwrap();
    }
    host.ip("link set eth0 promisc off");
    tells(&monitor, &["port-changed", "eth0", "promiscuous again"]);
    assert!(host.output("ip link show eth0").contains("PROMISC"));
    bridge.stop();
    assert!(!host.output("ip link show eth0").contains("PROMISC"));
}

#[test]
fn a_tap_changes_its_header_goes_and_comes_back() {
    if !require_privileges() {
        return;
    }
    let (mut segment, bridge) = segment(GuestKind::TapVnetHdr, "");
    let monitor = bridge.monitor();
    let host = segment.host().ns.clone();
    becomes(&bridge, "vm1", "hook", "tc");
    segment.unplug(1);
    tells(&monitor, &["port-down", "vm1"]);
    let guest = Tap::open(&host, "vm1", TapMode::Plain).unwrap();
    becomes(&bridge, "vm1", "hook", "xdp");
    tells(&monitor, &["port-changed", "vm1", "hook xdp"]);
    drop(guest);
    segment.plug(1);
    becomes(&bridge, "vm1", "hook", "tc");
    segment.settle();
    ping(&segment.guest(1).ns, segment.outside().v4).unwrap();

    bridge.text("fdb add 52:54:00:75:dd:1a dev vm1");
    segment.unplug(1);
    host.ip("link del vm1");
    tells(&monitor, &["port-down", "vm1", "the device is gone"]);
    ping(&segment.guest(2).ns, segment.outside().v4).unwrap();
    host.ip("tuntap add dev vm1 mode tap vnet_hdr");
    tells(&monitor, &["port-added", "vm1", "the device is back"]);
    segment.plug(1);
    segment.settle();
    becomes(&bridge, "vm1", "state", "forwarding");
    ping(&segment.guest(1).ns, segment.outside().v4).unwrap();
    assert_eq!(bridge.station("52:54:00:75:dd:1a").unwrap()["ifname"], "vm1");
    let host_ipv6 = host.run(|| std::fs::read_to_string("/proc/sys/net/ipv6/conf/vm1/disable_ipv6").unwrap());
    assert_eq!(host_ipv6.trim(), "1", "the host is no station of a guest's port");
    bridge.stop();
    assert!(host.output("ip -br link").contains("vm1"), "somebody else made it this time");
}

#[test]
fn the_uplink_goes_and_comes_back() {
    if !require_privileges() {
        return;
    }
    for hook in ["auto", "xdp"] {
        let (segment, bridge) = segment(GuestKind::Veth, &format!("--hook {hook}"));
        let monitor = bridge.monitor();
        let (host, outside) = (segment.host(), segment.outside());
        ping(&segment.guest(1).ns, outside.v4).unwrap();
        host.ns.ip("link del eth0");
        tells(&monitor, &["port-down", "eth0", "the device is gone"]);
        ping(&segment.guest(1).ns, segment.guest(2).v4).expect("guests go on");
        let new = Mac::numbered(0x77);
        Veth::between(&outside.ns, "eth0", &host.ns, "eth0").mac(outside.mac).switch_mac(new).create();
        outside.ns.ip(&format!("addr add {}/24 dev eth0", outside.v4));
        host.ns.ip(&format!("addr add {}/24 dev eth0", host.v4));
        tells(&monitor, &["port-added", "eth0", "the device is back"]);
        becomes(&bridge, "eth0", "state", "forwarding");
        // Until the kernel's link watch has been there, a device drops what it is to send.
        assert!(wait_until(SOON, || is_running(&outside.ns, "eth0") && is_running(&host.ns, "eth0")));
        assert_eq!(bridge.station(new).expect("its address is known")["state"], "permanent");
        for node in [segment.guest(1), outside] {
            node.ns.ip("neigh flush all");
            ping(&node.ns, host.v4).unwrap();
            tcp_transfer(&node.ns, &host.ns, host.v4, 1 << 20).unwrap();
        }
        ping(&segment.guest(1).ns, outside.v4).unwrap();
        bridge.stop();
    }
}

#[test]
fn bridges_of_two_namespaces_do_not_mix() {
    if !require_privileges() {
        return;
    }
    let words = format!("--hook {}", "xdp");
    let (one, first) = segment(GuestKind::Veth, &words);
    let (two, second) = segment(GuestKind::Veth, &words);
    for port in ["eth0", "vm1", "vm2"] {
        assert_eq!(first.port(port)["ifindex"], second.port(port)["ifindex"], "the same numbers");
    }
    second.text("fdb add 52:54:00:75:dd:1a dev vm1");
    assert!(first.station("52:54:00:75:dd:1a").is_none());
    let before = first.stats("vm1")["rx"]["packets"].as_u64();
    for (a, b) in two.pairs() {
        ping(&a.ns, b.v4).unwrap();
    }
    two.guest(1).ns.output(&format!("ping -c 20 -i 0.01 -q {}", two.guest(2).v4));
    let grown = first.stats("vm1")["rx"]["packets"].as_u64().unwrap() - before.unwrap();
    assert!(grown < 20, "the other's frames are counted here: {grown}");
    for (a, b) in one.pairs() {
        ping(&a.ns, b.v4).unwrap();
    }

    // A verb that names no bridge means the only one of its namespace.
    for (segment, bridge) in [(&one, &first), (&two, &second)] {
        let text = segment.host().ns.output(&format!("{XBR} show"));
        assert!(text.contains(&bridge.name), "{text}");
        let ports = segment.host().ns.output(&format!("{XBR} port show -j"));
        assert!(ports.contains(&format!("\"master\":\"{}\"", bridge.name)), "{ports}");
    }
    let host = &one.host().ns;
    host.ip_batch(&["link add d0 type veth peer name d1", "link set d0 up"]);
    let third = Xbr::run(XBR, host, "--uplink d0");
    let output = host.command(XBR, ["fdb", "show"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("has 2 bridges") && said.contains("--bridge NAME"), "{said}");
    third.stop();
    first.stop();
    for (a, b) in two.pairs() {
        ping(&a.ns, b.v4).expect("the other bridge goes on");
    }
}
