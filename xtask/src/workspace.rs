//! Where this workspace and its cargo are.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// The directory of the workspace's Cargo.toml.
pub fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The cargo that runs us, past rustup's proxy.
pub fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The rustc of that cargo.
pub fn rustc() -> OsString {
    if let Some(rustc) = env::var_os("RUSTC") {
        return rustc;
    }
    let beside = Path::new(&cargo()).with_file_name("rustc");
    if beside.is_file() { beside.into() } else { "rustc".into() }
}

/// cargo with these arguments, to be run in the workspace.
pub fn cargo_command(args: &[&str]) -> Command {
    let mut command = Command::new(cargo());
    command.args(args).current_dir(root());
    command
}

/// Where cargo puts what it builds, by whichever of its settings.
pub fn target_dir() -> Result<PathBuf> {
    // `cargo xtask` runs us from <target>/<profile>/xtask, so nothing needs to be asked.
    let exe = env::current_exe().context("cannot tell where xtask itself is")?;
    let dir = exe.ancestors().nth(2).context("xtask is not in a target directory")?;
    Ok(dir.to_path_buf())
}

/// Runs a command that writes to our own output, and fails when it does.
pub fn run(command: &mut Command) -> Result<()> {
    let name = command_line(command);
    let status = command.status().with_context(|| format!("cannot run `{name}`"))?;
    ensure!(status.success(), "`{name}` failed ({status})");
    Ok(())
}

/// The command as one would type it, for messages.
pub fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
