//! A hundred guests' worth of TAPs, ten times over: nothing is left of any of them.

use std::fs;
use std::time::{Duration, Instant};

use xbr_lab::vm::full;
use xbr_lab::{GuestKind, Segment, Snapshot, Xbr, bpffs_dir, everyone_talks, require_privileges, wait_until};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const TAPS: usize = 100;
const ROUNDS: usize = 10;
/// In a run that is not `--full`: a leak shows in these too, if more coarsely.
const FEWER: usize = 3;
const PATIENCE: Duration = Duration::from_secs(180);

/// What a controller holds.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    /// File descriptors, by what they are: `anon_inode:bpf-map`, `socket`, …
    descriptors: Vec<String>,
    /// Pins of the bridge.
    pins: usize,
}

fn held(bridge: &Xbr) -> Held {
    let folder = format!("/proc/{}/fd", bridge.process.pid());
    let target = |entry: std::io::Result<fs::DirEntry>| {
        let target = fs::read_link(entry.ok()?.path()).ok()?.to_string_lossy().into_owned();
        // The number of a socket is another one each time.
        Some(target.split(":[").next().unwrap_or_default().to_owned())
    };
    let mut descriptors: Vec<_> = fs::read_dir(folder).unwrap().filter_map(target).collect();
    descriptors.sort();
    Held { descriptors, pins: pins(bridge) }
}

fn pins(bridge: &Xbr) -> usize {
    fs::read_dir(bpffs_dir(&bridge.name).join("links")).unwrap().count()
}

/// Memory in use, in KiB.
fn resident(bridge: &Xbr) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", bridge.process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Asking costs a process: look at the pins first while waiting.
fn ports(bridge: &Xbr) -> usize {
    let rows = bridge.json("port show");
    rows.as_array().unwrap().iter().filter(|row| row["ifname"].as_str().unwrap().starts_with("tap")).count()
}

/// The programs of the namespace and of the bridge's ports, as many lines as there are.
fn programs(segment: &Segment) -> usize {
    segment.host().ns.output("bpftool net").lines().filter(|line| line.contains("tap")).count()
}

fn lines(line: impl Fn(usize) -> String) -> Vec<String> {
    (1..=TAPS).map(line).collect()
}

#[test]
fn a_hundred_taps_come_and_go() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(2, GuestKind::TapVnetHdr).build();
    let bridge = Xbr::on(XBR, &mut segment, "--attach tap*");
    let host = segment.host().ns.clone();
    let (machine, idle) = (Snapshot::take(&host), held(&bridge));
    host.ip("link add br0 type bridge");
    let mut first = 0;
    for round in 1..=if full() { ROUNDS } else { FEWER } {
        let began = Instant::now();
        // Every other round with native XDP.
        let header = if round % 2 == 1 { "vnet_hdr" } else { "" };
        host.ip_batch(&lines(|n| format!("tuntap add dev tap{n} mode tap {header}")));
        assert!(
            wait_until(PATIENCE, || pins(&bridge) >= idle.pins + TAPS && ports(&bridge) == TAPS),
            "{}",
            ports(&bridge)
        );
        let attached = began.elapsed();
        if round == 1 {
            everyone_talks(&segment, 1 << 20).unwrap();
        }
        // They go, or somebody else gets them.
        if round % 3 == 0 {
            host.ip_batch(&lines(|n| format!("link set tap{n} master br0")));
            assert!(
                wait_until(PATIENCE, || pins(&bridge) == idle.pins && ports(&bridge) == 0),
                "{}",
                ports(&bridge)
            );
            assert!(wait_until(PATIENCE, || programs(&segment) == 0), "{}", programs(&segment));
        }
        host.ip_batch(&lines(|n| format!("link del tap{n}")));
        assert!(
            wait_until(PATIENCE, || pins(&bridge) == idle.pins && ports(&bridge) == 0),
            "{}",
            ports(&bridge)
        );
        assert!(wait_until(PATIENCE, || held(&bridge) == idle), "{:?} and not {idle:?}", held(&bridge));
        let memory = resident(&bridge);
        eprintln!("round {round}: {TAPS} TAPs are ports after {attached:?}; {memory} KiB resident");
        if round == 1 {
            first = memory;
        }
        assert!(memory <= first + 1024, "round {round}: {memory} KiB, and {first} KiB after the first");
    }
    host.ip("link del br0");
    assert!(
        wait_until(PATIENCE, || Snapshot::take(&host) == machine),
        "{:?}",
        machine.difference(&Snapshot::take(&host))
    );
    everyone_talks(&segment, 1 << 20).unwrap();
    bridge.stop();
}
