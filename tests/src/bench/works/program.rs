//! How long the XDP program itself runs, by the kernel's run-time statistics, which cost a frame two readings of the clock themselves.

use serde_json::Value;

use super::{
    Work,
    frames::{TURN, quiet},
};
use crate::{
    Segment,
    bench::{
        Better, Options, Row,
        load::{CPU, Load},
        subject::Subject,
        turns::{row, turns},
    },
    bpf::RunTimes,
};

pub const WORKS: &[Work] = &[Work::long("program", program)];

const SUBJECTS: &[Subject] = &[
    Subject::xbr("--hook xdp"),
    Subject::Xbr { name: "xbr, no guard", words: "--hook xdp --lab-no-guard", settings: "" },
    // Six instructions: hardly more than what counting costs.
    Subject::BareXdp,
];

#[track_caller]
fn program(options: &Options, work: &str) -> Vec<Row> {
    let segment = quiet(2);
    let load = Load::between(segment.guest(1), segment.guest(2), 2, 0, CPU);
    let subjects = options.chosen(SUBJECTS);
    let row = row(work, "ns/frame (less is better)", Better::Lower, subjects.iter().map(Subject::name));
    let row = turns(options, row, |at| {
        let running = subjects[at].start(&options.xbr, &segment);
        load.introduce();
        load.rate(TURN);
        let _counting = RunTimes::count().expect("BPF_ENABLE_STATS");
        let (before, came) = (times(&segment), load.arrived());
        load.rate(TURN);
        let (after, came) = (times(&segment), load.arrived() - came);
        running.stop();
        let (time, runs) = (after.0 - before.0, after.1 - before.1);
        assert!(runs >= came && runs <= came + came / 5, "{runs} runs for {came} frames that arrived");
        time as f64 / runs as f64
    });
    vec![row]
}

/// Nanoseconds and runs of the program that is on guest 1's port.
#[track_caller]
fn times(segment: &Segment) -> (u64, u64) {
    let hooks = bpftool(segment, "net");
    let attached = hooks[0]["xdp"].as_array().into_iter().flatten().find(|hook| hook["devname"] == "vm1");
    let attached = attached.unwrap_or_else(|| panic!("no XDP program at vm1: {hooks}"));
    let program = bpftool(segment, &format!("prog show id {}", attached["id"]));
    let number = |key: &str| program[key].as_u64().unwrap_or(0);
    (number("run_time_ns"), number("run_cnt"))
}

#[track_caller]
fn bpftool(segment: &Segment, words: &str) -> Value {
    let text = segment.host().ns.output(&format!("bpftool -j {words}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("bpftool {words}: {error}: {text}"))
}
