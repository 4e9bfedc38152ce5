//! The kernel's half, seen from user space: loading, pinning, attaching, reading and writing tables.
//!
//! Invariant: nothing outside this folder knows aya.

mod batch;
#[cfg(feature = "lab")]
mod bench;
mod btf;
mod capture;
mod carry;
mod detach;
mod error;
mod events;
mod floods;
mod groups;
mod layout;
mod loader;
mod name;
mod neighbours;
mod pins;
mod policies;
mod probes;
mod programs;
mod slot;
mod snooped;
mod state;
mod tables;
#[cfg(feature = "lab")]
mod test_run;
#[cfg(feature = "lab")]
mod verified;
mod verify;
mod vlans;
mod way;

#[cfg(feature = "lab")]
pub use bench::Bench;
pub use capture::{CaptureRings, CaptureSwitch, Record};
pub use error::{Error, Result};
pub use events::Events;
pub use loader::Loader;
pub use name::{BridgeName, InvalidBridgeName};
pub use pins::{PinDir, bpffs};
pub use policies::{Levels, Rules};
pub use programs::{Attachment, Options, Programs, Start};
pub use slot::Slot;
pub use snooped::{Seen, Snooped};
pub use tables::{Station, Tables};
#[cfg(feature = "lab")]
pub use test_run::Context;
#[cfg(feature = "lab")]
pub use verified::{Frame as StackFrame, Verified, frames as stack_frames};
pub use vlans::VlanTables;
pub use way::Way;
