//! How a station is seen from another while something happens to it.

use std::net::IpAddr;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::{Namespace, Process};

/// Between two pings.
const EVERY: Duration = Duration::from_millis(50);

/// Pings from a namespace, twenty a second, until [`Watch::end`].
pub struct Watch {
    process: Process,
}

/// What a watch has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Pings sent.
    pub sent: usize,
    /// Pings that nobody answered.
    pub lost: usize,
    /// The longest time without an answer.
    pub gap: Duration,
}

impl Watch {
    /// Begins to ping `address`.
    #[track_caller]
    pub fn begin(from: &Namespace, address: impl Into<IpAddr>) -> Watch {
        let address = address.into().to_string();
        let command = from.command("ping", ["-n", "-i", "0.05", "-W", "1", &address]);
        let process = Process::spawn(command);
        process.wait_line("icmp_seq=", Duration::from_secs(20));
        Watch { process }
    }

    /// Waits for the next answer, and returns what was seen so far.
    #[track_caller]
    pub fn end(self) -> Seen {
        let before = self.process.stdout_text().lines().count();
        let flows = crate::wait_until(Duration::from_secs(60), || {
            self.process.stdout_text().lines().count() > before + 3
        });
        assert!(flows, "no answer for a minute: {}", self.process);
        self.process.signal(Signal::SIGINT);
        self.process.wait(Duration::from_secs(5));
        seen(&self.process.stdout_text())
    }
}

fn seen(text: &str) -> Seen {
    let mut numbers: Vec<usize> = text
        .lines()
        .filter(|line| line.contains("bytes from"))
        .filter_map(|line| line.split("icmp_seq=").nth(1)?.split(' ').next()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let sent = numbers.last().copied().unwrap_or(0);
    let longest = numbers.windows(2).map(|pair| pair[1] - pair[0] - 1).max().unwrap_or(0);
    Seen { sent, lost: sent - numbers.len(), gap: EVERY * longest as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_missing() {
        let line = |number| format!("64 bytes from 10.77.0.11: icmp_seq={number} ttl=64 time=0.1 ms");
        let text =
            [1, 2, 5, 6, 8].map(line).join("\n") + "\nFrom 10.77.0.2 icmp_seq=3 Destination Host Unreachable";
        assert_eq!(seen(&text), Seen { sent: 8, lost: 3, gap: EVERY * 2 });
    }
}
