//! Access lists of the bridge helper. As [`command_line`](command_line.rs).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bridge_user_fuzz::laws::access_list(bytes));
