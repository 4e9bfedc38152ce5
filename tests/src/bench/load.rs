//! Frames from one participant to another, counted where they arrive.

use std::time::{Duration, Instant};

use crate::{
    Mac, Node,
    bench::{
        programs::{Place, maker, sink, wide_maker},
        wire::{came, pin, settled},
    },
    bpf::{Attached, Program},
    device, frames,
};

/// A frame's length, without FCS.
const LENGTH: usize = 60;
/// Frames of one call.
const BURST: u32 = 1 << 16;
/// The CPU of a generator that has no other one.
pub const CPU: usize = 1;

/// Frames between so many stations, half of them behind each of two participants.
pub struct Load {
    ends: [Node; 2],
    /// What each of two sets of stations begins with; the last two bytes are random.
    sets: [Mac; 2],
    mask: u16,
    cpu: usize,
    _sinks: [Attached; 2],
}

/// Eats what comes to a participant's `eth0`, until this is dropped.
#[track_caller]
pub fn sink_at(node: &Node) -> Attached {
    node.ns.run(|| sink()?.attach("eth0")).expect("a sink")
}

impl Load {
    /// `stations` is a power of two; `pair` tells one such load on a segment from another; the generator runs on this CPU.
    #[track_caller]
    pub fn between(from: &Node, to: &Node, stations: u32, pair: u8, cpu: usize) -> Self {
        assert!(stations.is_power_of_two() && (2..=1 << 17).contains(&stations), "{stations} stations");
        Self {
            ends: [from.clone(), to.clone()],
            sets: [1, 2].map(|end| Mac([2, 0, pair, end, 0, 0])),
            mask: (stations / 2 - 1) as u16,
            cpu,
            _sinks: [sink_at(from), sink_at(to)],
        }
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

    /// Frames a second that arrive while the first participant sends for so long.
    #[track_caller]
    pub fn rate(&self, time: Duration) -> f64 {
        let before = came(&self.ends[1]);
        let start = Instant::now();
        while start.elapsed() < time {
            self.send(0, 1, BURST);
        }
        let elapsed = start.elapsed();
        // What is still in rings is less than what one call sends.
        (came(&self.ends[1]) - before) as f64 / elapsed.as_secs_f64()
    }

    /// How many have arrived, when nothing is under way.
    pub fn arrived(&self) -> u64 {
        settled(|| came(&self.ends[1])).0
    }

    #[track_caller]
    fn send(&self, from: usize, to: usize, count: u32) {
        let frame = frames::finished(self.sets[to], self.sets[from], LENGTH);
        run(&self.ends[from], self.cpu, &frame, count, |ifindex| maker(ifindex, self.mask));
    }
}

/// Sends copies of a frame out of a participant's `eth0` with one address, of which the last four bytes are random where `mask` has ones.
#[track_caller]
pub fn send_random(from: &Node, frame: &[u8], place: Place, mask: u32, count: u32) {
    run(from, CPU, frame, count, |ifindex| wide_maker(ifindex, place, mask));
}

#[track_caller]
fn run(
    from: &Node,
    cpu: usize,
    frame: &[u8],
    count: u32,
    program: impl FnOnce(u32) -> std::io::Result<Program> + Send,
) {
    from.ns.run(|| {
        pin(cpu);
        let ifindex = device::index("eth0").expect("the participant's device");
        let program = program(ifindex).expect("a maker of frames");
        program.run_live(frame, ifindex, count, 0).expect("live frames");
    });
}
