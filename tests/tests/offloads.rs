//! TCP between guests, the host and the outside, whatever offloads the guests have: checksums are right, and it is no slower
//! than through a Linux bridge. The guests stay; the switch between them changes, and where rates are compared they have a card at each.
//!
//! `cargo xtask test --full` runs every row, CI one.

#[path = "offloads/scene.rs"]
mod scene;
#[path = "offloads/side.rs"]
mod side;

use xbr_lab::vm::{Kernel, full, require_full, require_guests};
use xbr_lab::{LinuxBridge, median};

use scene::{Offloads, Scene};
use side::Sides;

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const MIB: u64 = 1 << 20;

const WAYS: [&str; 4] = ["guest→guest", "guest→host", "host→guest", "outside→guest"];

/// xbr and a Linux bridge, one after the other, on the same guests. The machine is shared, and a single round is no measurement: what
/// must not be is a path that has fallen off.
fn compare_once(scene: &Scene, what: &str) {
    let bridge = scene.xbr("");
    let ours = scene.rates(2);
    bridge.stop();
    let bridge = LinuxBridge::over(scene.host(), scene.segment.mtu(), &["vm1", "vm2"]);
    let theirs = scene.rates(2);
    drop(bridge);
    for ((way, ours), theirs) in WAYS.iter().zip(ours).zip(theirs) {
        println!("{what} {way:14} to a Linux bridge: {:.2}", ours / theirs);
        assert!(ours / theirs > 0.5, "{what}: {way} at {:.2} of a Linux bridge", ours / theirs);
    }
}

/// What `auto` is to choose for a TAP with vnet_hdr: bulk TCP and small frames by tc and by XDP, to a Linux bridge. A figure, no proof:
/// only a full run makes it, and it fails only if what it would prefer is the wrong way round by far.
#[test]
fn what_each_hook_is_good_for() {
    if !require_full() || !require_guests(Kernel::V6_12) {
        return;
    }
    let scene = Scene::set(Offloads::Default, Kernel::V6_12, 1500);
    let mut ratios: [[Vec<f64>; 5]; 2] = Default::default();
    for _ in 0..5 {
        let [tc, xdp] = ["--prefer throughput", "--prefer packets"].map(|words| {
            let bridge = scene.xbr(words);
            let rates = scene.all_rates();
            bridge.stop();
            rates
        });
        let bridge = LinuxBridge::over(scene.host(), 1500, &["vm1", "vm2"]);
        let theirs = scene.all_rates();
        drop(bridge);
        for (ratios, ours) in ratios.iter_mut().zip([tc, xdp]) {
            for ((ratios, ours), theirs) in ratios.iter_mut().zip(ours).zip(theirs) {
                ratios.push(ours / theirs);
            }
        }
    }
    for (name, ratios) in ["throughput (tc)", "packets (xdp)"].iter().zip(&ratios) {
        for (way, ratios) in WAYS.iter().chain(&["small frames"]).zip(ratios) {
            let (middle, low, high) = median(ratios.clone());
            println!("prefer {name:16} {way:14} to a Linux bridge: {middle:.2} ({low:.2} to {high:.2})");
        }
    }
    let [bulk_tc, bulk_xdp] = ratios.map(|ratios| median(ratios[0].clone()).0);
    assert!(bulk_tc > 0.7 * bulk_xdp, "bulk TCP is far faster by XDP: auto is wrong");
}

/// Whether it works, with every hook.
fn row(offloads: Offloads, mtu: u32) {
    let kernel = if full() { Kernel::V6_12 } else { Kernel::Newest };
    if !require_guests(kernel) {
        return;
    }
    let scene = Scene::set(offloads, kernel, mtu);
    let what = format!("{offloads:?} MTU {mtu}");
    if !full() {
        scene.works_by("", MIB / 2, &what);
        compare_once(&scene, &what);
        return;
    }
    for hook in ["", "--hook xdp", "--hook tc"] {
        scene.works_by(hook, 2 * MIB, &what);
    }
}

/// How fast it is, with the hook that is chosen.
fn rates(offloads: Offloads, mtu: u32) {
    if !require_full() || !require_guests(Kernel::V6_12) {
        return;
    }
    let sides = Sides::set(offloads, Kernel::V6_12, mtu);
    let mut slow = Vec::new();
    for (way, found) in WAYS.iter().zip(sides.compare()) {
        let rate = found.first / 1e6;
        let told =
            format!("{offloads:?} MTU {mtu} {way:14} to a Linux bridge: {} of {rate:.0} Mbit/s", found.ratio);
        println!("{told}");
        if found.ratio.middle < 0.95 {
            slow.push(told);
        }
    }
    sides.end();
    assert!(slow.is_empty(), "{slow:#?}");
}

#[test]
fn by_default() {
    row(Offloads::Default, 1500);
}

/// The rows that only a full run has.
fn more(offloads: Offloads, mtu: u32) {
    if require_full() {
        row(offloads, mtu);
    }
}

#[test]
fn by_default_jumbo() {
    more(Offloads::Default, 9000);
}

#[test]
fn off_at_the_device() {
    more(Offloads::Device, 1500);
}

#[test]
fn off_at_the_device_jumbo() {
    more(Offloads::Device, 9000);
}

#[test]
fn off_by_ethtool() {
    more(Offloads::Ethtool, 1500);
}

#[test]
fn off_by_ethtool_jumbo() {
    more(Offloads::Ethtool, 9000);
}

#[test]
fn no_header() {
    more(Offloads::NoHeader, 1500);
}

#[test]
fn no_header_jumbo() {
    more(Offloads::NoHeader, 9000);
}

/// A full run's, and to be run with nothing beside.
mod rates_of {
    use super::{Offloads, rates};

    #[test]
    fn defaults() {
        rates(Offloads::Default, 1500);
    }

    #[test]
    fn defaults_jumbo() {
        rates(Offloads::Default, 9000);
    }

    #[test]
    fn off_at_the_device() {
        rates(Offloads::Device, 1500);
    }

    #[test]
    fn off_at_the_device_jumbo() {
        rates(Offloads::Device, 9000);
    }

    #[test]
    fn off_by_ethtool() {
        rates(Offloads::Ethtool, 1500);
    }

    #[test]
    fn off_by_ethtool_jumbo() {
        rates(Offloads::Ethtool, 9000);
    }

    #[test]
    fn no_header() {
        rates(Offloads::NoHeader, 1500);
    }

    #[test]
    fn no_header_jumbo() {
        rates(Offloads::NoHeader, 9000);
    }
}
