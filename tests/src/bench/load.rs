//! Frames from guest 1 to guest 2, counted where they arrive.

use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::{
    Mac, Node, Segment,
    bench::programs::{maker, sink},
    bpf::Attached,
    device, frames,
};

/// A frame's length, without FCS.
const LENGTH: usize = 60;
/// Frames of one call.
const BURST: u32 = 1 << 16;
/// What each of two sets of stations begins with; the last two bytes are random.
const SETS: [Mac; 2] = [Mac([2, 0, 0, 1, 0, 0]), Mac([2, 0, 0, 2, 0, 0])];

/// Frames of so many stations, half of them behind each guest.
pub struct Load<'a> {
    segment: &'a Segment,
    mask: u16,
    _sinks: [Attached; 2],
}

impl<'a> Load<'a> {
    /// `stations` is a power of two.
    #[track_caller]
    pub fn of(segment: &'a Segment, stations: u32) -> Self {
        assert!(stations.is_power_of_two() && (2..=1 << 17).contains(&stations), "{stations} stations");
        let sinks = [1, 2].map(|number| {
            let guest = segment.guest(number);
            guest.ns.run(|| sink()?.attach(&guest.device())).expect("a sink")
        });
        Self { segment, mask: (stations / 2 - 1) as u16, _sinks: sinks }
    }

    /// Has every station say something, so that a switch knows where it is.
    #[track_caller]
    pub fn introduce(&self) {
        // Of random ones, so many that hardly any is left out.
        let frames = (u32::from(self.mask) + 1) * 16;
        for (from, to) in [(1, 0), (0, 1), (1, 0)] {
            self.send(from, to, frames.max(BURST));
        }
    }

    /// Frames a second that arrive at guest 2 while guest 1 sends for so long.
    #[track_caller]
    pub fn rate(&self, time: Duration) -> f64 {
        let before = received(self.segment.guest(2));
        let start = Instant::now();
        while start.elapsed() < time {
            self.send(0, 1, BURST);
        }
        // What is still in rings is less than what one call sends.
        (received(self.segment.guest(2)) - before) as f64 / start.elapsed().as_secs_f64()
    }

    #[track_caller]
    fn send(&self, from: usize, to: usize, count: u32) {
        let guest = self.segment.guest(from + 1);
        let frame = frames::finished(SETS[to], SETS[from], LENGTH);
        guest.ns.run(|| {
            // Always the same one, or the caches are now warm and now cold.
            let mut cpus = CpuSet::new();
            cpus.set(1.min(num_cpus() - 1)).expect("a CPU");
            sched_setaffinity(Pid::from_raw(0), &cpus).expect("a CPU of its own");
            let ifindex = device::index(&guest.device()).expect("the guest's device");
            let program = maker(ifindex, self.mask).expect("a maker of frames");
            program.run_live(&frame, ifindex, count, 0).expect("live frames");
        });
    }
}

fn num_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Frames that have come in at a guest's device.
#[track_caller]
fn received(node: &Node) -> u64 {
    let text = node.ns.output(&format!("ip -j -s link show dev {}", node.device()));
    let rows: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    rows[0]["stats64"]["rx"]["packets"].as_u64().expect("a count")
}
