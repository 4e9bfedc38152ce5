//! Builds the BPF programs, so that a plain `cargo build` is enough once `cargo xtask setup` has run.
//!
//! The objects are `$OUT_DIR/xbr-bpf` and, with the feature `lab`, `$OUT_DIR/xbr-bpf-other-tag`.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

// Each of the two users leaves a different half of it unused.
#[allow(dead_code)]
#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

use toolchain::Toolchain;

fn main() {
    // Not `main() -> Result`: where RUST_BACKTRACE is set, a backtrace would bury the sentence.
    if let Err(error) = run() {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    let workspace = PathBuf::from(var("CARGO_MANIFEST_DIR")?).join("..");
    for part in
        ["bridge-ebpf", "bridge-common", "xtask/src/toolchain.rs", "Cargo.toml", "bridge-user/build.rs"]
    {
        println!("cargo:rerun-if-changed={}", workspace.join(part).display());
    }
    for name in ["XBR_CACHE", "XBR_BPF_LINKER", "XDG_CACHE_HOME", "HOME"] {
        println!("cargo:rerun-if-env-changed={name}");
    }

    // cargo names the compiler that it uses itself; another one would not fit rust-src.
    let toolchain = Toolchain::probe(&var("RUSTC")?)?;
    ensure!(
        toolchain.library().join("Cargo.lock").is_file(),
        "the standard library's sources (rust-src) of rustc {} are missing; run `cargo xtask setup`",
        toolchain.release
    );
    // A linker that was rebuilt may write another object.
    println!("cargo:rerun-if-changed={}", toolchain.linker()?.display());

    let out = PathBuf::from(var("OUT_DIR")?);
    build(&toolchain, &workspace, &out, &[], "xbr-bpf")?;
    if env::var_os("CARGO_FEATURE_LAB").is_some() {
        build(&toolchain, &workspace, &out, &["--features", "other-tag"], "xbr-bpf-other-tag")?;
    }
    Ok(())
}

/// Builds the object with `features` into `out/name`.
fn build(toolchain: &Toolchain, workspace: &Path, out: &Path, features: &[&str], name: &str) -> Result<()> {
    // The outer cargo has locked target/<profile> until we are done, so not in there; and not below OUT_DIR,
    // or dev, release, clippy and every set of features would each compile `core` anew.
    let target_dir = out.ancestors().nth(4).unwrap_or(out).join("bpf");
    // cargo copies the object to here before it lets go of its lock: another build of ours that waits for
    // it, with other features, cannot put its own object in between.
    let artifacts = out.join("bpf").join(name);
    let status = toolchain
        .ebpf_cargo(&var("CARGO")?, "build", &target_dir)?
        .args(["--release", "-Zunstable-options", "--artifact-dir"])
        .arg(&artifacts)
        .args(features)
        // cargo reads what a build script prints to standard output as instructions.
        .stdout(std::io::stderr())
        .current_dir(workspace)
        .env("AYA_BPF_TARGET_ARCH", var("CARGO_CFG_TARGET_ARCH")?)
        .status()
        .context("cannot run cargo for the BPF programs")?;
    ensure!(status.success(), "the BPF programs do not build; cargo's own words are above");
    let (from, to) = (artifacts.join("xbr-bpf"), out.join(name));
    fs::copy(&from, &to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// A variable that cargo sets for every build script.
fn var(name: &str) -> Result<OsString> {
    env::var_os(name).with_context(|| format!("{name} is not set: this is a build script of cargo"))
}
