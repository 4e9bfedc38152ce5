//! Copies of a flood: of frames for nobody known, and of broadcasts, which the host hears too.

use std::time::{Duration, Instant};

use super::{Work, frames::quiet};
use crate::{
    LiveFrames, Mac, Node, Segment,
    bench::{
        Better, Options, Row,
        subject::{Running, Subject},
        turns::{row, turns},
        wire::{came, settled, statistics},
    },
    frames::finished,
};

/// Copies of one turn.
const COPIES: u32 = 400_000;
const LENGTH: usize = 64;
const NOBODY: Mac = Mac::numbered(0xffff);
const TC: Subject = Subject::Xbr { name: "xbr, tc", words: "--hook tc", settings: "" };

pub const WORKS: &[Work] = &[
    Work::quick("flood/8", |options, name| flood(options, name, NOBODY, 8, UNKNOWN)),
    Work::long("flood/64", |options, name| flood(options, name, NOBODY, 64, UNKNOWN)),
    Work::long("broadcast/8", |options, name| flood(options, name, Mac::BROADCAST, 8, HEARD)),
    Work::long("broadcast/64", |options, name| flood(options, name, Mac::BROADCAST, 64, HEARD)),
];

const UNKNOWN: &[Subject] = &[Subject::LinuxBridge, Subject::xbr("--hook xdp"), TC];
const HEARD: &[Subject] = &[Subject::LinuxBridge, Subject::xbr("--hook xdp")];

/// A segment of its own for each subject, since starting one with 64 ports takes longer than its turn.
struct Room {
    segment: Segment,
    running: Running,
    live: LiveFrames,
}

impl Room {
    /// Guest 1 floods, to the other guests and to the outside.
    #[track_caller]
    fn of(subject: &Subject, program: &str, recipients: usize) -> Self {
        let segment = quiet(recipients);
        let running = subject.start(program, &segment);
        let live = LiveFrames::out_of(&segment.guest(1).ns, "eth0");
        Self { segment, running, live }
    }

    fn heard(&self) -> u64 {
        let hears: Vec<&Node> = self.segment.guests().skip(1).chain([self.segment.outside()]).collect();
        hears.into_iter().map(came).sum()
    }

    /// Copies that have come back to the sender, of which there must be none.
    fn echoes(&self) -> u64 {
        came(self.segment.guest(1))
    }

    /// Copies a second, of those that arrived.
    #[track_caller]
    fn turn(&self, to: Mac, recipients: u32) -> f64 {
        let frame = finished(to, self.segment.guest(1).mac, LENGTH);
        let (count, before, echoes, host) = (COPIES / recipients, self.heard(), self.echoes(), self.host());
        let began = Instant::now();
        self.live.send(&frame, count, 512 / recipients);
        let sent = Instant::now();
        // Another CPU may still be at it.
        let (heard, last) = settled(|| self.heard());
        let (wanted, heard) = (u64::from(count * recipients), heard - before);
        // The kernel's and the controller's own frames are a few.
        assert!(heard <= wanted + 64, "{heard} copies came of {wanted}");
        assert!(self.echoes() - echoes < 16, "the flood comes back to its sender");
        if to == Mac::BROADCAST {
            let (here, all) = (self.host() - host, u64::from(count));
            assert!(here >= all / 2, "the host has heard {here} of {all} broadcasts");
        }
        heard as f64 / sent.max(last).duration_since(began).max(Duration::from_micros(1)).as_secs_f64()
    }

    /// What the host's stack has been given.
    fn host(&self) -> u64 {
        let host = &self.segment.host().ns;
        match &self.running {
            Running::Bridge(_) => statistics(host, "br0").rx_packets,
            // A redirect to the uplink's ingress is counted as received by it.
            running => running.sent(host, "host").unwrap_or(0),
        }
    }
}

#[track_caller]
fn flood(options: &Options, work: &str, to: Mac, recipients: u32, subjects: &[Subject]) -> Vec<Row> {
    let subjects = options.chosen(subjects);
    let rooms: Vec<Room> =
        subjects.iter().map(|subject| Room::of(subject, &options.xbr, recipients as usize)).collect();
    let row = row(work, "copies/s", Better::Higher, subjects.iter().map(Subject::name));
    let row = turns(options, row, |at| {
        rooms[at].turn(to, recipients);
        rooms[at].turn(to, recipients)
    });
    rooms.into_iter().for_each(|room| room.running.stop());
    vec![row]
}
