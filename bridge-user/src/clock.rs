//! The FDB's clock.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Now, in nanoseconds of `CLOCK_MONOTONIC`, which is what the programs write into the FDB
/// (`bpf_ktime_get_coarse_ns`).
pub fn monotonic() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// What to add to [`monotonic`] to have the time since 1970-01-01 00:00:00 UTC.
pub fn epoch() -> Duration {
    Duration::from_nanos(read(ClockId::CLOCK_REALTIME).saturating_sub(monotonic()))
}

/// What this thread has used of its processor, in nanoseconds.
pub fn processor() -> u64 {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn read(clock: ClockId) -> u64 {
    // The kernel refuses only clocks that it does not have.
    let Ok(now) = clock_gettime(clock) else { return 0 };
    let (seconds, nanoseconds) = (now.tv_sec() as u64, now.tv_nsec() as u64);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}
