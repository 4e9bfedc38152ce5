//! Frames that are written into a TAP, as QEMU without offloads does it, and read from another.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{
    Mac, Namespace, Tap, TapMode,
    bench::wire::{cpus, pin},
};

/// Frames between two looks at the clock.
const STRETCH: usize = 256;

/// Queues of each TAP: one for every two CPUs, since who writes wants one and who reads wants another.
pub fn queues() -> usize {
    (cpus() / 2).max(1)
}

/// Makes a persistent TAP whose frames are whole, with all its queues open.
#[track_caller]
pub fn make(ns: &Namespace, dev: &str) -> Vec<Tap> {
    let several = if queues() > 1 { "multi_queue" } else { "" };
    ns.ip(&format!("tuntap add dev {dev} mode tap {several}"));
    ns.sysctl(&format!("net/ipv6/conf/{dev}/disable_ipv6"), "1");
    ns.ip(&format!("link set {dev} up"));
    let open = |_| Tap::open(ns, dev, TapMode::Plain).unwrap_or_else(|error| panic!("TAP {dev}: {error}"));
    (0..queues()).map(open).collect()
}

/// Writes copies of a frame into every queue for so long, each from a thread with a CPU of its own.
#[track_caller]
pub fn write(queues: &[Tap], frame: &[u8], time: Duration) {
    std::thread::scope(|scope| {
        for (number, queue) in queues.iter().enumerate() {
            scope.spawn(move || {
                // The odd ones; the even ones are for who reads.
                pin(2 * number + 1);
                let start = Instant::now();
                while start.elapsed() < time {
                    for _ in 0..STRETCH {
                        write_one(queue, frame);
                    }
                }
            });
        }
    });
}

/// Writes a frame. One that XDP drops is written too.
#[track_caller]
pub fn write_one(queue: &Tap, frame: &[u8]) {
    match queue.write(frame) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => panic!("writing into a TAP: {error}"),
    }
}

/// Reads a TAP for as long as this lives, and counts what a station sends.
pub struct Reader {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Reader {
    /// Frames from `source` at these queues.
    pub fn of(queues: &Arc<Vec<Tap>>, source: Mac) -> Self {
        let (stop, count) = <(Arc<AtomicBool>, Arc<AtomicU64>)>::default();
        let start = |number| {
            let (queues, stop, count) = (queues.clone(), stop.clone(), count.clone());
            std::thread::spawn(move || {
                pin(2 * number);
                read(&queues[number], source, &stop, &count);
            })
        };
        let threads = (0..queues.len()).map(start).collect();
        Self { stop, count, threads }
    }

    /// How many have come.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Does not sleep while there is nothing: to be woken costs the writer more than it costs the reader.
fn read(queue: &Tap, source: Mac, stop: &AtomicBool, count: &AtomicU64) {
    let mut buffer = [0; 2048];
    while !stop.load(Relaxed) {
        match queue.read(&mut buffer) {
            Ok(length) => {
                if buffer[..length].get(6..12) == Some(&source.0[..]) {
                    count.fetch_add(1, Relaxed);
                }
            }
            // Down between two subjects, or nothing there.
            Err(_) => std::thread::yield_now(),
        }
    }
}
