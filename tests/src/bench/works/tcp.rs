//! Bulk TCP with every offload on, between guests, and between a guest and the host: at its own address on `eth0`, where a Linux bridge has it
//! on `br0`.

use super::Work;
use crate::{
    GuestKind, Node, Segment, TapsBy,
    bench::{
        Better, Options, Row,
        subject::Subject,
        turns::{row, turns},
    },
    vm::throughput,
};

const SECONDS: u32 = 2;
/// `auto` chooses the hook.
const SUBJECTS: &[Subject] = &[Subject::LinuxBridge, Subject::xbr("")];

pub const WORKS: &[Work] = &[
    Work::quick("tcp/veths", |options, name| tcp(options, name, GuestKind::Veth, guests)),
    Work::long("tcp/taps", |options, name| tcp(options, name, GuestKind::TapVnetHdr, guests)),
    Work::long("tcp/to-host", |options, name| tcp(options, name, GuestKind::Veth, to_host)),
    Work::long("tcp/from-host", |options, name| tcp(options, name, GuestKind::Veth, from_host)),
    Work::long("tcp/tap-to-host", |options, name| tcp(options, name, GuestKind::TapVnetHdr, to_host)),
    Work::long("tcp/tap-from-host", |options, name| tcp(options, name, GuestKind::TapVnetHdr, from_host)),
];

/// Who sends to whom.
type Ends = for<'a> fn(&'a Segment) -> [&'a Node; 2];

fn guests(segment: &Segment) -> [&Node; 2] {
    [segment.guest(1), segment.guest(2)]
}

fn to_host(segment: &Segment) -> [&Node; 2] {
    [segment.guest(1), segment.host()]
}

fn from_host(segment: &Segment) -> [&Node; 2] {
    [segment.host(), segment.guest(1)]
}

#[track_caller]
fn tcp(options: &Options, work: &str, kind: GuestKind, ends: Ends) -> Vec<Row> {
    let mut segment = Segment::builder().guests(2, kind).build();
    // They stay while the switch changes.
    segment.start(TapsBy::Lab, |segment| {
        let ports = segment.taps().map(|tap| format!("link set {tap} up"));
        segment.host().ns.ip_batch(&ports.collect::<Vec<_>>());
    });
    let subjects = options.chosen(SUBJECTS);
    let row = row(work, "Mbit/s", Better::Higher, subjects.iter().map(Subject::name));
    let row = turns(options, row, |at| {
        let running = subjects[at].start(&options.xbr, &segment);
        let [from, to] = ends(&segment);
        let rate = throughput(from, to, to.v4.into(), SECONDS).expect("TCP");
        running.stop();
        rate / 1e6
    });
    vec![row]
}
