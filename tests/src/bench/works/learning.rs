//! Frames of which each has a source that nobody has heard before.

use std::time::Instant;

use super::{
    Work,
    frames::{quiet, rates},
};
use crate::{
    Mac, Segment,
    bench::{
        Options, Row,
        load::{CPU, Load, send_random},
        programs::Place,
        subject::{Ledger, Running, Subject},
        turns::turns,
        wire::{came, settled},
    },
    frames::finished,
};

/// New stations of a turn, and as many as warm it up.
const STATIONS: u32 = 1 << 19;
const WARM: u32 = 1 << 16;
const LENGTH: usize = 60;
/// What all sources begin with.
const SOURCE: Mac = Mac([2, 9, 0, 0, 0, 0]);

/// Room for all, in xbr's table; a Linux bridge's has no limit.
const SUBJECTS: &[Subject] =
    &[Subject::LinuxBridge, Subject::xbr("--hook xdp --fdb-max 1048576"), Subject::BareXdp];

pub const WORKS: &[Work] = &[Work::long("learning", learning)];

#[track_caller]
fn learning(options: &Options, work: &str) -> Vec<Row> {
    let (segment, subjects) = (quiet(2), options.chosen(SUBJECTS));
    let load = Load::between(segment.guest(1), segment.guest(2), 2, 0, CPU);
    let row = turns(options, rates(work, &subjects), |at| {
        let running = subjects[at].start(&options.xbr, &segment);
        load.introduce();
        let rate = turn(&segment, &running);
        running.stop();
        rate
    });
    vec![row]
}

/// Frames a second that arrive while all are from new stations. They are for one that is known.
#[track_caller]
fn turn(segment: &Segment, running: &Running) -> f64 {
    let (host, from, far) = (&segment.host().ns, segment.guest(1), segment.guest(2));
    let frame = finished(Mac([2, 0, 0, 2, 0, 0]), SOURCE, LENGTH);
    send_random(from, &frame, Place::Source, u32::MAX, WARM);
    let before = settled(|| came(far)).0;
    let ledger = Ledger::open(running, host, "vm2", before);
    let learned = known(segment, running);
    let start = Instant::now();
    send_random(from, &frame, Place::Source, u32::MAX, STATIONS);
    let elapsed = start.elapsed();
    let arrived = settled(|| came(far)).0;
    ledger.close(running, host, "vm2", arrived);
    if let (Some(before), Some(now)) = (learned, known(segment, running)) {
        // Of so many with four random bytes a few dozen are the same.
        let new = now - before;
        assert!(new >= u64::from(STATIONS) * 99 / 100, "only {new} of {STATIONS} stations were learned");
    }
    (arrived - before) as f64 / elapsed.as_secs_f64()
}

/// How many stations the switch has learned at guest 1's port, if it counts them.
#[track_caller]
fn known(segment: &Segment, running: &Running) -> Option<u64> {
    match running {
        Running::Xbr(bridge) => Some(bridge.counters("vm1").learned),
        Running::Bridge(_) => {
            // Since Linux 6.7.
            let text = segment.host().ns.output("ip -d -j link show br0");
            let rows: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            rows[0]["linkinfo"]["info_data"]["fdb_n_learned"].as_u64()
        }
        Running::Bare(_) | Running::Ovs(_) => None,
    }
}
