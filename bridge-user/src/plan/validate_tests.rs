//! The cases, on recorded answers of netlink.
#![allow(missing_docs)]

use super::*;
use proptest::prelude::*;

/// Devices as netlink describes them, one a line.
const RECORDED: &str = include_str!("recorded.json");

/// The recorded device of this name.
pub fn link(name: &str) -> Link {
    let links: Vec<Link> = serde_json::from_str(RECORDED).expect("recorded links");
    links.into_iter().find(|link| link.name.as_str() == name).expect(name)
}

fn free() -> Claims {
    Claims::default()
}

fn refusal<T: fmt::Debug>(result: Result<T, Refusal>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_wired_card_is_a_good_uplink() {
    assert_eq!(uplink(&link("eth0"), &free()).unwrap(), []);
    let down = uplink(&link("eth1"), &free()).unwrap();
    insta::assert_snapshot!(down[0], @"eth1 is down: nothing reaches the outside until it is set up");
}

#[test]
fn bad_uplinks_are_refused() {
    let names = ["lo", "wlan0", "tun0", "eth2", "eth3", "eth4"];
    let all = names.map(|name| refusal(uplink(&link(name), &free()))).join("\n\n");
    insta::assert_snapshot!(all, @r"
    lo is the loopback device and leads nowhere outside
    hint: name the network card that leads outside: --uplink eth0

    wlan0 is a Wi-Fi device, which sends frames from its own MAC address only
    hint: use a wired device, or route instead of bridging

    tun0 is no Ethernet device
    hint: xbr forwards Ethernet frames; use a device that carries them

    eth2 is already a member of a bridge
    hint: take it out first: ip link set eth2 nomaster

    eth3 is already a member of a bond
    hint: take it out first: ip link set eth3 nomaster

    another XDP program (id 47) sits on eth4
    hint: see what it is with bpftool net show dev eth4, and remove it
    ");
    let claims = Claims { bridge: Some("xbr1".into()), ..free() };
    insta::assert_snapshot!(refusal(uplink(&link("eth0"), &claims)), @r"
    eth0 is already used by bridge xbr1 of xbr
    hint: take that one down first: xbr down xbr1
    ");
    assert!(uplink(&link("eth4"), &Claims { own_xdp: true, ..free() }).is_ok());
}

#[test]
fn bad_ports_are_refused() {
    let eth0 = link("eth0");
    let names = ["eth0", "lo", "wlan0", "tun0", "eth2", "eth4", "host"];
    let all = names.map(|name| refusal(port(&link(name), &eth0, &free()))).join("\n\n");
    insta::assert_snapshot!(all, @r"
    eth0 is the uplink and cannot be another port too
    hint: name it once

    lo is the loopback device and leads to no guest
    hint: attach a TAP, a veth or a network card

    wlan0 is a Wi-Fi device, which sends frames from its own MAC address only
    hint: attach a TAP, a veth or a wired network card

    tun0 is no Ethernet device
    hint: xbr forwards Ethernet frames; use a device that carries them

    eth2 is already a member of a bridge
    hint: take it out first: ip link set eth2 nomaster

    another XDP program (id 47) sits on eth4
    hint: see what it is with bpftool net show dev eth4, and remove it

    no device named host can be a port, since that name means the host itself
    hint: rename the device: ip link set host name NEW
    ");
}

#[test]
fn another_mtu_is_a_warning() {
    let eth0 = link("eth0");
    assert_eq!(port(&link("veth0"), &eth0, &free()).unwrap(), []);
    let warning =
        |name: &str, uplink: &str| port(&link(name), &link(uplink), &free()).unwrap()[0].to_string();
    insta::assert_snapshot!(warning("jumbo0", "eth0"), @"jumbo0 has MTU 9000 and eth0 has 1500: frames that jumbo0 sends with more than 1500 bytes of payload do not fit through eth0 and are dropped as too_big");
    insta::assert_snapshot!(warning("veth0", "jumbo0"), @"veth0 has MTU 1500 and jumbo0 has 9000: frames with more than 1500 bytes of payload do not fit through veth0 and are dropped as too_big");
}

#[test]
fn a_tap_takes_no_name_that_something_else_has() {
    let name = |text: &str| text.parse::<InterfaceName>().unwrap();
    tap(&name("new"), None).unwrap();
    tap(&name("tap0"), Some(&link("tap0"))).unwrap();
    insta::assert_snapshot!(refusal(tap(&name("eth0"), Some(&link("eth0")))), @r"
    eth0 exists and is no TAP
    hint: choose another name, or attach it as it is: --port eth0
    ");
    insta::assert_snapshot!(refusal(tap(&name("tun0"), Some(&link("tun0")))), @r"
    tun0 exists and is no TAP
    hint: choose another name
    ");
}

#[test]
fn a_typing_error_is_guessed() {
    let names: Vec<InterfaceName> =
        ["lo", "eth0", "eth1", "enp3s0"].iter().map(|name| name.parse().unwrap()).collect();
    let hint = |name: &str| no_such(&name.parse().unwrap(), &names).hint.unwrap();
    assert_eq!(hint("eht0"), "is it eth0?");
    assert_eq!(hint("eth"), "is it eth0 or eth1?");
    assert_eq!(hint("enp"), "is it enp3s0?");
    assert_eq!(hint("wwan9999"), "ip link lists the devices of this network namespace");
}

#[test]
fn bad_machines_are_refused() {
    let good = Probe { kernel: (6, 1), btf: true, capable: true, bpffs: true };
    environment(&good).unwrap();
    let bad = [
        Probe { capable: false, ..good },
        Probe { kernel: (5, 15), ..good },
        Probe { btf: false, ..good },
        Probe { bpffs: false, ..good },
    ];
    insta::assert_snapshot!(bad.map(|probe| refusal(environment(&probe))).join("\n\n"), @r"
    xbr needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON together
    hint: try again with sudo

    xbr needs Linux 6.1 or later, and this is Linux 5.15
    hint: boot a newer kernel

    this kernel does not describe its types (BTF), which BPF programs need
    hint: boot a kernel that was built with CONFIG_DEBUG_INFO_BTF=y

    no BPF file system is mounted
    hint: mount it with mount -t bpf bpf /sys/fs/bpf; ip netns exec hides it, so enter a network namespace with nsenter --net=/run/netns/NAME instead
    ");
}

proptest! {
    #[test]
    fn the_distance_is_a_distance(a in "[a-c]{0,6}", b in "[a-c]{0,6}") {
        prop_assert_eq!(distance(&a, &b), distance(&b, &a));
        prop_assert_eq!(distance(&a, &b) == 0, a == b);
        prop_assert!(distance(&a, &b) <= a.len().max(b.len()));
    }
}
