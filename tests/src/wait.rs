//! Waiting for what the kernel does in its own time.

use std::time::{Duration, Instant};

/// Asks `condition` every few milliseconds until it holds; false when `timeout` passes first.
pub fn wait_until(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + timeout;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
