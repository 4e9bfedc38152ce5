//! `cargo xtask bench`: how fast xbr is, to a Linux bridge and to the limits of the hooks.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;
use xbr_lab::bench::{self, Options};

/// Measures subjects in turns, in namespaces of its own.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Args {
    /// The xbr to measure.
    #[arg(long, value_name = "PATH")]
    xbr: PathBuf,
    /// Where results.json and report.md go.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Three rounds instead of seven: about two minutes.
    #[arg(long)]
    quick: bool,
    /// Only works whose name contains this; may be given more than once.
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
}

fn main() -> ExitCode {
    match measure(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: Args) -> Result<()> {
    let xbr = args.xbr.to_str().context("the path of xbr is no text")?.to_owned();
    let rounds = if args.quick { 3 } else { 7 };
    let report = bench::run(&Options { xbr, rounds, only: args.only, quick: args.quick }, |row| {
        for (subject, _) in &row.figures {
            if let Some((middle, low, high)) = row.ratio(subject, &row.figures[0].0) {
                println!(
                    "{:12} {subject:16} {middle:5.2} ({low:.2} to {high:.2}) of {}",
                    row.work, row.figures[0].0
                );
            }
        }
    });
    std::fs::create_dir_all(&args.to).with_context(|| format!("cannot make {}", args.to.display()))?;
    for (name, text) in
        [("results.json", serde_json::to_string_pretty(&report)?), ("report.md", report.markdown())]
    {
        let path = args.to.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("\n{}", report.markdown());
    println!("{}", args.to.display());
    Ok(())
}
