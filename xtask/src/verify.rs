//! `cargo xtask verify`: what the kernel's verifier walks of each program, and what each function takes of the stack.

use anyhow::Result;

use crate::{
    setup,
    workspace::{cargo_command, run},
};

/// Prints the figures, and fails where they are out of bounds.
pub fn verb() -> Result<()> {
    setup::ensure()?;
    let test = ["test", "--quiet", "-p", "xbr-lab", "--features", "bridge-user/lab", "--test", "verify"];
    run(cargo_command(&test).args(["--", "--nocapture"]))
}
