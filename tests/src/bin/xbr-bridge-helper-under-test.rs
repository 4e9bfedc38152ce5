//! The bridge helper as users run it, nothing unlocked: the program that the tests install.

use std::process::ExitCode;

fn main() -> ExitCode {
    bridge_user::helper::main()
}
