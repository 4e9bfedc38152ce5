//! What is run inside a guest. On a machine of its own, to see one fail:
//! `cargo test -p xbr-lab --test matrix -- --ignored inside`.

use std::time::Duration;

use nix::sys::signal::Signal;
use xbr_lab::{
    GuestKind::{self, Tap, TapVnetHdr, Veth},
    Namespace, Node, Segment, Snapshot, Stream, Xbr, bpffs_dir, everyone_talks, guests_get_addresses,
    has_tcx, pace, ping, require_privileges, socket_path, tcp_transfer, wait_until,
};

use crate::XBR;

/// The tests below.
pub const NAMES: [&str; 6] = [
    "all_pairs_by_the_hooks_that_auto_chooses",
    "all_pairs_by_xdp",
    "a_kill_under_load_loses_nothing_on_tc",
    "a_kill_under_load_loses_nothing_on_xdp",
    "the_machine_is_as_before_after_an_end",
    "the_machine_is_as_before_after_a_crash",
];

/// Those that are run where not everything is.
pub const SHORT: [&str; 3] = [
    "all_pairs_by_the_hooks_that_auto_chooses",
    "a_kill_under_load_loses_nothing_on_xdp",
    "the_machine_is_as_before_after_a_crash",
];

const KIB: u64 = 1 << 10;
const SOON: Duration = Duration::from_secs(3);

/// Guests of all kinds, and everything that any two can do with each other.
fn all_pairs(words: &str, hooks: [&str; 4]) {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(1, Veth).guests(1, Tap).guests(1, TapVnetHdr).build();
    let bridge = Xbr::on(XBR, &mut segment, words);
    let ports = ["eth0", "vm1", "vm2", "vm3"];
    let now = || ports.map(|port| bridge.port(port)["hook"].as_str().unwrap_or_default().to_owned());
    assert!(wait_until(SOON, || now() == hooks), "{:?} instead of {hooks:?}", now());
    everyone_talks(&segment, 256 * KIB).unwrap();
    guests_get_addresses(&segment).unwrap();
    for (port, hook) in ports.into_iter().zip(hooks) {
        let counters = bridge.counters(port);
        let right = if hook == "xdp" { counters.by_xdp() > 0 } else { counters.slow.is_empty() };
        assert!(right, "{port} has {hook}: {counters:?}");
    }
    bridge.stop();
}

#[test]
#[ignore = "run inside guests"]
fn all_pairs_by_the_hooks_that_auto_chooses() {
    // The lab's uplink is a veth, which gets XDP only by name.
    all_pairs("--hook auto --hook eth0=xdp", ["xdp", "tc", "xdp", "tc"]);
}

#[test]
#[ignore = "run inside guests"]
fn all_pairs_by_xdp() {
    all_pairs("--hook xdp", ["xdp"; 4]);
}

/// A stream of datagrams both ways between a guest and everyone else, and a transfer, while the controller is killed and comes back
/// twice, once with other programs.
fn a_kill_under_load_loses_nothing(kind: GuestKind, words: &str) {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(2, kind).build();
    let mut bridge = Xbr::on(XBR, &mut segment, words);
    let guest = segment.guest(1);
    let streams: Vec<_> = [segment.guest(2), segment.host(), segment.outside()]
        .into_iter()
        .flat_map(|other| [(guest, other), (other, guest)])
        .map(|(from, to): (&Node, &Node)| {
            ping(&from.ns, to.v4).unwrap();
            ping(&from.ns, to.v6).unwrap();
            Stream::start(&from.ns, &to.ns, to.v4, pace(200)).unwrap()
        })
        .collect();
    let before = bridge.attachments();
    assert!(before.len() > 3, "{before:?}");
    let stations = bridge.json("fdb show").as_array().map(Vec::len);
    std::thread::scope(|scope| {
        let transfer =
            scope.spawn(|| tcp_transfer(&guest.ns, &segment.outside().ns, segment.outside().v6, 1024 * KIB));
        for more in ["--lab-other-tag", ""] {
            bridge.kill();
            bridge.restart(more);
            let after = bridge.attachments();
            let replaced = |(old, new): (&(String, String, bool), &(String, String, bool))| {
                // The tracepoint's program is the same in both.
                (&old.0, true) == (&new.0, new.2)
                    && (more.is_empty() || old.1 != new.1 || old.0.contains("xmit"))
            };
            assert_eq!(before.len(), after.len(), "{before:?} {after:?}");
            assert!(before.iter().zip(&after).all(replaced), "{before:?} {after:?}");
        }
        transfer.join().expect("no panic").expect("the transfer broke");
    });
    assert_eq!(bridge.attachments(), before);
    assert_eq!(bridge.json("fdb show").as_array().map(Vec::len), stations, "the FDB is kept");
    for stream in streams {
        let report = stream.stop();
        assert!(report.sent > 0 && (report.lost, report.duplicated) == (0, 0), "{report:?}");
    }
    bridge.stop();
}

#[test]
#[ignore = "run inside guests"]
fn a_kill_under_load_loses_nothing_on_tc() {
    a_kill_under_load_loses_nothing(TapVnetHdr, "--hook tc");
}

#[test]
#[ignore = "run inside guests"]
fn a_kill_under_load_loses_nothing_on_xdp() {
    a_kill_under_load_loses_nothing(Veth, "--hook xdp");
}

/// The namespace of the switch, and what this bridge has elsewhere.
fn snapshot(host: &Namespace, bridge: &str) -> Snapshot {
    let socket = socket_path(bridge);
    let paths = [bpffs_dir(bridge), socket.with_extension("lock"), socket];
    Snapshot::with_paths(host, &paths.each_ref().map(|path| path.as_path()))
}

/// A bridge by XDP and TC that `end` ends, and the machine before and after.
fn as_before(end: impl FnOnce(&Xbr)) {
    if !require_privileges() {
        return;
    }
    let segment = Segment::builder().guests(1, Veth).guests(1, TapVnetHdr).build();
    segment.make_taps();
    let host = &segment.host().ns;
    // A device gets its queueing discipline when it is first up, and keeps it.
    host.ip_batch(&["link set vm2 up", "link set vm2 down"]);
    host.sysctl("net/ipv6/conf/vm1/disable_ipv6", "0");
    let before = snapshot(host, "nobody");
    let words = "--uplink eth0 --port vm1 --tap vm2 --tap new1 --hook vm1=xdp --hook eth0=xdp";
    let bridge = Xbr::run(XBR, host, words);
    let difference = before.difference(&snapshot(host, "nobody")).expect("a running bridge is to be seen");
    let filter = if has_tcx() { "tcx ingress of vm1" } else { "filter show dev vm1 ingress" };
    for trace in ["new1", filter, "+ addr eth0.xdp", "PROMISC"] {
        assert!(difference.contains(trace), "no trace of {trace}:\n{difference}");
    }
    end(&bridge);
    before.assert_same(&snapshot(host, &bridge.name));
}

#[test]
#[ignore = "run inside guests"]
fn the_machine_is_as_before_after_an_end() {
    as_before(|bridge| assert!(bridge.end(Signal::SIGTERM).success(), "{}", bridge.process));
}

#[test]
#[ignore = "run inside guests"]
fn the_machine_is_as_before_after_a_crash() {
    as_before(|bridge| {
        bridge.kill();
        bridge.text("down");
    });
}
