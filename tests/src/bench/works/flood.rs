//! Copies of a flood: of frames for nobody known, and of broadcasts, which the host hears too.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    Work,
    frames::{changed, quiet},
};
use crate::{
    LiveFrames, Mac, Node, RawPort, Segment,
    bench::{
        Better, Options, Row,
        programs::{bare_broadcast, delivery},
        subject::{Running, Subject},
        turns::{row, turns},
        wire::{came, settled, statistics},
    },
    bpf::Attached,
    device, ethtool,
    frames::finished,
};

/// Copies of one turn.
const COPIES: u32 = 400_000;
const LENGTH: usize = 64;
const NOBODY: Mac = Mac::numbered(0xffff);
const TC: Subject = Subject::Xbr { name: "xbr, tc", words: "--hook tc", settings: "" };
/// The host's copy leaves by a veth, as all others do, whose other end hands it over to the uplink: everything in XDP. No part of xbr, but
/// what it would be. Its frames are for nobody known: broadcasts are TC's.
const BY_VETH: Subject =
    Subject::Xbr { name: "xbr, host by a veth", words: "--hook xdp --port inner", settings: "" };

pub const WORKS: &[Work] = &[
    Work::quick("flood/8", |options, name| flood(options, name, NOBODY, 8, UNKNOWN)),
    Work::long("flood/64", |options, name| flood(options, name, NOBODY, 64, UNKNOWN)),
    Work::long("broadcast/8", |options, name| flood(options, name, Mac::BROADCAST, 8, HEARD)),
    Work::long("broadcast/64", |options, name| flood(options, name, Mac::BROADCAST, 64, HEARD)),
];

/// For the cost of a change: see [`super::frames::CHANGES`].
pub const CHANGES: &[Work] = &[
    Work::quick("change/flood", |options, name| flood(options, name, NOBODY, 8, &changed("--hook xdp"))),
    Work::quick("change/flood, tc", |options, name| flood(options, name, NOBODY, 8, &changed("--hook tc"))),
    Work::quick("change/broadcast", |options, name| {
        flood(options, name, Mac::BROADCAST, 8, &changed("--hook xdp"))
    }),
    Work::quick("change/broadcast/64", |options, name| {
        flood(options, name, Mac::BROADCAST, 64, &changed("--hook xdp"))
    }),
];

const UNKNOWN: &[Subject] = &[Subject::LinuxBridge, Subject::xbr("--hook xdp"), TC, Subject::BareXdp];
const HEARD: &[Subject] = &[Subject::LinuxBridge, Subject::xbr("--hook xdp"), BY_VETH];

/// A segment of its own for each subject, since starting one with 64 ports takes longer than its turn.
struct Room {
    segment: Segment,
    running: Running,
    live: LiveFrames,
    /// The other end of [`BY_VETH`]'s.
    inner: Option<Attached>,
}

impl Room {
    /// Guest 1 floods, to the other guests and to the outside.
    #[track_caller]
    fn of(subject: &Subject, program: &str, recipients: usize) -> Self {
        let segment = quiet(recipients);
        let inner = (*subject == BY_VETH).then(|| inner(&segment));
        let running = match subject {
            Subject::BareXdp => segment.host().ns.run(|| bare(&segment)),
            subject => subject.start(program, &segment),
        };
        let live = LiveFrames::out_of(&segment.guest(1).ns, "eth0");
        let room = Self { segment, running, live, inner };
        if room.inner.is_some() {
            room.host_hears();
        }
        room
    }

    /// What comes out of [`BY_VETH`]'s veth comes in at the uplink, once.
    #[track_caller]
    fn host_hears(&self) {
        let ear = RawPort::open(&self.segment.host().ns, "eth0");
        let frame = finished(NOBODY, self.segment.guest(1).mac, LENGTH);
        self.live.send(&frame, 1, 1);
        let heard = ear.recv(Duration::from_secs(2)).expect("an ear").map(|heard| heard.bytes);
        assert_eq!(heard, Some(frame), "the host does not hear");
        std::thread::sleep(Duration::from_millis(100));
        assert!(ear.drain().expect("an ear").is_empty(), "the host hears it twice");
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
        let to = if self.inner.is_some() { NOBODY } else { to };
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
        if to == Mac::BROADCAST || self.inner.is_some() {
            // Frames that were lost on the way in, as on a busy machine, nobody has heard.
            let (here, others) = (self.host() - host, heard / u64::from(recipients));
            assert!(here >= others * 9 / 10, "the host has heard {here} broadcasts, and others {others}");
        }
        heard as f64 / sent.max(last).duration_since(began).max(Duration::from_micros(1)).as_secs_f64()
    }

    /// What the host's stack has been given.
    fn host(&self) -> u64 {
        let host = &self.segment.host().ns;
        match &self.running {
            Running::Bridge(_) => statistics(host, "br0").rx_packets,
            _ if self.inner.is_some() => statistics(host, "inner1").rx_packets,
            // A redirect to the uplink's ingress is counted as received by it.
            running => running.sent(host, "host").unwrap_or(0),
        }
    }
}

/// Copies of all that comes in at the first guest's port, to all other ports.
#[track_caller]
fn bare(segment: &Segment) -> Running {
    let others = segment.ports().skip(1).chain(["eth0"]).map(device::index);
    let others: Vec<u32> = others.collect::<io::Result<_>>().expect("the other ports");
    let (program, map) = bare_broadcast(&others).expect("the ceiling of floods");
    let first = segment.ports().next().expect("a port");
    Running::Bare(vec![(program.attach(first).expect("a free hook"), Some(map))])
}

/// The veth of [`BY_VETH`]. The other end needs NAPI to take what XDP redirects: GRO.
#[track_caller]
fn inner(segment: &Segment) -> Attached {
    let ns = &segment.host().ns;
    ns.ip("link add inner type veth peer name inner1");
    ns.sysctl("net/ipv6/conf/inner1/disable_ipv6", "1");
    ethtool(ns, "inner1", "gro on");
    ns.ip("link set inner1 up");
    ns.run(|| delivery(device::index("eth0")?)?.attach("inner1")).expect("a program for the veth")
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
