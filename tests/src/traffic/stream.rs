//! A steady stream of numbered datagrams: it shows each loss, repetition and change of order.

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt};

use super::{udp_socket, unspecified};
use crate::Namespace;

/// How long the receiver waits for stragglers once the sender has stopped.
const STRAGGLERS: Duration = Duration::from_millis(300);

/// A stream under way. It stops when dropped.
pub struct Stream {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
    sender: Option<JoinHandle<u64>>,
    receiver: Option<JoinHandle<Arrivals>>,
}

/// What became of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StreamReport {
    /// Numbers given out.
    pub sent: u64,
    /// Those among them that the sender's own kernel refused, as with its device down; they count as lost too.
    pub refused: u64,
    /// Numbers that arrived at least once.
    pub received: u64,
    /// Numbers that never arrived.
    pub lost: u64,
    /// Arrivals of a number that had arrived before.
    pub duplicated: u64,
    /// First arrivals of a number after a higher one.
    pub reordered: u64,
    /// The longest time between two arrivals.
    pub longest_gap: Duration,
}

impl StreamReport {
    /// Everything sent arrived once and in order.
    pub fn is_perfect(&self) -> bool {
        self.sent > 0 && (self.lost, self.duplicated, self.reordered) == (0, 0, 0)
    }
}

#[derive(Default)]
struct Arrivals {
    seen: Vec<bool>,
    received: u64,
    duplicated: u64,
    reordered: u64,
    longest_gap: Duration,
}

impl Stream {
    /// Sends `per_second` datagrams a second to `addr`, which is an address of `to`, until stopped.
    pub fn start(
        from: &Namespace,
        to: &Namespace,
        addr: impl Into<IpAddr>,
        per_second: u32,
    ) -> Result<Stream> {
        let addr = addr.into();
        let target = udp_socket(to, addr, 0)?;
        // Otherwise the receiver loses what the switch did not.
        setsockopt(&target, sockopt::RcvBufForce, &(32 << 20)).context("receive buffer")?;
        target.set_read_timeout(Some(Duration::from_millis(20)))?;
        let source = udp_socket(from, unspecified(addr), 0)?;
        source.connect(target.local_addr()?)?;

        let (stop, sent, received) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let interval = Duration::from_secs(1) / per_second;
        let sender = {
            let (stop, sent) = (stop.clone(), sent.clone());
            std::thread::spawn(move || send(&source, interval, &stop, &sent))
        };
        let receiver = {
            let (stop, sent, received) = (stop.clone(), sent.clone(), received.clone());
            std::thread::spawn(move || receive(&target, &stop, &sent, &received))
        };
        Ok(Stream { stop, sent, received, sender: Some(sender), receiver: Some(receiver) })
    }

    /// How many were sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// How many arrived so far.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Stops sending, waits for what is under way, and reports.
    pub fn stop(mut self) -> StreamReport {
        self.finish()
    }

    fn finish(&mut self) -> StreamReport {
        self.stop.store(true, Relaxed);
        let (Some(sender), Some(receiver)) = (self.sender.take(), self.receiver.take()) else {
            return StreamReport::default();
        };
        let refused = sender.join().expect("the sender does not panic");
        let arrivals = receiver.join().expect("the receiver does not panic");
        let sent = self.sent();
        StreamReport {
            sent,
            refused,
            received: arrivals.received,
            lost: sent - arrivals.received,
            duplicated: arrivals.duplicated,
            reordered: arrivals.reordered,
            longest_gap: arrivals.longest_gap,
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.finish();
    }
}

fn send(socket: &UdpSocket, interval: Duration, stop: &AtomicBool, sent: &AtomicU64) -> u64 {
    let mut payload = [0x5a; 64];
    let mut refused = 0;
    // Each has its own moment on the clock, so a late wake-up is made up for and the rate holds.
    let mut due = Instant::now();
    while !stop.load(Relaxed) {
        let number = sent.load(Relaxed);
        payload[..8].copy_from_slice(&number.to_be_bytes());
        refused += u64::from(socket.send(&payload).is_err());
        sent.store(number + 1, Relaxed);
        due += interval;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    refused
}

fn receive(socket: &UdpSocket, stop: &AtomicBool, sent: &AtomicU64, received: &AtomicU64) -> Arrivals {
    let mut arrivals = Arrivals::default();
    let mut last = None::<Instant>;
    let mut stopped = None::<Instant>;
    let mut payload = [0; 65];
    loop {
        if let Ok(length) = socket.recv(&mut payload) {
            let now = Instant::now();
            let gap = last.replace(now).map(|last| now - last).unwrap_or_default();
            arrivals.longest_gap = arrivals.longest_gap.max(gap);
            if length == 64 {
                arrivals.note(u64::from_be_bytes(*payload.first_chunk().expect("64 bytes")) as usize);
                received.store(arrivals.received, Relaxed);
            }
        }
        if stop.load(Relaxed) {
            let since = *stopped.get_or_insert_with(Instant::now);
            // Even when all are here, a moment more for one that comes twice.
            let all_here = arrivals.received >= sent.load(Relaxed);
            let enough = crate::patience(if all_here { STRAGGLERS / 6 } else { STRAGGLERS });
            if since.elapsed() > enough && last.is_none_or(|last| last.elapsed() > enough) {
                return arrivals;
            }
        }
    }
}

impl Arrivals {
    fn note(&mut self, number: usize) {
        if number >= self.seen.len() {
            self.seen.resize(number + 1, false);
        } else if !self.seen[number] {
            self.reordered += 1;
        }
        if std::mem::replace(&mut self.seen[number], true) {
            self.duplicated += 1;
        } else {
            self.received += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_tell_loss_repetition_and_order_apart() {
        let mut arrivals = Arrivals::default();
        // 2 and 4 change places, 5 comes twice, 3 never.
        for number in [0, 1, 4, 2, 5, 5, 6] {
            arrivals.note(number);
        }
        assert_eq!((arrivals.received, arrivals.duplicated, arrivals.reordered), (6, 1, 1));
    }
}
