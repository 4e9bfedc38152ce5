//! `cargo xtask bench`: how fast xbr is, on this machine, in namespaces of its own.

use std::{ffi::OsString, process::Command, time::SystemTime};

use anyhow::{Context as _, Result};

use crate::{
    run::become_root,
    setup,
    workspace::{cargo_command, root, run, target_dir},
};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `--quick`, `--only PART`, `--baseline FILE`, `pktgen --dev eth1 …`: see `cargo xtask bench -- --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Builds for use and becomes the program that measures.
pub fn verb(args: &Args) -> Result<()> {
    setup::ensure()?;
    run(&mut cargo_command(&["build", "--release", "-p", "xbr-lab", "-p", "bridge-user", "--bins"]))?;
    let release = target_dir()?.join("release");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")?;
    let to = target_dir()?.join("bench").join(now.as_secs().to_string());
    let mut words: Vec<OsString> = vec!["--xbr".into(), release.join("xbr").into(), "--to".into(), to.into()];
    if let Some(commit) = commit() {
        words.extend(["--commit".into(), commit.into()]);
    }
    words.extend(args.args.iter().cloned());
    become_root(&release.join("xbr-bench"), &words)
}

/// What is checked out; nothing where there is no repository, or no git.
fn commit() -> Option<String> {
    let mut git = Command::new("git");
    let output = git.args(["describe", "--always", "--dirty"]).current_dir(root()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
