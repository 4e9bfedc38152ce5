//! Messages of the control socket. As [`command_line`](command_line.rs).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bridge_user_fuzz::message(bytes));
