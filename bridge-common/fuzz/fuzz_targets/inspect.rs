//! Looking into frames of guarded ports, against another reader. As [`sequence`](sequence.rs).
#![no_main]

use bridge_common as common;

#[path = "../../src/tests/witness.rs"]
mod witness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| witness::looking(bytes));
