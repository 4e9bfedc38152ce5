//! Frames that a port must not send, at full rate: each is counted under its name, none goes anywhere, and nobody else notices.

use std::time::Duration;

use xbr_lab::forged::{self, icmp6, udp4, udp6};
use xbr_lab::{Mac, frames, require_privileges, vm::full};

use crate::{KINDS, alone, scene::Scene};

const OTHER: Mac = Mac::numbered(0xb001);
const NOBODY: Mac = Mac::numbered(0xffff);
const OTHER_V4: [u8; 4] = [10, 77, 0, 99];
const OTHER_V6: [u8; 16] = [0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x77];

/// An attack: what is said of ports before and after, frames that are sent over and over, and the counters that together name each
/// of them.
struct Row {
    name: &'static str,
    before: Vec<String>,
    after: Vec<String>,
    frames: Vec<Vec<u8>>,
    vary: fn(&mut [u8], u32),
    counters: &'static [(&'static str, &'static str)],
    /// Some of them may be flooded.
    floods: bool,
}

fn row(name: &'static str, frames: Vec<Vec<u8>>, counters: &'static [(&'static str, &'static str)]) -> Row {
    Row { name, before: vec![], after: vec![], frames, vary: |_, _| {}, counters, floods: false }
}

/// Another source for each frame.
fn random_source(frame: &mut [u8], number: u32) {
    frame[6..12].copy_from_slice(&Mac::numbered(0x0200_0000 + number).0);
}

/// The groups of one link: what is sent there by spanning tree, flow control, aggregation and discovery.
fn link_local() -> Vec<Vec<u8>> {
    let of = |last, kind| frames::tagged(Mac([1, 0x80, 0xc2, 0, 0, last]), OTHER, &[], kind, 46);
    let mut frames = vec![of(1, 0x8808), of(2, 0x8809), of(3, 0x888e), of(0xe, 0x88cc)];
    frames.extend((1..16).map(|last| of(last, frames::EXPERIMENTAL)));
    frames
}

/// The gateway's address, which the operator has made static.
fn static_gateway(scene: &Scene) -> Row {
    let gateway = scene.segment.outside().mac;
    Row {
        before: vec![format!("fdb add {gateway} dev eth0 static")],
        after: vec![format!("fdb del {gateway}")],
        floods: true,
        ..row(
            "the gateway's address, which is static",
            vec![frames::frame(NOBODY, gateway, 60)],
            &[("vm1", "refused/static"), ("vm1", "drops/storm_unknown")],
        )
    }
}

/// What a guest with guards must not send.
fn guarded(scene: &Scene) -> Vec<Row> {
    let (one, two) = (scene.one(), scene.two());
    let (own4, own6) = (one.v4.octets(), one.v6.octets());
    let ip = [udp4(two.mac, one.mac, OTHER_V4, (9, 9)), udp6(two.mac, one.mac, OTHER_V6, (9, 9))];
    let arp = [forged::arp(one.mac, one.mac, OTHER_V4), forged::arp(one.mac, OTHER, own4)];
    let nd = icmp6(two.mac, one.mac, own6, 136, OTHER_V6);
    let dhcp = [udp4(two.mac, one.mac, own4, (67, 68)), udp6(two.mac, one.mac, own6, (547, 546))];
    let ra = icmp6(two.mac, one.mac, own6, 134, [0; 16]);
    vec![
        row("another's MAC address", vec![udp4(two.mac, OTHER, own4, (9, 9))], &[("vm1", "drops/mac_guard")]),
        row("another's IP address", ip.into(), &[("vm1", "drops/ip_guard")]),
        row("ARP for another", arp.into(), &[("vm1", "drops/arp_guard")]),
        row("ND for another", vec![nd], &[("vm1", "drops/nd_guard")]),
        row("a DHCP server", dhcp.into(), &[("vm1", "drops/dhcp_server")]),
        row("a router", vec![ra], &[("vm1", "drops/ra")]),
    ]
}

/// What no guest's port lets through, guards or not.
fn others(scene: &Scene) -> Vec<Row> {
    let (one, two, host) = (scene.one(), scene.two(), scene.segment.host());
    let bad = [Mac([3, 0, 0, 0, 0, 1]), Mac([1, 0, 0x5e, 0, 0, 1]), Mac::BROADCAST, Mac([0; 6])];
    let bad =
        [two.mac, Mac::BROADCAST].into_iter().flat_map(|to| bad.map(|from| frames::frame(to, from, 60)));
    let bpdu = frames::tagged(Mac([1, 0x80, 0xc2, 0, 0, 0]), one.mac, &[], 0x0026, 46);
    let sources = Row {
        before: vec!["port set vm1 max-macs 256".into()],
        vary: random_source,
        floods: true,
        ..row(
            "random sources to nobody",
            vec![frames::frame(NOBODY, OTHER, 60)],
            &[("vm1", "learned"), ("vm1", "refused/quota"), ("vm1", "drops/storm_unknown")],
        )
    };
    let from_host = frames::finished(two.mac, host.mac, 60);
    vec![
        row("the host's address", vec![from_host], &[("vm1", "drops/host_source")]),
        row("group sources", bad.collect(), &[("vm1", "drops/bad_source")]),
        row("BPDUs", vec![bpdu], &[("vm1", "drops/bpdu")]),
        row("LLDP, PAUSE, LACP and the like", link_local(), &[("vm1", "drops/link_local")]),
        static_gateway(scene),
        sources,
    ]
}

/// With VLANs on: the hostile guest is alone in VLAN 10, where one victim's frames leave untagged; the victims are in VLAN 1.
fn hops(scene: &Scene) -> Vec<Row> {
    let (one, two) = (scene.one(), scene.two());
    let tagged = |tags: &[(u16, u16)], to| frames::tagged(to, one.mac, tags, frames::EXPERIMENTAL, 46);
    let foreign =
        [1, 0x6001, 30, 4095].map(|tci| [two.mac, Mac::BROADCAST].map(|to| tagged(&[(0x8100, tci)], to)));
    let double = [(0x8100, 10), (0x88a8, 10), (0x8100, 0), (0x8100, 0x6000)];
    let double = double.map(|outer| tagged(&[outer, (0x8100, 1)], two.mac));
    let double = row(
        "two tags, and one of priority",
        double.into(),
        &[("vm3", "drops/double_tag"), ("vm1", "drops/storm_unknown")],
    );
    vec![row("tags of other VLANs", foreign.concat(), &[("vm1", "drops/vlan_ingress")]), double]
}

const HOPPING: [&str; 3] =
    ["vlan filtering on", "vlan add dev vm1 vid 10 pvid untagged", "vlan add dev vm3 vid 10 untagged"];

/// How long each lasts.
fn time() -> Duration {
    Duration::from_millis(if full() { 5000 } else { 150 })
}

fn attack(scene: &Scene, row: &mut Row) {
    let what = format!("{}, {}", scene.told, row.name);
    row.before.iter().for_each(|words| drop(scene.bridge.text(words)));
    let read = || {
        let stats = scene.stats();
        let named = row.counters.iter().map(|(port, path)| stats.count(port, path)).sum::<u64>();
        [stats.count("vm1", "rx/packets"), named, stats.sent()]
    };
    let before = read();
    let (taken, report) = scene.beside(|| scene.flood(time(), &mut row.frames, row.vary));
    let after = read();
    let [came, named, out] = std::array::from_fn(|at| after[at] - before[at]);
    eprintln!("{what}: {came} frames in {:?}, {named} named by {:?}", time(), row.counters);
    scene.unharmed(row.name, &report);
    assert!(came > 1000, "{what}: {came} frames are no attack");
    assert_eq!(named, came, "{what}: each is named, of {taken}: {}", scene.bridge.text("stats"));
    if !row.floods {
        assert_eq!(out, report.sent, "{what}: what left any port are the victims' frames");
    }
    scene.victims_are_known(row.name);
    row.after.iter().for_each(|words| drop(scene.bridge.text(words)));
    if row.floods {
        // Whom the operator has deleted says who it is.
        scene.beside(|| ());
    }
}

#[test]
fn what_a_port_must_not_send_is_named_and_goes_nowhere() {
    if !require_privileges() {
        return;
    }
    let _alone = alone();
    // TC and XDP; in full runs XDP on veths too.
    for (kind, hook) in KINDS.into_iter().take(if full() { 3 } else { 2 }) {
        let scene = Scene::set(kind, hook, "");
        others(&scene).iter_mut().for_each(|row| attack(&scene, row));
        let one = scene.one();
        let guards = format!("mac {} ip {} {} no-dhcp-server on no-ra on", one.mac, one.v4, one.v6);
        scene.bridge.text(&format!("port set vm1 {guards}"));
        guarded(&scene).iter_mut().for_each(|row| attack(&scene, row));
        scene.bridge.text("port set vm1 mac off ip off no-dhcp-server off no-ra off");
        HOPPING.iter().for_each(|words| drop(scene.bridge.text(words)));
        // In their VLAN, the victims say who they are.
        scene.beside(|| ());
        hops(&scene).iter_mut().for_each(|row| attack(&scene, row));
        scene.tcp_flows();
        let Scene { bridge, .. } = scene;
        bridge.stop();
    }
}
