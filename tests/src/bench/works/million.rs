//! A million static stations: to write them, and to have them shown.

use std::time::{Duration, Instant};

use super::{Work, frames::quiet};
use crate::{
    Xbr,
    bench::{
        Better, Options, Row,
        stations::{fixed_in_bridge, fixed_in_xbr, lines},
        subject::{Running, Subject},
        turns::{row, turns},
    },
};

const MILLION: u32 = 1_000_000;
/// A Linux bridge takes twenty seconds of each.
const MOST_ROUNDS: usize = 3;
const SUBJECTS: &[Subject] = &[Subject::LinuxBridge, Subject::xbr("--fdb-max 1048576")];

pub const WORKS: &[Work] = &[Work::long("load/1m", million)];

/// By each switch's own command, from text to text.
#[track_caller]
fn million(options: &Options, work: &str) -> Vec<Row> {
    let options = &Options { rounds: options.rounds.min(MOST_ROUNDS), ..options.clone() };
    let segment = quiet(2);
    let host = &segment.host().ns;
    let mut shown = row("show/1m", "s (less is better)", Better::Lower, ["xbr"]);
    let subjects = options.chosen(SUBJECTS);
    let loaded = row(work, "s (less is better)", Better::Lower, subjects.iter().map(Subject::name));
    let text = lines("vm2", MILLION);
    let loaded = turns(options, loaded, |at| {
        let running = subjects[at].start(&options.xbr, &segment);
        let start = Instant::now();
        let loaded = match &running {
            Running::Xbr(bridge) => {
                fixed_in_xbr(bridge, &text);
                let loaded = start.elapsed();
                shown.figures[0].1.push(show(bridge).as_secs_f64());
                loaded
            }
            _ => {
                fixed_in_bridge(host, &text);
                start.elapsed()
            }
        };
        running.stop();
        loaded.as_secs_f64()
    });
    vec![loaded, shown]
}

/// How long it takes to show them, all of which must be there. A Linux bridge takes minutes: `br_fdb_dump` begins anew for every message,
/// and passes over what it has told already one by one.
#[track_caller]
fn show(bridge: &Xbr) -> Duration {
    let start = Instant::now();
    let text = bridge.text("fdb show");
    let time = start.elapsed();
    let count = text.lines().filter(|line| line.contains("dev vm2") && line.contains("static")).count();
    assert_eq!(count, MILLION as usize, "stations that are shown");
    time
}
