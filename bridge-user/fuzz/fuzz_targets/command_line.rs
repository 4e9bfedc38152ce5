//! Command lines of the bridge helper: `RUSTC_BOOTSTRAP=1 cargo fuzz run command_line`, in `bridge-user`. A crash that
//! was mended goes to `corpus/command_line/crash-<what>`; the ordinary tests replay it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bridge_user_fuzz::laws::command_line(bytes));
