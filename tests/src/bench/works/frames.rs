//! Frames from guest 1 to guest 2, on veths.

use std::time::Duration;

use super::Work;
use crate::{
    Enough, GuestKind, Offloads, Segment,
    bench::{
        Better, Options, Row,
        load::{CPU, Load},
        subject::{Ledger, Running, Subject},
        turns::{filled, row},
    },
    rounds,
};

/// What a subject is measured for in one turn, after as much again that does not count.
pub const TURN: Duration = Duration::from_millis(500);
/// The same where subjects stand at once, and turns follow each other closely.
const SHORT_TURN: Duration = Duration::from_millis(150);
const SHORT_WARMTH: Duration = Duration::from_millis(50);

/// VLANs and all guards, on the port where the frames come in.
const GUARDED: Subject = Subject::Xbr {
    name: "xbr, all guards",
    words: "--hook xdp --vlan-filtering",
    settings: "port set vm1 --mac 02:00:00:01:00:00 --ip 192.0.2.1 --no-dhcp-server --no-ra",
};

pub const XDP: &[Subject] =
    &[Subject::LinuxBridge, Subject::xbr("--hook xdp"), Subject::BareXdp, Subject::Ovs];
const TCX: &[Subject] = &[Subject::LinuxBridge, Subject::xbr("--hook tc"), Subject::BareTcx, Subject::Ovs];

pub const WORKS: &[Work] = &[
    Work::quick("xdp/1", |options, name| frames(options, name, 2, XDP)),
    Work::quick("xdp/1k", |options, name| frames(options, name, 1024, XDP)).gated(),
    Work::quick("xdp/64k", |options, name| frames(options, name, 65_536, XDP)),
    Work::quick("tcx/1", |options, name| frames(options, name, 2, TCX)).gated(),
    Work::quick("policy", |options, name| frames(options, name, 2, &[Subject::xbr("--hook xdp"), GUARDED])),
];

/// For the cost of a change: `XBR_BENCH_OTHER` is what was before it.
pub const CHANGES: &[Work] = &[
    Work::quick("change/xdp", |options, name| frames(options, name, 2, &changed("--hook xdp"))),
    Work::quick("change/xdp/64k", |options, name| frames(options, name, 65_536, &changed("--hook xdp"))),
    Work::quick("change/tcx", |options, name| frames(options, name, 2, &changed("--hook tc"))),
];

/// The same words for both builds.
pub const fn changed(words: &'static str) -> [Subject; 2] {
    [Subject::Other(words), Subject::xbr(words)]
}

/// A row for frames a second.
pub fn rates(work: &str, subjects: &[Subject]) -> Row {
    row(work, "frames/s", Better::Higher, subjects.iter().map(Subject::name))
}

/// A segment for frames that are whole, and nothing on it but them.
#[track_caller]
pub fn quiet(guests: usize) -> Segment {
    Segment::builder().guests(guests, GuestKind::Veth).offloads(Offloads::Off).quiet().build()
}

/// What is enough: a share of a hundredth or two, or three times the rounds that were asked for.
fn enough(options: &Options) -> Enough {
    Enough { least: options.rounds, most: 3 * options.rounds, error: 0.05 }
}

/// A segment of its own for each subject; all of them stand at once.
struct Place {
    segment: Segment,
    running: Running,
    load: Load,
}

impl Place {
    #[track_caller]
    fn set(options: &Options, subject: &Subject, stations: u32) -> Self {
        let segment = quiet(2);
        let load = Load::between(segment.guest(1), segment.guest(2), stations, 0, CPU);
        let running = subject.start(&options.xbr, &segment);
        load.introduce();
        Self { segment, running, load }
    }

    /// Frames a second, after some that warm the caches.
    #[track_caller]
    fn turn(&self) -> f64 {
        self.load.rate(SHORT_WARMTH);
        self.load.rate(SHORT_TURN)
    }
}

#[track_caller]
fn frames(options: &Options, work: &str, stations: u32, subjects: &[Subject]) -> Vec<Row> {
    let subjects = options.chosen(subjects);
    let places: Vec<_> = subjects.iter().map(|subject| Place::set(options, subject, stations)).collect();
    let open = |Place { segment, running, load }: &Place| {
        Ledger::open(running, &segment.host().ns, "vm2", load.arrived())
    };
    let ledgers: Vec<_> = places.iter().map(open).collect();
    let figures = rounds(enough(options), places.len(), |at| [places[at].turn()]);
    for (ledger, Place { segment, running, load }) in ledgers.into_iter().zip(&places) {
        ledger.close(running, &segment.host().ns, "vm2", load.arrived());
    }
    places.into_iter().for_each(|place| place.running.stop());
    vec![filled(rates(work, &subjects), &figures)]
}
