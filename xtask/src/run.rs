//! `cargo xtask run`: xbr on this machine, or in a lab that it makes itself.

use std::{
    ffi::OsString, io::IsTerminal as _, os::unix::process::CommandExt as _, path::Path, process::Command,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{
    kernel, setup,
    workspace::{cargo_command, command_line, run, target_dir},
};

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Arguments for `xbr run`, such as `--uplink eth0`; without any, a lab with two guests is made.
    #[arg(last = true)]
    args: Vec<OsString>,
}

/// Builds for use and becomes xbr, so that signals and the exit code are its own.
pub fn verb(args: &Args) -> Result<()> {
    setup::ensure()?;
    if args.args.is_empty() {
        // Not optimised: the newcomer waits for the compiler, and the BPF programs are optimised all the same.
        run(&mut cargo_command(&["build", "-p", "xbr-lab", "-p", "bridge-user"]))?;
        let debug = target_dir()?.join("debug");
        become_root(&debug.join("xbr-lab"), &["--xbr".into(), debug.join("xbr").into()])
    } else {
        let xbr = target_dir()?.join("release/xbr");
        run(&mut cargo_command(&["build", "--release", "-p", "bridge-user"]))?;
        let mut words = vec![OsString::from("run")];
        words.extend(args.args.iter().cloned());
        become_root(&xbr, &words)
    }
}

/// Replaces this process by `program`, as root.
pub fn become_root(program: &Path, args: &[OsString]) -> Result<()> {
    let mut command = if kernel::is_root() {
        Command::new(program)
    } else if kernel::on_path("sudo") && std::io::stdin().is_terminal() {
        eprintln!("xtask: bridging needs root; asking sudo");
        let mut sudo = Command::new("sudo");
        sudo.arg("-E").arg(program);
        sudo
    } else {
        bail!("bridging needs root; run this as root, or in a terminal where sudo can ask for a password")
    };
    command.args(args);
    let error = command.exec();
    Err(anyhow!(error)).with_context(|| format!("cannot start `{}`", command_line(&command)))
}
