//! How long the XDP program itself runs, by the kernel's run-time statistics, which cost a frame two readings of the clock themselves.

use serde_json::Value;

use super::{
    Work,
    frames::{TURN, quiet},
};
use crate::{
    Xbr,
    bench::{
        Better, Options, Row,
        load::{CPU, Load},
        subject::Subject,
        turns::{row, turns},
    },
    bpf::RunTimes,
    bpffs_dir,
};

pub const WORKS: &[Work] = &[Work::quick("program", program)];

const SUBJECTS: &[Subject] = &[
    Subject::xbr("--hook xdp"),
    Subject::Xbr { name: "xbr, no guard", words: "--hook xdp --lab-no-guard", settings: "" },
];

#[track_caller]
fn program(options: &Options, work: &str) -> Vec<Row> {
    let segment = quiet(2);
    let load = Load::between(segment.guest(1), segment.guest(2), 2, 0, CPU);
    let row = row(work, "ns/frame (less is better)", Better::Lower, SUBJECTS.iter().map(Subject::name));
    let row = turns(options, row, |at| {
        let running = SUBJECTS[at].start(&options.xbr, &segment);
        let bridge = running.xbr().expect("xbr");
        load.introduce();
        load.rate(TURN);
        let _counting = RunTimes::count().expect("BPF_ENABLE_STATS");
        let (before, came) = (times(bridge), load.arrived());
        load.rate(TURN);
        let (after, came) = (times(bridge), load.arrived() - came);
        running.stop();
        let (time, runs) = (after.0 - before.0, after.1 - before.1);
        assert!(runs >= came && runs <= came + came / 20, "{runs} runs for {came} frames that arrived");
        time as f64 / runs as f64
    });
    vec![row]
}

/// Nanoseconds and runs of the program that is on guest 1's port, and on all others with it.
#[track_caller]
fn times(bridge: &Xbr) -> (u64, u64) {
    let pins = std::fs::read_dir(bpffs_dir(&bridge.name).join("links")).expect("links are pinned");
    let of_xdp =
        pins.map(|pin| bpftool(&format!("link show pinned {}", pin.expect("a pin").path().display())));
    let ids: std::collections::BTreeSet<u64> =
        of_xdp.filter(|link| link["type"] == "xdp").filter_map(|link| link["prog_id"].as_u64()).collect();
    assert!(!ids.is_empty(), "no XDP program is pinned");
    let shown = ids.iter().map(|id| bpftool(&format!("prog show id {id}")));
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let both = shown.map(|program| (number(&program["run_time_ns"]), number(&program["run_cnt"])));
    both.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

#[track_caller]
fn bpftool(words: &str) -> Value {
    let output =
        std::process::Command::new("bpftool").arg("-j").args(words.split(' ')).output().expect("bpftool");
    assert!(output.status.success(), "bpftool {words}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
