//! A million stations in the table, and frames for some of them or for all.

use std::time::Instant;

use super::{
    Work,
    frames::{TURN, quiet, rates},
};
use crate::{
    Mac, Segment,
    bench::{
        Options, Row,
        load::{send_random, sink_at},
        programs::Place,
        stations::{crowd, fixed_in_bridge, fixed_in_xbr, lines},
        subject::{Ledger, Running, Subject},
        turns::turns,
        wire::{came, settled},
    },
    bpf::Attached,
    frames::finished,
};

const MILLION: u32 = 1 << 20;
const LENGTH: usize = 60;
const BURST: u32 = 1 << 16;
/// Who sends.
const SENDER: Mac = Mac::numbered(0xa1);

pub const WORKS: &[Work] = &[
    Work::long("table/1", |options, name| frames(options, name, 1)),
    Work::long("table/64k", |options, name| frames(options, name, 1 << 16)),
    Work::long("table/1m", |options, name| frames(options, name, MILLION)),
];

const SUBJECTS: &[Subject] =
    &[Subject::LinuxBridge, Subject::xbr("--hook xdp --fdb-max 2097152"), Subject::BareXdp];

/// A segment of its own for each subject, whose table stays as it is: filling that of a Linux bridge takes twenty seconds.
struct Room {
    segment: Segment,
    running: Running,
    _sink: Attached,
}

impl Room {
    #[track_caller]
    fn of(subject: &Subject, program: &str) -> Self {
        let segment = quiet(2);
        let running = subject.start(program, &segment);
        match &running {
            Running::Bridge(_) => fixed_in_bridge(&segment.host().ns, &lines("vm2", MILLION)),
            Running::Xbr(bridge) => fixed_in_xbr(bridge, &lines("vm2", MILLION)),
            Running::Bare(_) | Running::Ovs(_) => {}
        }
        let sink = sink_at(segment.guest(2));
        Self { segment, running, _sink: sink }
    }

    /// Frames a second for the first `stations` of the table, picked at random.
    #[track_caller]
    fn rate(&self, stations: u32) -> f64 {
        let frame = finished(crowd(0), SENDER, LENGTH);
        let before = came(self.segment.guest(2));
        let start = Instant::now();
        while start.elapsed() < TURN {
            send_random(self.segment.guest(1), &frame, Place::Destination, stations - 1, BURST);
        }
        let elapsed = start.elapsed();
        (came(self.segment.guest(2)) - before) as f64 / elapsed.as_secs_f64()
    }

    #[track_caller]
    fn turn(&self, stations: u32) -> f64 {
        let (host, far) = (&self.segment.host().ns, self.segment.guest(2));
        self.rate(stations);
        let outside = came(self.segment.outside());
        let ledger = Ledger::open(&self.running, host, "vm2", settled(|| came(far)).0);
        let rate = self.rate(stations);
        ledger.close(&self.running, host, "vm2", settled(|| came(far)).0);
        // A station that is not in the table would be flooded to.
        let flooded = came(self.segment.outside()) - outside;
        assert!(flooded < 64, "{flooded} frames were flooded");
        rate
    }
}

#[track_caller]
fn frames(options: &Options, work: &str, stations: u32) -> Vec<Row> {
    let subjects = options.chosen(SUBJECTS);
    let rooms: Vec<Room> = subjects.iter().map(|subject| Room::of(subject, &options.xbr)).collect();
    let row = turns(options, rates(work, &subjects), |at| rooms[at].turn(stations));
    rooms.into_iter().for_each(|room| room.running.stop());
    vec![row]
}
