//! Sequences of frames through parser, guard and decision: `RUSTC_BOOTSTRAP=1 cargo fuzz run sequence`, in
//! `bridge-common`. A crash that was mended goes to `corpus/sequence/crash-<what>`; the ordinary tests replay it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    bridge_common::model::laws::sequence(bytes);
});
