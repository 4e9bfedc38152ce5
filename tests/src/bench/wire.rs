//! What devices have counted.

use std::time::{Duration, Instant};

use bridge_user::link::{Links, Statistics};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::{Namespace, Node};

/// How long nothing may come until nothing is under way any more: a reader of a TAP may have to wait for a CPU.
const STILL: Duration = Duration::from_millis(40);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(1);

/// What a device of the namespace has counted.
#[track_caller]
pub fn statistics(ns: &Namespace, dev: &str) -> Statistics {
    let read = || -> Result<Statistics, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Links::open()?.get(&dev.parse()?)?.ok_or("no such device")?.statistics)
    };
    ns.run(read).unwrap_or_else(|error| panic!("{}: {dev}: {error}", ns.name()))
}

/// Frames that have come in at `eth0` of a participant.
#[track_caller]
pub fn came(node: &Node) -> u64 {
    statistics(&node.ns, "eth0").rx_packets
}

/// Asks `count` until it has stayed the same for a moment: what is in rings is no more than that. Gives it, and when it was first found so.
pub fn settled(mut count: impl FnMut() -> u64) -> (u64, Instant) {
    let (mut at, mut last) = (Instant::now(), count());
    while at.elapsed() < STILL {
        std::thread::sleep(LOOK);
        let (asked, now) = (Instant::now(), count());
        if now != last {
            (at, last) = (asked, now);
        }
    }
    (last, at)
}

/// How many CPUs there are for us.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Binds the calling thread to one CPU, or the caches are now warm and now cold.
#[track_caller]
pub fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu % cpus()).expect("a CPU");
    sched_setaffinity(Pid::from_raw(0), &set).expect("a CPU of its own");
}
