//! TC programs attached as before Linux 6.6: by filters of the clsact qdisc. `--lab-clsact` has this kernel do it too.

#[path = "clsact/others.rs"]
mod others;

use std::time::Duration;

use xbr_lab::{
    Cleanup, GuestKind, Namespace, Process, Segment, Snapshot, Stream, StreamReport, Xbr, bpffs_dir,
    everyone_talks, ping, require_privileges, unique_name, wait_until,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const CLSACT: &str = "--lab-clsact";
const MIB: u64 = 1 << 20;
const SOON: Duration = Duration::from_secs(3);
const START: Duration = Duration::from_secs(20);
const MOMENT: Duration = Duration::from_millis(300);

fn filters(segment: &Segment, place: &str) -> String {
    segment.host().ns.output(&format!("tc filter show dev {place}"))
}

/// The number of the program in the filter of this bridge.
#[track_caller]
fn program(segment: &Segment, bridge: &str, place: &str) -> u32 {
    let all = filters(segment, place);
    let line = all.lines().find(|line| line.contains(&format!("xbr/{bridge} direct-action")));
    let id = line.and_then(|line| line.split(" id ").nth(1)?.split(' ').next()?.parse().ok());
    id.unwrap_or_else(|| panic!("no filter of {bridge} at {place}:\n{all}"))
}

/// What is pinned of a bridge's links.
fn links(bridge: &str) -> Vec<String> {
    let folder = std::fs::read_dir(bpffs_dir(bridge).join("links")).unwrap();
    folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn is_tc_link(pin: &str) -> bool {
    pin.ends_with("_ingress") || pin.ends_with("_egress")
}

/// A segment of two guests behind veths that are up, with no switch yet.
fn veths() -> Segment {
    let mut segment = Segment::builder().guests(2, GuestKind::Veth).build();
    (1..=2).for_each(|guest| segment.plug(guest));
    for port in ["vm1", "vm2"] {
        // An address that comes back with IPv6 is tentative for a while, which is not this file's subject.
        segment.host().ns.sysctl(&format!("net/ipv6/conf/{port}/disable_ipv6"), "1");
    }
    segment.settle();
    let now = || snapshot(&segment, "none");
    let settled = || {
        let before = now();
        std::thread::sleep(MOMENT);
        before == now()
    };
    assert!(wait_until(START, settled), "the segment does not settle");
    segment
}

fn snapshot(segment: &Segment, bridge: &str) -> Snapshot {
    Snapshot::with_paths(&segment.host().ns, &[&bpffs_dir(bridge)])
}

/// The segment is as it was, as soon as the kernel has told of carriers: it does so once a second (`linkwatch`).
#[track_caller]
fn is_as_before(before: &Snapshot, segment: &Segment, bridge: &str) {
    wait_until(SOON, || *before == snapshot(segment, bridge));
    before.assert_same(&snapshot(segment, bridge));
}

/// Somebody else's filter, which lets everything pass.
fn foreign(ns: &Namespace, place: &str) {
    let words = format!("filter add dev {place} bpf bytecode");
    let output = ns.command("tc", words.split(' ').chain(["1,6 0 0 0,"])).output().unwrap();
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// How [`veths`] gets its switch. What is tested here is who comes first, and not that somebody comes behind.
fn words(bridge: &str) -> String {
    format!("run --bridge {bridge} --uplink eth0 --port vm1 --port vm2 {CLSACT} --allow-bypass")
}

/// `xbr run` that is to be refused, and what it says.
#[track_caller]
fn refusal(segment: &Segment, bridge: &str) -> String {
    let process = Process::spawn(segment.host().ns.command(XBR, words(bridge).split_whitespace()));
    assert_eq!(process.wait(START).code(), Some(2), "{process}");
    process.stderr_text()
}

#[test]
fn everyone_talks_through_filters() {
    if !require_privileges() {
        return;
    }
    for kind in [GuestKind::Veth, GuestKind::TapVnetHdr, GuestKind::Tap] {
        let mut segment = Segment::builder().guests(2, kind).build();
        let bridge = Xbr::on(XBR, &mut segment, CLSACT);
        assert!(links(&bridge.name).iter().all(|link| !is_tc_link(link)), "{:?}", links(&bridge.name));
        for place in ["eth0 ingress", "eth0 egress", "vm1 ingress", "vm2 ingress"] {
            program(&segment, &bridge.name, place);
        }
        everyone_talks(&segment, 4 * MIB).unwrap_or_else(|error| panic!("{kind:?}: {error:#}"));
        bridge.stop();
    }
}

/// Streams of 1,000 datagrams a second between all kinds of participants.
fn streams(segment: &Segment) -> Vec<Stream> {
    let (host, outside) = (segment.host(), segment.outside());
    let (one, two) = (segment.guest(1), segment.guest(2));
    [(one, two), (outside, one), (two, outside), (two, host), (host, one), (host, outside), (outside, host)]
        .map(|(from, to)| Stream::start(&from.ns, &to.ns, to.v4, 1000).unwrap())
        .into()
}

fn all_perfect(streams: Vec<Stream>) {
    let reports: Vec<StreamReport> = streams.into_iter().map(Stream::stop).collect();
    let sent: u64 = reports.iter().map(|report| report.sent).sum();
    println!("{sent} sent in {} streams: {reports:?}", reports.len());
    assert!(reports.iter().all(StreamReport::is_perfect), "{reports:#?}");
}

#[test]
fn adoption_replaces_the_programs_and_loses_nothing() {
    if !require_privileges() {
        return;
    }
    for kind in [GuestKind::Veth, GuestKind::TapVnetHdr] {
        let mut segment = Segment::builder().guests(2, kind).build();
        let mut bridge = Xbr::on(XBR, &mut segment, CLSACT);
        for (a, b) in segment.pairs() {
            ping(&a.ns, b.v4).unwrap();
        }
        let under_way = streams(&segment);
        let places = ["eth0 ingress", "eth0 egress", "vm1 ingress", "vm2 ingress"];
        for more in ["--lab-other-tag", "", "--fdb-max 2048", "--fdb-max 4096"] {
            let before = places.map(|place| program(&segment, &bridge.name, place));
            bridge.kill();
            std::thread::sleep(MOMENT);
            bridge.restart(more);
            for (place, before) in places.into_iter().zip(before) {
                assert_ne!(program(&segment, &bridge.name, place), before, "{place} has the old program");
            }
        }
        all_perfect(under_way);
        bridge.stop();
    }
}

#[test]
fn a_bridge_keeps_the_way_that_it_began_with() {
    if !require_privileges() {
        return;
    }
    for (first, then, has_filters) in [(CLSACT, "", true), ("", CLSACT, false)] {
        let mut segment = Segment::builder().guests(2, GuestKind::Veth).build();
        let bridge = Xbr::on(XBR, &mut segment, first);
        for (a, b) in segment.pairs() {
            ping(&a.ns, b.v4).unwrap();
        }
        let under_way = streams(&segment);
        bridge.kill();
        let words = format!("run --bridge {} --uplink eth0 --port vm1 --port vm2 {then}", bridge.name);
        let process = Process::spawn(segment.host().ns.command(XBR, words.split_whitespace()));
        process.wait_line("TC programs stay attached by", START);
        process.wait_line("ready", START);
        assert_eq!(filters(&segment, "vm1 ingress").contains("xbr/"), has_filters);
        let pinned = links(&bridge.name);
        assert_eq!(pinned.iter().any(|link| is_tc_link(link)), !has_filters, "{pinned:?}");
        all_perfect(under_way);
        assert!(process.terminate(SOON).success());
        assert!(!filters(&segment, "vm1 ingress").contains("xbr/"));
    }
}

/// What others have on the devices before xbr comes.
fn prepared(segment: &Segment, with_foreign: bool) {
    if with_foreign {
        let ns = &segment.host().ns;
        for (dev, place) in [("eth0", "ingress"), ("eth0", "egress"), ("vm1", "ingress")] {
            let _ = ns.command("tc", ["qdisc", "add", "dev", dev, "clsact"]).output();
            foreign(ns, &format!("{dev} {place}"));
        }
    }
}

#[test]
fn the_end_leaves_the_devices_as_they_were() {
    if !require_privileges() {
        return;
    }
    for with_foreign in [false, true] {
        for dead in [false, true] {
            let segment = veths();
            prepared(&segment, with_foreign);
            let before = snapshot(&segment, "none");
            let bridge = Xbr::start(XBR, &segment, &format!("{CLSACT} --allow-bypass"));
            bridge.wait_forwarding();
            everyone_talks(&segment, MIB).unwrap();
            let name = bridge.name.clone();
            if dead {
                bridge.kill();
                ping(&segment.guest(1).ns, segment.outside().v4).unwrap();
                let down = bridge.verb("down");
                assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
            } else {
                bridge.stop();
            }
            is_as_before(&before, &segment, &name);
        }
    }
}

#[test]
fn a_step_that_fails_leaves_nothing() {
    if !require_privileges() {
        return;
    }
    let segment = veths();
    let name = unique_name();
    let _cleanup = Cleanup::after(&name);
    let before = snapshot(&segment, &name);
    for step in 0.. {
        let words = format!("{} --log warn --lab-fail-step {step}", words(&name));
        let process = Process::spawn(segment.host().ns.command(XBR, words.split_whitespace()));
        assert!(wait_until(START, || !process.is_running() || process.stdout_text().contains("ready")));
        if process.is_running() {
            println!("{step} steps failed, one after the other");
            assert!(step > 15, "only {step} steps can fail");
            assert!(process.terminate(SOON).success());
            is_as_before(&before, &segment, &name);
            return;
        }
        assert!(process.stderr_text().contains("the lab made this step fail"), "{}", process.stderr_text());
        println!("{}", process.stderr_text());
        is_as_before(&before, &segment, &name);
    }
}
