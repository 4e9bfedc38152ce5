//! Reading what frames say of neighbours, against another reader. As [`sequence`](sequence.rs).
#![no_main]

use bridge_common as common;

#[path = "../../src/tests/neigh_witness.rs"]
mod neigh_witness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| neigh_witness::neighbours(bytes));
