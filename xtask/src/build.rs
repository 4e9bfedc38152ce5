//! `cargo xtask build`

use anyhow::Result;

use crate::{
    setup,
    workspace::{cargo_command, run},
};

/// What to build.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// With optimisations, as for use.
    #[arg(long)]
    release: bool,
}

/// Builds the host's crates; the BPF programs come with bridge-user.
pub fn verb(args: &Args) -> Result<()> {
    setup::ensure()?;
    let mut command = cargo_command(&["build"]);
    if args.release {
        command.arg("--release");
    }
    run(&mut command)
}
