//! Stations that say one frame at a time, so that a test knows of each where it was heard.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::{Frame, Mac, Node, RawPort};

/// How long a frame may take that must come.
const COMES: Duration = Duration::from_secs(3);
/// How long to listen for one that must not come, when another listener has its own.
const STAYS_AWAY: Duration = Duration::from_millis(60);

/// A participant that speaks for any station behind it. It belongs on a quiet segment.
pub struct Speaker {
    port: RawPort,
}

/// A frame that was said. No two are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said(Vec<u8>);

impl Speaker {
    /// The participant's `eth0`.
    #[track_caller]
    pub fn at(node: &Node) -> Speaker {
        Speaker { port: RawPort::open(&node.ns, "eth0") }
    }

    /// Sends a frame of station `from` to `to`. It looks like ARP, which XDP may redirect whatever the offloads are, and means
    /// nothing to those who hear it.
    #[track_caller]
    pub fn say(&self, from: Mac, to: Mac) -> Said {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let mut frame = [to.0, from.0].concat();
        frame.extend([0x08, 0x06]);
        frame.extend([0xff; 8]);
        frame.extend(NEXT.fetch_add(1, Relaxed).to_be_bytes());
        frame.resize(60, 0);
        self.port.send(&frame).expect("a raw frame");
        Said(frame)
    }

    /// Whether the frame arrives here; others that come before it are forgotten.
    #[track_caller]
    pub fn hears(&self, said: &Said) -> bool {
        self.within(crate::patience(COMES), said)
    }

    /// Whether the frame stays away, to be asked after somebody else has heard it.
    #[track_caller]
    pub fn hears_nothing_of(&self, said: &Said) -> bool {
        !self.within(crate::patience(STAYS_AWAY), said)
    }

    fn within(&self, timeout: Duration, said: &Said) -> bool {
        let same = |frame: &Frame| frame.bytes.starts_with(&said.0);
        self.port.recv_matching(timeout, same).expect("a packet socket").is_some()
    }
}
