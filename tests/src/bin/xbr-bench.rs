//! `cargo xtask bench`: how fast xbr is, to a Linux bridge and to the limits of the hooks.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use xbr_lab::bench::{self, Against, Options, Ovs, Refusal, Report, baseline, charts, gate};

/// Measures subjects in turns, in namespaces of its own.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", disable_help_subcommand = true)]
struct Args {
    /// The xbr to measure.
    #[arg(long, value_name = "PATH", hide = true)]
    xbr: PathBuf,
    /// The commit that it was built from.
    #[arg(long, value_name = "HASH", hide = true)]
    commit: Option<String>,
    /// Where results.json, report.md and the charts go.
    #[arg(long, value_name = "FOLDER", hide = true)]
    to: PathBuf,
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    lab: Lab,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Measure a switch of real cards, by the kernel's packet generator.
    Pktgen(bench::pktgen::Args),
}

/// What is measured in namespaces.
#[derive(Debug, clap::Args)]
struct Lab {
    /// Three rounds instead of seven: about two minutes.
    #[arg(long)]
    quick: bool,
    /// Only works whose name contains this; may be given more than once.
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// Measure xbr only against these [default: all that there are]
    #[arg(long, value_name = "SUBJECT,…", value_delimiter = ',')]
    against: Vec<Against>,
    /// Compare with the results.json of an earlier run.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Exit with 1 when a work of xbr's falls below this share of its baseline, such as 0.85.
    #[arg(long, value_name = "RATIO", requires = "baseline")]
    fail_below: Option<f64>,
    /// Measure the works of the regression gate, and exit with 1 when one has fallen below 0.85 of tests/baseline.json.
    #[arg(long, conflicts_with_all = ["quick", "only", "against", "baseline"])]
    gate: bool,
    /// Make what is measured now the gate's baseline.
    #[arg(long, requires = "gate")]
    renew: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.verb {
        Some(Verb::Pktgen(hardware)) => pktgen(&args, hardware).map(|()| ExitCode::SUCCESS),
        None if args.lab.renew => renew(&args),
        None if args.lab.gate => held(&args),
        None => measure(&args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        let Some(refusal) = error.downcast_ref::<Refusal>() else { return ExitCode::FAILURE };
        eprintln!("hint: {}", refusal.hint());
        ExitCode::from(2)
    })
}

fn pktgen(args: &Args, hardware: &bench::pktgen::Args) -> Result<()> {
    bench::pktgen::run(hardware, &args.options(3)?, &args.to)
}

impl Args {
    fn options(&self, rounds: usize) -> Result<Options> {
        let xbr = self.xbr.to_str().context("the path of xbr is no text")?.to_owned();
        let (only, against) = (self.lab.only.clone(), self.lab.against.clone());
        let (commit, quick) = (self.commit.clone(), self.lab.quick);
        Ok(Options { xbr, commit, rounds, only, quick, against, gate: false })
    }
}

fn measure(args: &Args) -> Result<ExitCode> {
    // Before anything is measured: a file that cannot be read is better known now than in five minutes.
    let then = args.lab.baseline.as_deref().map(baseline::read).transpose()?;
    if let Some(why) = Ovs::missing()
        && (args.lab.against.is_empty() || args.lab.against.contains(&Against::Ovs))
    {
        eprintln!("LEFT OUT: Open vSwitch, since {why}");
    }
    let rounds = if args.lab.quick { 3 } else { 7 };
    let report = bench::run(&args.options(rounds)?, |row| println!("{row}"));
    let mut text = report.markdown();
    if let Some(then) = then {
        let changes = baseline::changes(&report, &then);
        text.push_str(&format!("\n{}", baseline::markdown(&report, &then, &changes)));
        save(&args.to, &report, &text)?;
        println!("\n{text}\n{}", args.to.display());
        return args.lab.fail_below.map_or(Ok(ExitCode::SUCCESS), |below| compared(&changes, below));
    }
    save(&args.to, &report, &text)?;
    println!("\n{text}\n{}", args.to.display());
    Ok(ExitCode::SUCCESS)
}

/// The regression gate, as CI has it.
fn held(args: &Args) -> Result<ExitCode> {
    let then = baseline::read(&gate::file())?;
    let held = gate::hold(&args.options(gate::ROUNDS)?, &then, |said| println!("{said}"))?;
    let text = baseline::markdown(&held.report, &then, &held.changes);
    save(&args.to, &held.report, &text)?;
    println!("\n{text}\n{}", args.to.display());
    let fallen = held.fallen();
    for change in &fallen {
        eprintln!("{}: {:.2} of the baseline, twice less than {}", change.work, change.ratio(), held.kept);
    }
    Ok(if fallen.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn renew(args: &Args) -> Result<ExitCode> {
    // More rounds than a look at it has: it stays.
    let report = gate::measure(&args.options(15)?, |row| println!("{row}"));
    save(&args.to, &report, &report.markdown())?;
    let path = gate::file();
    let text = serde_json::to_string_pretty(&gate::condensed(&report))?;
    std::fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(ExitCode::SUCCESS)
}

fn compared(changes: &[baseline::Change], below: f64) -> Result<ExitCode> {
    if !changes.iter().any(|change| change.subject == "xbr") {
        return Err(Refusal::NothingInCommon.into());
    }
    let fallen = baseline::fallen(changes, below);
    for change in &fallen {
        eprintln!("{}: {:.2} of the baseline, less than {below}", change.work, change.ratio());
    }
    Ok(if fallen.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn save(to: &Path, report: &Report, text: &str) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let write = |name: &str, text: &str| {
        let path = to.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("results.json", &serde_json::to_string_pretty(report)?)?;
    write("report.md", text)?;
    for subject in ["bridge", "ceiling"] {
        if let Some(svg) = charts::ratios(report, subject)? {
            write(&format!("to-{subject}.svg"), &svg)?;
        }
    }
    Ok(())
}
