//! Whatever reads frames: the checksum guard, and the count of segments. As [`sequence`](sequence.rs).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bridge_common::model::laws::reading(bytes));
