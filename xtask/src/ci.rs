//! `cargo xtask ci`: what must hold before a change is taken.

use std::{process::Command, time::Instant};

use anyhow::Result;

use crate::{
    setup, test,
    workspace::{cargo, cargo_command, root, run, target_dir},
};

/// Format, lints, documentation, tests: the cheap ones first. Stops at the first that fails.
pub fn verb() -> Result<()> {
    let toolchain = setup::ensure()?;
    step("format", &mut cargo_command(&["fmt", "--all", "--check"]))?;
    step(
        "lints",
        cargo_command(&["clippy", "--workspace", "--exclude", "bridge-ebpf", "--all-targets"]).args([
            "--features",
            "bridge-user/lab",
            "--",
            "-D",
            "warnings",
        ]),
    )?;
    let bpf = target_dir()?.join("bpf");
    step(
        "lints of the BPF programs",
        toolchain
            .ebpf_cargo(&cargo(), "clippy", &bpf)?
            .args(["--release", "--", "-D", "warnings"])
            .current_dir(root()),
    )?;
    for fuzzed in ["bridge-common", "bridge-user"] {
        step(&format!("fuzz targets of {fuzzed}"), &mut fuzz_targets(fuzzed)?)?;
    }
    step(
        "documentation",
        cargo_command(&["doc", "--workspace", "--exclude", "bridge-ebpf", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    test::verb(&test::Args::all())
}

/// Whether they still build: they are workspaces of their own, whose modules are the workspace's by path.
fn fuzz_targets(fuzzed: &str) -> Result<Command> {
    let mut command = cargo_command(&["check", "--locked", "--manifest-path"]);
    command.arg(root().join(fuzzed).join("fuzz/Cargo.toml")).arg("--target-dir").arg(target_dir()?);
    // Nothing is linked, so libFuzzer need not be compiled, which takes longer than all else: its build script asks for the place of another.
    command.env("CUSTOM_LIBFUZZER_PATH", "/nowhere/libfuzzer.a");
    Ok(command)
}

/// Runs one step under a headline.
fn step(name: &str, command: &mut Command) -> Result<()> {
    let started = Instant::now();
    eprintln!("==> {name}");
    run(command)?;
    eprintln!("==> {name}: ok ({:.0} s)", started.elapsed().as_secs_f32());
    Ok(())
}
