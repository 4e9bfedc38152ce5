//! Messages of the control socket.

#[path = "../../src/control/event.rs"]
mod event;
#[path = "../../src/control/laws.rs"]
mod laws;
#[path = "../../src/control/loan.rs"]
mod loan;
#[path = "../../src/control/macs.rs"]
mod macs;
#[path = "../../src/control/message.rs"]
mod message;
#[path = "../../src/control/protocol.rs"]
pub mod protocol;

pub use macs::Macs;
use protocol::{MAX_MESSAGE, Reply, Request};

use crate::most_while;

/// Bytes of memory for each that came: a value of JSON takes 32 for two of its text, a list that grows has twice what it needs, and
/// is copied meanwhile.
const FOR_EACH: usize = 160;

/// A message as it comes out of the socket, which gives no longer ones.
pub fn message(bytes: &[u8]) {
    let bytes = bytes.get(..MAX_MESSAGE).unwrap_or(bytes);
    let most = most_while(|| {
        let _ = message::decode::<Request>(bytes);
        let _ = message::decode::<Reply>(bytes);
    });
    assert!(
        most <= 16 * 1024 + bytes.len() * FOR_EACH,
        "{most} bytes of memory for {} that came",
        bytes.len()
    );
    laws::message(bytes);
}
