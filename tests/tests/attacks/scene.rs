//! The hostile guest, its victims, and what becomes of them.

use std::time::{Duration, Instant};

use xbr_lab::{
    GuestKind, Node, Offloads, RawPort, Segment, Stream, StreamReport, Tap, TapMode, Xbr, tcp_transfer,
    vm::full, wait_until,
};

use crate::losses::Losses;

pub const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const SOON: Duration = Duration::from_secs(5);
const MIB: u64 = 1 << 20;
/// Datagrams a second on each of the victims' paths.
const PACE: u32 = 250;
/// Frames for which TAPs have room. What storm control lets through of a storm fills the thousand of most TAPs in a tenth of a second in
/// which the guest does not run, and the lab's guests share their processors with the attack.
const QUEUE: u32 = 10_000;
/// What TAPs have by themselves.
const STORM: &str = "storm broadcast=1000pps,multicast=10000pps,unknown=10000pps";

/// How the hostile guest speaks.
enum Mouth {
    Tap(Tap),
    Socket(RawPort),
}

/// A quiet segment of three guests, the first of which is hostile.
pub struct Scene {
    // First: the port goes before its device.
    mouth: Option<Mouth>,
    pub bridge: Xbr,
    pub segment: Segment,
    pub told: String,
    kind: GuestKind,
}

impl Scene {
    /// Everyone knows everyone's address, and no one speaks unasked.
    #[track_caller]
    pub fn set(kind: GuestKind, hook: &str, words: &str) -> Scene {
        Self::with_mtu(kind, hook, words, 1500)
    }

    #[track_caller]
    pub fn with_mtu(kind: GuestKind, hook: &str, words: &str, mtu: u32) -> Scene {
        // What is to be redirected in XDP has to be whole.
        let offloads = if hook == "xdp" { Offloads::Off } else { Offloads::Default };
        let mut segment = Segment::builder().quiet().offloads(offloads).mtu(mtu).guests(3, kind).build();
        let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook} {words}"));
        segment.address_quietly();
        bridge.text(&format!("port set vm1 {STORM}"));
        let queues = segment.taps().map(|tap| format!("link set {tap} txqueuelen {QUEUE}"));
        segment.host().ns.ip_batch(&queues.collect::<Vec<_>>());
        let mut scene = Scene { mouth: None, bridge, segment, told: format!("{kind:?} {hook}"), kind };
        scene.open();
        // From now on everyone is known.
        scene.beside(|| ());
        scene
    }

    /// The hostile guest starts to listen, as far as it does.
    #[track_caller]
    pub fn open(&mut self) {
        let mode = match self.kind {
            GuestKind::Veth => {
                self.mouth = Some(Mouth::Socket(RawPort::open(&self.one().ns, "eth0")));
                return;
            }
            GuestKind::Tap => TapMode::Plain,
            GuestKind::TapVnetHdr => TapMode::VnetHdr,
        };
        self.segment.unplug(1);
        self.mouth = Some(Mouth::Tap(Tap::open(&self.segment.host().ns, "vm1", mode).expect("its TAP")));
        self.bridge.wait_forwarding();
    }

    /// It closes its TAP.
    pub fn close(&mut self) {
        self.mouth = None;
    }

    pub fn one(&self) -> &Node {
        self.segment.guest(1)
    }

    pub fn two(&self) -> &Node {
        self.segment.guest(2)
    }

    /// Sends one frame; false if the kernel does not take it. A TAP's virtio header, all zeroes, is put before it.
    pub fn say(&self, frame: &[u8]) -> bool {
        match self.mouth.as_ref().expect("it is there") {
            Mouth::Tap(tap) if tap.mode() == TapMode::VnetHdr => {
                tap.write(&[&[0; 10], frame].concat()).is_ok()
            }
            Mouth::Tap(tap) => tap.write(frame).is_ok(),
            Mouth::Socket(port) => port.send(frame).is_ok(),
        }
    }

    /// Sends bytes as they are, header and all. Only a TAP has a header.
    pub fn say_raw(&self, bytes: &[u8]) -> bool {
        match self.mouth.as_ref().expect("it is there") {
            Mouth::Tap(tap) => tap.write(bytes).is_ok(),
            Mouth::Socket(port) => port.send(bytes).is_ok(),
        }
    }

    /// Frames as fast as it goes, each given its number before; says how many the kernel took.
    pub fn flood(&self, time: Duration, frames: &mut [Vec<u8>], mut vary: impl FnMut(&mut [u8], u32)) -> u64 {
        let (began, mut number, mut taken) = (Instant::now(), 0, 0);
        while began.elapsed() < time {
            for _ in 0..64 {
                let frame = &mut frames[number as usize % frames.len()];
                vary(frame, number);
                number += 1;
                taken += u64::from(self.say(frame));
            }
        }
        taken
    }

    /// The paths of the victims: from a guest to a guest, the outside and back, the host and back.
    fn paths(&self) -> [(&Node, &Node); 5] {
        let (two, three) = (self.segment.guest(2), self.segment.guest(3));
        let (host, outside) = (self.segment.host(), self.segment.outside());
        [(two, three), (two, outside), (outside, three), (host, two), (three, host)]
    }

    /// Does something while the victims' frames flow, and gives what became of these, all together. Where some were lost, says on
    /// which paths, and who has counted losses meanwhile.
    pub fn beside<T>(&self, act: impl FnOnce() -> T) -> (T, StreamReport) {
        let before = Losses::now(self);
        let start = |(from, to): (&Node, &Node)| Stream::start(&from.ns, &to.ns, to.v4, xbr_lab::pace(PACE));
        let streams = self.paths().map(|path| start(path).unwrap());
        assert!(wait_until(SOON, || streams.iter().all(|stream| stream.received() > 2)), "{}", self.told);
        let done = act();
        let add = |sum: StreamReport, report: StreamReport| StreamReport {
            sent: sum.sent + report.sent,
            refused: sum.refused + report.refused,
            received: sum.received + report.received,
            lost: sum.lost + report.lost,
            duplicated: sum.duplicated + report.duplicated,
            reordered: sum.reordered + report.reordered,
            longest_gap: sum.longest_gap.max(report.longest_gap),
        };
        let reports = streams.map(Stream::stop);
        for ((from, to), report) in self.paths().iter().zip(&reports).filter(|(_, report)| report.lost > 0) {
            eprintln!("{}: {} to {}: {report:?}", self.told, from.ns.name(), to.ns.name());
        }
        let sum = reports.into_iter().fold(StreamReport::default(), add);
        if sum.lost > 0 {
            eprintln!("{}: {} lost; meanwhile {}", self.told, sum.lost, Losses::now(self).since(&before));
        }
        (done, sum)
    }

    /// The victims lost nothing, and got nothing twice.
    #[track_caller]
    pub fn unharmed(&self, what: &str, report: &StreamReport) {
        let StreamReport { sent, lost, duplicated, longest_gap, .. } = report;
        eprintln!("{}, {what}: victims lost {lost} of {sent} frames, longest gap {longest_gap:?}", self.told);
        // Beside other tests a queue of theirs may run over for want of a processor, attack or not.
        let most = if full() { 0 } else { sent / 20 };
        assert!(*sent > 0 && *lost <= most && *duplicated == 0, "{}, {what}: {report:?}", self.told);
    }

    /// Every victim is in the table, where it is.
    #[track_caller]
    pub fn victims_are_known(&self, when: &str) {
        let rows = self.bridge.json("fdb show");
        for (node, port) in [(2, "vm2"), (3, "vm3")] {
            let mac = self.segment.guest(node).mac.to_string();
            let there = |row: &serde_json::Value| row["mac"] == mac.as_str() && row["ifname"] == port;
            let found = rows.as_array().is_some_and(|rows| rows.iter().any(there));
            assert!(found, "{}, {when}: guest{node} is lost", self.told);
        }
    }

    /// A number of `xbr stats -j` for a port, as in `refused/quota`.
    pub fn count(&self, port: &str, path: &str) -> u64 {
        self.stats().count(port, path)
    }

    /// All that is counted, at one moment.
    pub fn stats(&self) -> Stats {
        Stats(self.bridge.json("stats"))
    }

    /// TCP between victims, compared byte for byte.
    #[track_caller]
    pub fn tcp_flows(&self) {
        for (from, to) in [(self.two(), self.segment.outside()), (self.segment.host(), self.two())] {
            tcp_transfer(&from.ns, &to.ns, to.v4, MIB).unwrap_or_else(|e| panic!("{}: {e:#}", self.told));
        }
    }
}

/// What `xbr stats -j` says.
pub struct Stats(serde_json::Value);

impl Stats {
    /// A number for a port, as in `refused/quota`.
    #[track_caller]
    pub fn count(&self, port: &str, path: &str) -> u64 {
        let row = self.0.as_array().and_then(|rows| rows.iter().find(|row| row["ifname"] == port));
        let number = row.and_then(|row| row.pointer(&format!("/{path}")));
        number
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_else(|| panic!("no {path} of {port}: {}", self.0))
    }

    /// What left at any port.
    pub fn sent(&self) -> u64 {
        ["vm1", "vm2", "vm3", "eth0", "host"].map(|port| self.count(port, "tx/packets")).iter().sum()
    }
}
