//! Frames of IGMP, MLD and PIM. As [`command_line`](command_line.rs).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    bridge_user_fuzz::membership(bytes);
});
