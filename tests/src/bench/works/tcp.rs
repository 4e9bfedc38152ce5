//! Bulk TCP with every offload on, between guests, and between a guest and the host: at its own address on `eth0`, where a Linux bridge has it
//! on `br0`.
//!
//! All switches stand at once, each with a segment of its own. Connections through them carry data by turns of a fraction of a second, the same
//! thread sends through all, and it goes on until the ratio is certain.

use std::time::Duration;

use super::Work;
use crate::{
    Enough, GuestKind,
    bench::{
        Better, Options, Row,
        line::{Connection, Ends, Line, Part},
        subject::Subject,
        turns::{filled, row},
    },
    bulk, on_processor, rounds,
};

/// Shorter than what disturbs a machine lasts, so that it meets all lines alike; long to a round trip.
const TURN: Duration = Duration::from_millis(100);
/// `auto` chooses the hook.
const SUBJECTS: &[Subject] = &[Subject::LinuxBridge, Subject::xbr("")];

pub const WORKS: &[Work] = &[
    Work::quick("tcp/veths", |options, name| tcp(options, name, GuestKind::Veth, Ends::Guests)).gated(),
    Work::long("tcp/taps", |options, name| tcp(options, name, GuestKind::TapVnetHdr, Ends::Guests)),
    Work::long("tcp/to-host", |options, name| tcp(options, name, GuestKind::Veth, Ends::ToHost)),
    Work::long("tcp/from-host", |options, name| tcp(options, name, GuestKind::Veth, Ends::FromHost)),
    Work::long("tcp/tap-to-host", |options, name| tcp(options, name, GuestKind::TapVnetHdr, Ends::ToHost)),
    Work::long("tcp/tap-from-host", |options, name| {
        tcp(options, name, GuestKind::TapVnetHdr, Ends::FromHost)
    }),
];

/// A Linux bridge to a Linux bridge: what the stick makes of two that are alike.
pub const NULLS: &[Work] = &[
    Work::long("null/veths", |options, name| null(options, name, GuestKind::Veth, Ends::Guests)),
    Work::long("null/taps", |options, name| null(options, name, GuestKind::TapVnetHdr, Ends::Guests)),
    Work::long("null/to-host", |options, name| null(options, name, GuestKind::Veth, Ends::ToHost)),
    Work::long("null/from-host", |options, name| null(options, name, GuestKind::Veth, Ends::FromHost)),
    Work::long("null/tap-to-host", |options, name| null(options, name, GuestKind::TapVnetHdr, Ends::ToHost)),
    Work::long("null/tap-from-host", |options, name| {
        null(options, name, GuestKind::TapVnetHdr, Ends::FromHost)
    }),
];

#[track_caller]
fn tcp(options: &Options, work: &str, kind: GuestKind, ends: Ends) -> Vec<Row> {
    let subjects = options.chosen(SUBJECTS);
    let names = subjects.iter().map(Subject::name);
    vec![measure(options, row(work, "Mbit/s", Better::Higher, names), &subjects, kind, ends)]
}

#[track_caller]
fn null(options: &Options, work: &str, kind: GuestKind, ends: Ends) -> Vec<Row> {
    let row = row(work, "Mbit/s", Better::Higher, ["bridge", "another bridge"]);
    vec![measure(options, row, &[Subject::LinuxBridge, Subject::LinuxBridge], kind, ends)]
}

/// Rounds until it is certain, and for how long at most.
fn enough(options: &Options) -> Enough {
    Enough {
        least: options.rounds,
        most: if options.quick || options.gate { 30 } else { 20 * options.rounds },
        error: 0.01,
    }
}

#[track_caller]
fn measure(options: &Options, row: Row, subjects: &[Subject], kind: GuestKind, ends: Ends) -> Row {
    let lines: Vec<_> = subjects.iter().map(|subject| Line::set(options, subject, kind, ends)).collect();
    let before: Vec<_> = lines.iter().map(Line::carried).collect();
    let mut transfer = Transfer::new(&lines);
    let figures = on_processor(Part::Sender.processor(), || {
        rounds(enough(options), lines.len(), |at| [transfer.turn(at) / 1e6])
    });
    let sent = transfer.sent.clone();
    drop(transfer);
    for ((line, before), sent) in lines.iter().zip(before).zip(sent) {
        let carried = line.carried() - before;
        // Headers are on top; what else is on the segment is next to nothing.
        assert!(
            carried >= sent,
            "{}: the switch says {carried} bytes went through it, of {sent} that were sent",
            row.work
        );
    }
    lines.into_iter().for_each(Line::stop);
    filled(row, &figures)
}

/// Bulk TCP over several lines by turns.
struct Transfer<'a> {
    lines: &'a [Line],
    connections: Vec<Connection>,
    /// Of one turn.
    bytes: u64,
    turns: usize,
    /// Over each of the lines, at least.
    sent: Vec<u64>,
}

impl<'a> Transfer<'a> {
    fn new(lines: &'a [Line]) -> Self {
        Self { lines, connections: Vec::new(), bytes: 0, turns: 0, sent: vec![0; lines.len()] }
    }

    /// The bits a second of one turn.
    #[track_caller]
    fn turn(&mut self, at: usize) -> f64 {
        // Each round has its own: how large a connection's windows have become is a matter of luck, and stays.
        if self.turns.is_multiple_of(2 * self.lines.len()) {
            self.connect();
        }
        self.turns += 1;
        self.sent[at] += self.bytes;
        bulk::send(self.connections[at].stream(), self.bytes).expect("TCP")
    }

    #[track_caller]
    fn connect(&mut self) {
        self.connections = self.lines.iter().map(|line| line.connect().expect("a connection")).collect();
        let streams: Vec<_> = self.connections.iter().map(Connection::stream).collect();
        (self.bytes, _) = bulk::warm(&streams, TURN).expect("TCP");
    }
}
