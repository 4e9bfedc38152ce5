//! What the controller costs while nothing happens, with many stations in the table.

use std::time::Duration;

use super::{Work, frames::quiet};
use crate::{
    bench::{
        Better, Options, Row,
        stations::learned,
        subject::Subject,
        turns::{row, turns},
    },
    percent,
};

/// What is measured in one turn: long enough for several looks at the table.
const TURN: Duration = Duration::from_secs(5);

pub const WORKS: &[Work] = &[
    Work::long("idle/64k", |options, name| idle(options, name, 1 << 16, &Subject::xbr("--fdb-max 65536"))),
    Work::long("idle/1m", |options, name| idle(options, name, 1 << 20, &Subject::xbr("--fdb-max 1048576"))),
];

/// The share of a CPU, and the memory. The stations are learned ones, which age, but not so soon that they would be gone.
#[track_caller]
fn idle(options: &Options, work: &str, stations: u32, subject: &Subject) -> Vec<Row> {
    let segment = quiet(2);
    let running = subject.start(&options.xbr, &segment);
    let bridge = running.xbr().expect("xbr");
    learned(bridge, "vm1", stations);
    let pid = bridge.process.pid();
    let mut memory = row(&format!("{work} memory"), "MiB (less is better)", Better::Lower, ["xbr"]);
    let share = row(&format!("{work} CPU"), "% of a core (less is better)", Better::Lower, ["xbr"]);
    let share = turns(options, share, |_| {
        let ((), share) = percent(pid, || std::thread::sleep(TURN));
        memory.figures[0].1.push(resident(pid));
        share
    });
    running.stop();
    vec![share, memory]
}

/// Memory of its own and shared that is in use now.
#[track_caller]
fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process that lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}
