//! How much of a processor a process uses.

use std::fs;
use std::time::{Duration, Instant};

/// Processor time used so far, to the nanosecond: /proc/PID/stat counts in hundredths of a second.
fn used(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a process that lives");
    let of = |task: std::io::Result<fs::DirEntry>| {
        let text = fs::read_to_string(task.expect("a task").path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0)
    };
    Duration::from_nanos(tasks.map(of).sum())
}

/// The share of one core, in percent, that a process uses while `meanwhile` goes on, and what that gives.
pub fn percent<T>(pid: u32, meanwhile: impl FnOnce() -> T) -> (T, f64) {
    let (before, start) = (used(pid), Instant::now());
    let done = meanwhile();
    (done, (used(pid) - before).as_secs_f64() / start.elapsed().as_secs_f64() * 100.0)
}
