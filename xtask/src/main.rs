//! The build and development tasks of xbr: `cargo xtask <verb>`, one file a verb.
//!
//! Every verb brings up the toolchain first, so that nobody has to know that there is a `setup`.

mod apt;
mod bench;
mod bpf_linker;
mod build;
mod build_ebpf;
mod ci;
mod guests;
mod kernel;
mod progress;
mod run;
mod rust_src;
mod setup;
mod test;
mod toolchain;
mod verify;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The build and development tasks of xbr.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Bring up what the build needs and this machine lacks: rust-src and bpf-linker.
    Setup,
    /// Build xbr, with its BPF programs inside.
    Build(build::Args),
    /// Build only the BPF programs, into target/bpf.
    BuildEbpf(build_ebpf::Args),
    /// Build and run xbr: `run -- --uplink eth0`; without arguments, in a lab of its own.
    Run(run::Args),
    /// Bring up kernels and images for the tests that boot guests.
    Guests(guests::Args),
    /// Run every test.
    Test(test::Args),
    /// Print what the kernel's verifier walks of each program, and its stack.
    Verify,
    /// Measure xbr against a Linux bridge and the limits of the hooks.
    Bench(bench::Args),
    /// Do what continuous integration does: format, lints, docs, tests.
    Ci,
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Setup => setup::verb(),
        Verb::Build(args) => build::verb(&args),
        Verb::BuildEbpf(args) => build_ebpf::verb(&args),
        Verb::Run(args) => run::verb(&args),
        Verb::Guests(args) => guests::verb(&args),
        Verb::Test(args) => test::verb(&args),
        Verb::Verify => verify::verb(),
        Verb::Bench(args) => bench::verb(&args),
        Verb::Ci => ci::verb(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not `main() -> Result`: where RUST_BACKTRACE is set, a backtrace would bury the sentence.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
