//! `cargo xtask build-ebpf`

use anyhow::Result;

use crate::{
    setup,
    toolchain::BPF_TARGET,
    workspace::{cargo, root, run, target_dir},
};

/// How to build the BPF programs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// With optimisations; the verifier seldom takes anything else.
    #[arg(long)]
    release: bool,
}

/// Builds the BPF programs alone, to see cargo's words about them.
pub fn verb(args: &Args) -> Result<()> {
    let toolchain = setup::ensure()?;
    let target_dir = target_dir()?.join("bpf");
    let mut command = toolchain.ebpf_cargo(&cargo(), "build", &target_dir)?;
    if args.release {
        command.arg("--release");
    }
    run(command.current_dir(root()))?;
    let profile = if args.release { "release" } else { "debug" };
    println!("{}", target_dir.join(BPF_TARGET).join(profile).join("xbr-bpf").display());
    Ok(())
}
