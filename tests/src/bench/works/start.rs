//! From the start of a switch to the first frame that it forwards.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::{Work, frames::quiet};
use crate::{
    Mac, RawPort, Segment,
    bench::{
        Better, Options, Row,
        subject::Subject,
        turns::{row, turns},
    },
    frames::frame,
};

/// Between two frames of who waits for the switch.
const PACE: Duration = Duration::from_micros(250);
/// How long to wait for it.
const PATIENCE: Duration = Duration::from_secs(60);
const LENGTH: usize = 60;
const SUBJECTS: &[Subject] = &[Subject::LinuxBridge, Subject::xbr("")];

pub const WORKS: &[Work] = &[
    Work::quick("start/2", |options, name| starts(options, name, 2)),
    Work::long("start/100", |options, name| starts(options, name, 100)),
];

#[track_caller]
fn starts(options: &Options, work: &str, ports: usize) -> Vec<Row> {
    let segment = quiet(ports);
    let subjects = options.chosen(SUBJECTS);
    let row = row(work, "ms (less is better)", Better::Lower, subjects.iter().map(Subject::name));
    let row = turns(options, row, |at| {
        let (time, running) = first_frame(&segment, || subjects[at].start(&options.xbr, &segment));
        running.stop();
        time.as_secs_f64() * 1e3
    });
    vec![row]
}

/// How long after the call of `start` the last guest hears the first one, who has been speaking all the time.
#[track_caller]
fn first_frame<T>(segment: &Segment, start: impl FnOnce() -> T) -> (Duration, T) {
    let guests = segment.ports().count();
    let (mouth, ear) = (segment.guest(1), segment.guest(guests));
    let (mouth, ear) = (RawPort::open(&mouth.ns, "eth0"), RawPort::open(&ear.ns, "eth0"));
    let said = frame(Mac::BROADCAST, Mac::numbered(0xa1), LENGTH);
    let heard = AtomicBool::new(false);
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !heard.load(Relaxed) && began.elapsed() < PATIENCE {
                mouth.send(&said).expect("sent");
                std::thread::sleep(PACE);
            }
        });
        let listener = scope.spawn(|| {
            let ours = |frame: &crate::Frame| frame.bytes.starts_with(&said);
            let came = ear.recv_matching(PATIENCE, ours).expect("a packet socket").is_some();
            heard.store(true, Relaxed);
            came.then(Instant::now)
        });
        let running = start();
        let first = listener.join().expect("who listens").expect("no frame was forwarded");
        (first - began, running)
    })
}
