//! What the kernel programs and user space of xbr share: the facts of a frame, the shape of every map,
//! and the forwarding decision itself, written once.
//!
//! Invariant: no clock, no I/O, no allocation and no panic path in this crate. The same code runs in XDP,
//! in TC, in the unit tests and in `xbr trace`. (The feature `model` is for user space and tests only.)
#![no_std]
// Inline assembly is stable for many targets and not for this one.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[cfg(any(test, feature = "model"))]
extern crate std;

pub mod capture;
pub mod config;
pub mod counters;
pub mod decision;
pub mod event;
pub mod fdb;
pub mod forward;
pub mod frame;
pub mod guard;
pub mod inspect;
mod link_local;
pub mod mac;
pub mod maps;
#[cfg(any(test, feature = "model"))]
pub mod model;
pub mod multicast;
pub mod neigh;
pub mod plain;
pub mod policy;
pub mod port;
pub mod probe;
pub mod recent;
pub mod recipients;
pub mod record;
pub mod snoop;
pub mod state;
#[cfg(test)]
mod tests;
pub mod vlan;

pub use config::Config;
pub use counters::{DropReason, PortCounters, SlowReason};
pub use decision::{Decision, Learn, Verdict};
pub use event::{FdbEvent, FdbEventKind};
pub use fdb::{Fdb, FdbEntry, FdbFlags, FdbKey, Stations};
pub use forward::{Question, Tables, commit, decide};
pub use frame::{Frame, Packet};
pub use mac::{Address, Mac};
pub use multicast::Groups;
pub use policy::{Policies, Policy};
pub use port::{Port, PortFlags, PortId, Ports};
pub use vlan::{Vlan, Vlans};

/// Lets user space read these types from maps: they are plain data without implicit padding.
#[cfg(feature = "user")]
mod pod {
    macro_rules! pod {
        ($($name:ty),*) => {
            // SAFETY: each is `repr(C)` or `repr(transparent)` over integers, its size is asserted beside
            // its definition, and every bit pattern is a value of it.
            $(unsafe impl aya::Pod for $name {})*
        };
    }
    pod!(
        crate::FdbEntry,
        crate::FdbKey,
        crate::Port,
        crate::PortCounters,
        crate::neigh::Neighbour,
        crate::neigh::NeighbourKey,
        crate::Policy,
        crate::policy::Source,
        crate::Vlan,
        crate::recipients::Recipients,
        crate::vlan::VlanCounters,
        crate::record::BridgeRecord,
        crate::record::PortRecord,
        crate::snoop::SnoopBudget,
        crate::multicast::GroupKey,
        crate::multicast::GroupSet,
        crate::multicast::GroupPolicy,
        crate::multicast::GroupCounters,
        crate::maps::constants::NetOffsets
    );
}
