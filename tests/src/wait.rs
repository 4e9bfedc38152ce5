//! Waiting for what the kernel does in its own time.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How many times slower this machine is than those that the lab's times are meant for. An emulated one is told by
/// `XBR_LAB_SLOWNESS`.
fn slowness() -> u32 {
    static SLOWNESS: OnceLock<u32> = OnceLock::new();
    *SLOWNESS.get_or_init(|| match std::env::var("XBR_LAB_SLOWNESS") {
        Ok(value) => {
            let factor = value.parse().ok().filter(|factor| *factor > 0);
            factor.unwrap_or_else(|| panic!("XBR_LAB_SLOWNESS={value} is no factor"))
        }
        Err(_) => 1,
    })
}

/// What is so much time on the machine that the lab is meant for takes this long here.
pub fn patience(time: Duration) -> Duration {
    time * slowness()
}

/// So many a second on the machine that the lab is meant for are this many here. An emulated relay that gets more than it can carry
/// lets its TAP's queue run over, whatever switch is behind it.
pub fn pace(per_second: u32) -> u32 {
    (per_second / slowness()).max(1)
}

/// Asks `condition` every few milliseconds until it holds; false when `timeout` passes first, times the machine's
/// slowness.
pub fn wait_until(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience(timeout);
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
