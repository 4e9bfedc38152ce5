//! A hostile guest beside victims whose traffic flows. Each attack is told with the frames that the victims lost, and with the
//! counter that names it.
//!
//! The hostile guest is the first one. Behind a TAP it writes into the device itself, as vhost does for a virtual machine, so nothing
//! of its own holds it up; behind a veth it has a packet socket. The victims' frames are numbered and paced. They share the
//! machine with the attack, so what they lose to a lack of processors is not the switch's doing; but at their rate they lose nothing,
//! with queues long enough for the time that they have to wait for one.

#[path = "attacks/garbage.rs"]
mod garbage;
#[path = "attacks/losses.rs"]
mod losses;
#[path = "attacks/rows.rs"]
mod rows;
#[path = "attacks/scene.rs"]
mod scene;
#[path = "attacks/sources.rs"]
mod sources;
#[path = "attacks/storm.rs"]
mod storm;
#[path = "attacks/tap.rs"]
mod tap;

use std::sync::{Mutex, MutexGuard, PoisonError};

use xbr_lab::GuestKind;

/// TC alone, XDP on TAPs, and XDP on veths, which stand for physical cards.
const KINDS: [(GuestKind, &str); 3] =
    [(GuestKind::TapVnetHdr, "tc"), (GuestKind::Tap, "xdp"), (GuestKind::Veth, "xdp")];

/// One hostile guest at a time: each takes all of the machine that it can get.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
