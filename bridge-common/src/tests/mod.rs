//! Tests of the whole decision.

mod bridge;
mod corpus;
mod decision;
mod groups;
mod inspect;
mod neigh_witness;
mod packets;
mod plain;
mod policies;
mod properties;
mod vlans;
mod witness;

/// As the fuzz target, which includes [`witness`] and [`neigh_witness`], knows the crate.
use crate as common;
