//! Frames from guest 1 to guest 2, on veths.

use std::time::Duration;

use super::Work;
use crate::{
    GuestKind, Offloads, Segment,
    bench::{
        Better, Options, Row,
        load::{CPU, Load},
        subject::{Ledger, Running, Subject},
        turns::{row, turns},
    },
};

/// What a subject is measured for in one turn, after as much again that does not count.
pub const TURN: Duration = Duration::from_millis(500);

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
    Work::quick("xdp/1k", |options, name| frames(options, name, 1024, XDP)),
    Work::quick("xdp/64k", |options, name| frames(options, name, 65_536, XDP)),
    Work::quick("tcx/1", |options, name| frames(options, name, 2, TCX)),
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

#[track_caller]
fn frames(options: &Options, work: &str, stations: u32, subjects: &[Subject]) -> Vec<Row> {
    let (segment, subjects) = (quiet(2), &options.chosen(subjects));
    let load = Load::between(segment.guest(1), segment.guest(2), stations, 0, CPU);
    let row = turns(options, rates(work, subjects), |at| {
        let running = subjects[at].start(&options.xbr, &segment);
        load.introduce();
        load.rate(TURN);
        let rate = checked(&running, &segment, &load);
        running.stop();
        rate
    });
    vec![row]
}

/// The rate of a load to guest 2, all of which the switch must say it has sent there.
#[track_caller]
pub fn checked(running: &Running, segment: &Segment, load: &Load) -> f64 {
    let host = &segment.host().ns;
    let ledger = Ledger::open(running, host, "vm2", load.arrived());
    let rate = load.rate(TURN);
    ledger.close(running, host, "vm2", load.arrived());
    rate
}
