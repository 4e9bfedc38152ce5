//! `cargo xtask test`: every test, with what it needs checked first.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Result, bail};

use crate::{
    guests, kernel, setup,
    workspace::{cargo_command, run, target_dir},
};

/// bridge-ebpf is built for the BPF target only.
const HOST_CRATES: [&str; 3] = ["--workspace", "--exclude", "bridge-ebpf"];

/// The lab's switches in xbr, which tests of time and of the checksum guard turn.
const FEATURES: [&str; 2] = ["--features", "bridge-user/lab"];

/// The crate of the tests that need a kernel to themselves.
const LAB: [&str; 2] = ["--exclude", "xbr-lab"];

/// Which tests to run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run only tests whose name contains one of these.
    filter: Vec<String>,
    /// Leave out what needs root: the lab, and whatever loads a program.
    #[arg(long)]
    unit_only: bool,
    /// Run every row of every table, with every kernel of the matrix. Takes long.
    #[arg(long, conflicts_with = "unit_only")]
    full: bool,
}

impl Args {
    /// Every test.
    pub fn all() -> Self {
        Self { filter: Vec::new(), unit_only: false, full: false }
    }
}

/// Runs the tests and closes with one line that says what was run.
pub fn verb(args: &Args) -> Result<()> {
    setup::ensure()?;
    let started = Instant::now();
    let privileged = !args.unit_only && privileges()?;
    let xbr = target_dir()?.join("debug/xbr");
    if !args.unit_only {
        // The lab runs the binary of another package, which cargo does not build for a test.
        run(cargo_command(&["build", "--bins"]).args(HOST_CRATES).args(FEATURES))?;
    }
    let environment = if privileged {
        guests::for_tests(args.full, is_ci(env::var("CI").ok().as_deref()))?
    } else {
        Vec::new()
    };
    for mut command in commands(args) {
        if !privileged {
            command.env("XBR_SKIP_PRIVILEGED", "1");
        }
        command.envs(environment.iter().cloned());
        run(command.env("XBR_BIN", &xbr))?;
    }
    let what = if privileged { "all tests passed" } else { "passed, WITHOUT the tests that need root" };
    println!("xtask test: {what} ({:.0} s)", started.elapsed().as_secs_f32());
    Ok(())
}

/// Whether the privileged tests can run. In CI they must, or a green run would mean nothing.
fn privileges() -> Result<bool> {
    kernel::mount_bpffs();
    let missing = kernel::missing();
    if missing.is_empty() {
        return Ok(true);
    }
    let list = missing.join("\n  ");
    if is_ci(env::var("CI").ok().as_deref()) {
        bail!("the privileged tests cannot run here, and in CI that is a failure:\n  {list}");
    }
    let bar = "=".repeat(72);
    eprintln!("{bar}\nSKIPPING ALL PRIVILEGED TESTS (nothing of the data path is tested):\n  {list}\n{bar}");
    Ok(false)
}

fn is_ci(value: Option<&str>) -> bool {
    !matches!(value, None | Some("" | "0" | "false"))
}

/// The runs of the test runner: nextest where it is installed, which knows no documentation tests.
fn commands(args: &Args) -> Vec<Command> {
    let scope = |command: &mut Command| {
        command.args(HOST_CRATES).args(FEATURES);
        if args.unit_only {
            command.args(LAB);
        }
    };
    if nextest().is_none() {
        let mut test = cargo_command(&["test"]);
        scope(&mut test);
        test.arg("--").args(&args.filter);
        return vec![test];
    }
    let mut nextest = cargo_command(&["nextest", "run", "--no-fail-fast"]);
    scope(&mut nextest);
    nextest.args(&args.filter);
    if !args.filter.is_empty() {
        return vec![nextest];
    }
    let mut doc = cargo_command(&["test", "--doc", "--quiet"]);
    scope(&mut doc);
    vec![nextest, doc]
}

/// Where cargo would find nextest: on PATH or in its own bin directory.
fn nextest() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")));
    env::split_paths(&path)
        .chain(home.map(|home| home.join("bin")))
        .map(|dir| dir.join("cargo-nextest"))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::is_ci;

    #[test]
    fn ci_is_a_matter_of_its_variable() {
        assert!(is_ci(Some("true")) && is_ci(Some("1")));
        assert!(!is_ci(None) && !is_ci(Some("")) && !is_ci(Some("false")));
    }
}
