//! Frames from a TAP, in XDP: to a veth, and to another TAP.

use std::sync::Arc;
use std::time::Instant;

use super::{
    Work,
    frames::{TURN, XDP, quiet, rates},
};
use crate::{
    LiveFrames, Mac, Node, Segment, Tap,
    bench::{
        Options, Row,
        load::sink_at,
        subject::Ledger,
        taps::{Reader, make, write, write_one},
        turns::turns,
        wire::{came, settled},
    },
    bpf::Attached,
    frames::finished,
};

/// As of every work with frames.
const LENGTH: usize = 60;
const NEAR: Mac = Mac::numbered(0xa1);
const FAR: Mac = Mac::numbered(0xb1);
/// Frames by which a station says where it is.
const HELLOS: u32 = 64;

pub const WORKS: &[Work] = &[
    Work::long("tap/veth", |options, name| frames(options, name, End::veth)),
    Work::quick("tap/tap", |options, name| frames(options, name, End::tap)),
];

/// Where the frames go.
enum End {
    Veth { node: Node, hellos: LiveFrames, _sink: Attached },
    Tap { queues: Arc<Vec<Tap>>, reader: Reader },
}

impl End {
    fn veth(segment: &Segment) -> (Self, &'static str) {
        let node = segment.guest(1).clone();
        let (hellos, sink) = (LiveFrames::out_of(&node.ns, "eth0"), sink_at(&node));
        (End::Veth { node, hellos, _sink: sink }, "vm1")
    }

    fn tap(segment: &Segment) -> (Self, &'static str) {
        let queues = Arc::new(make(&segment.host().ns, "tap2"));
        let reader = Reader::of(&queues, NEAR);
        (End::Tap { queues, reader }, "tap2")
    }

    fn says_hello(&self, frame: &[u8]) {
        match self {
            End::Veth { hellos, .. } => hellos.send(frame, HELLOS, 0),
            End::Tap { queues, .. } => (0..HELLOS).for_each(|_| write_one(&queues[0], frame)),
        }
    }

    fn came(&self) -> u64 {
        match self {
            End::Veth { node, .. } => came(node),
            End::Tap { reader, .. } => reader.count(),
        }
    }
}

#[track_caller]
fn frames(options: &Options, work: &str, end: impl FnOnce(&Segment) -> (End, &'static str)) -> Vec<Row> {
    let segment = quiet(1);
    let host = segment.host();
    let (end, port) = end(&segment);
    let near = make(&host.ns, "tap1");
    let (there, back) = (finished(FAR, NEAR, LENGTH), finished(NEAR, FAR, LENGTH));
    let subjects = options.chosen(XDP);
    let row = turns(options, rates(work, &subjects), |at| {
        let running = subjects[at].start_on(&options.xbr, host, &["tap1", port]);
        end.says_hello(&back);
        (0..HELLOS).for_each(|_| write_one(&near[0], &there));
        write(&near, &there, TURN);
        let (before, _) = settled(|| end.came());
        let ledger = Ledger::open(&running, &host.ns, port, before);
        let began = Instant::now();
        write(&near, &there, TURN);
        let (after, ended) = settled(|| end.came());
        ledger.close(&running, &host.ns, port, after);
        running.stop();
        (after - before) as f64 / (ended - began).as_secs_f64()
    });
    vec![row]
}
