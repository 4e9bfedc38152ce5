//! xbr as users run it, with the lab's load-time constants unlocked: the program that the tests start.

use std::process::ExitCode;

fn main() -> ExitCode {
    bridge_user::cli::main()
}
