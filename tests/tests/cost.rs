//! What the controller costs: memory, and time when nothing happens and when a guest makes trouble.
//!
//! The bounds hold for a release build. A debug build measures too, says so and asserts with more room, so that
//! a change of kind is still seen; `XBR_RELEASE_BIN` names a released program to hold to the real ones.

use std::time::{Duration, Instant};

use xbr_lab::{GuestKind, Mac, Segment, Speaker, TapsBy, Xbr, percent, require_privileges, wait_until};

const STATIONS: u32 = 65_536;

/// The program, and by how much more than a release build it may need.
fn program() -> (String, f64) {
    match std::env::var("XBR_RELEASE_BIN") {
        Ok(program) => (program, 1.0),
        Err(_) if cfg!(debug_assertions) => (env!("CARGO_BIN_EXE_xbr-under-test").into(), 8.0),
        Err(_) => (env!("CARGO_BIN_EXE_xbr-under-test").into(), 1.0),
    }
}

fn room(words: &str) -> (Segment, Xbr, f64) {
    let (program, slower) = program();
    let mut segment = Segment::builder().guests(2, GuestKind::Veth).quiet().build();
    let bridge = segment.start(TapsBy::Switch, |segment| Xbr::start(&program, segment, words));
    (segment, bridge, slower)
}

fn crowd(number: u32) -> Mac {
    Mac::numbered(0x0100_0000 + number)
}

/// Says a frame of each station, to one of them, so that it is learned and dropped.
fn learn(speaker: &Speaker, numbers: std::ops::Range<u32>) {
    for number in numbers {
        speaker.say(crowd(number), crowd(0));
    }
}

/// Memory in use now, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn memory_and_an_idle_second_with_a_full_table() {
    if !require_privileges() {
        return;
    }
    // Ageing in reach, or the sweep would not even look.
    let (segment, bridge, slower) = room("--ageing-time 60");
    let pid = bridge.process.pid();
    // One that listens makes the controller do all that it can.
    let monitor = bridge.monitor();
    learn(&Speaker::at(segment.guest(1)), 0..STATIONS);
    let (_, idle) = percent(pid, || std::thread::sleep(Duration::from_secs(6)));
    let memory = resident(pid);
    eprintln!("{memory} KiB and {idle:.3} % of a core with {STATIONS} stations (bounds × {slower})");
    assert!(memory < 30 << 10, "{memory} KiB");
    assert!(idle < 1.0 * slower, "{idle} %");
    drop(monitor);
}

#[test]
fn a_sweep_of_a_full_table() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge, slower) = room("--ageing-time 8 --log bridge_user=debug");
    let pid = bridge.process.pid();
    learn(&Speaker::at(segment.guest(1)), 0..STATIONS);
    let all = |text: &str| {
        let swept =
            |line: &&str| line.contains("swept") && number(line, "stations=") > u64::from(STATIONS) / 2;
        text.lines()
            .filter(swept)
            .map(|line| (number(line, "expired="), number(line, "microseconds=")))
            .collect()
    };
    let sweeps = || -> Vec<(u64, u64)> { all(&bridge.process.stderr_text()) };
    assert!(wait_until(Duration::from_secs(20), || sweeps().iter().any(|(expired, _)| *expired > 0)));
    let memory = resident(pid);
    for (expired, microseconds) in sweeps() {
        eprintln!("a sweep that found {expired} of {STATIONS} expired: {microseconds} µs; {memory} KiB");
        assert!((microseconds as f64) < 50_000.0 * slower, "{microseconds} µs");
    }
    assert!(memory < 30 << 10, "{memory} KiB");
}

fn number(line: &str, key: &str) -> u64 {
    let at = line.find(key).map(|at| &line[at + key.len()..]).unwrap_or_default();
    at.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[test]
fn a_guest_with_a_million_sources() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge, slower) = room("--ageing-time 2");
    let monitor = bridge.monitor();
    let speaker = Speaker::at(segment.guest(1));
    let mut said = 0;
    let (_, share) = percent(bridge.process.pid(), || {
        let start = Instant::now();
        while said < 1_000_000 && start.elapsed() < Duration::from_secs(8) {
            learn(&speaker, said..said + 1000);
            said += 1000;
        }
    });
    let stats = bridge.stats("vm1");
    eprintln!("{share:.2} % of a core while a guest used {said} sources (bounds × {slower}): {stats}");
    assert!(said > 100_000, "too slow to prove anything: {said}");
    assert!(stats["events"]["suppressed"].as_u64() > Some(10_000), "{stats}");
    assert!(share < 5.0 * slower, "{share} %");
    // Others tell of stations that the sweep took away.
    let caused = |line: &&str| line.contains("\"learned\"") || line.contains("\"refused-full\"");
    let events = monitor.stdout_text().lines().filter(caused).count();
    assert!((1..200).contains(&events), "a guest may cause 10 events a second: {events}");
}
