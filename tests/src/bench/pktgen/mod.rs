//! `cargo xtask bench pktgen`: throughput at zero loss, loss by rate and CPU time of a switch of real cards, RFC 2544 style.
//!
//! Frames are made by the kernel's own generator and counted where they arrive. Latency is not measured: pktgen stamps a frame when it
//! makes it and then waits for its turn, so that under a set rate the stamp is of the wrong moment.

mod args;
mod cost;
mod curve;
mod device;
mod generator;
mod plan;
mod results;
mod search;
mod sink;
mod stream;
mod switch;

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

pub use args::{Args, Which};
use generator::Generator;
use plan::Plan;
use results::{Curve, Results, Search};
use search::{Limits, Trial};
use sink::Sink;
use switch::{Running, Subject};

use super::{Machine, Options};
use device::Borrowed;

/// Set by SIGINT and SIGTERM.
static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: i32) {
    STOP.store(true, Ordering::Relaxed);
}

/// Whether the user has had enough: what was borrowed is given back first.
fn interrupted() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Measures what the arguments say, writes it to the folder `to`, and prints the table.
pub fn run(args: &Args, options: &Options, to: &Path) -> Result<()> {
    let plan = Plan::make(args)?;
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the handler stores to an atomic and does nothing else.
        unsafe { sigaction(signal, &action) }.context("cannot watch for signals")?;
    }
    let bench = Bench::set_up(args, plan, &options.xbr)?;
    let machine = Machine::here(&options.xbr, options.commit.clone(), args.rounds);
    let mut results = Results { command: std::env::args().skip(1).collect(), ..Results::default() };
    results.report.machine = Some(machine);
    bench.measure(&mut results)?;
    drop(bench);
    results.settle();
    results.save(to)?;
    println!("\n{}\n{}", results.markdown(), to.display());
    Ok(())
}

/// Everything that stays the same between trials.
struct Bench<'a> {
    args: &'a Args,
    plan: Plan,
    xbr: &'a str,
    limits: Limits,
    sink: Sink,
    senders: Vec<Borrowed>,
}

impl<'a> Bench<'a> {
    fn set_up(args: &'a Args, plan: Plan, xbr: &'a str) -> Result<Self> {
        let sink = Sink::open(&plan.sink_ns, &args.sink)?;
        let senders =
            args.dev.iter().map(|device| Borrowed::take(&plan.ns, device)).collect::<Result<_>>()?;
        let limits = Limits { resolution: args.resolution, accept_loss: args.accept_loss };
        Ok(Bench { args, plan, xbr, limits, sink, senders })
    }

    fn measure(&self, results: &mut Results) -> Result<()> {
        for &size in &self.args.size {
            for round in 1..=self.args.rounds {
                for &subject in Subject::of(self.args) {
                    self.turn(subject, size, round, results)?;
                }
            }
        }
        Ok(())
    }

    /// One switch, one length, one round; the curve only once, since it takes as long as a search.
    fn turn(&self, subject: Subject, size: u32, round: usize, results: &mut Results) -> Result<()> {
        let _running = self.start(subject)?;
        let streams = self.plan.streams(self.args, size);
        let asked = self.args.clone.is_some() || self.args.burst.is_some();
        let generator = Generator::set_up(streams, asked)?;
        let switch = subject.name();
        println!("frames of {size} bytes, {switch}, round {round}");
        let found = search::throughput(&self.limits, |rate| self.trial(&generator, subject, rate))?;
        let cpu = found.best(&self.limits).and_then(|trial| trial.cpu);
        let highest = found.trials[0].offered;
        results.searches.push(Search { switch: switch.into(), size, round, cpu, found });
        if round == 1 && self.args.curve > 0 {
            let points = search::steps(highest, self.args.curve).into_iter();
            let points =
                points.map(|rate| self.trial(&generator, subject, Some(rate))).collect::<Result<_>>()?;
            results.curves.push(Curve { switch: switch.into(), size, points });
        }
        Ok(())
    }

    fn start(&self, subject: Subject) -> Result<Running> {
        let running = subject.start(&self.plan.ns, self.args, self.xbr)?;
        // A port that has just come up, or got its XDP program, may take its peer's carrier away for a while.
        self.sink.wait_carrier()?;
        for sender in &self.senders {
            sender.wait_carrier()?;
        }
        self.introduce()?;
        Ok(running)
    }

    fn introduce(&self) -> Result<()> {
        self.sink.introduce(self.plan.destinations(self.args), plan::sources(0, self.args).0)
    }

    fn trial(&self, generator: &Generator, subject: Subject, rate: Option<f64>) -> Result<Trial> {
        // Each time: stations age while others are measured.
        self.introduce()?;
        let here = subject != Subject::Elsewhere;
        let before = (self.sink.settled()?, stat(here)?);
        let sent = generator.send(rate, Duration::from_secs_f64(self.args.seconds))?;
        let after = (self.sink.settled()?, stat(here)?);
        if interrupted() {
            bail!("interrupted; everything is as it was before");
        }
        let frames: u64 = sent.iter().map(|sent| sent.frames).sum();
        let offered = sent.iter().filter(|sent| sent.micros > 0);
        let offered: f64 = offered.map(|sent| sent.frames as f64 / (sent.micros as f64 / 1e6)).sum();
        if frames == 0 {
            bail!("pktgen sent nothing: are the devices up, with their cables plugged in?");
        }
        let received = after.0.frames.saturating_sub(before.0.frames);
        let ticks = cost::taken(&before.1, &after.1, &self.plan.cpus);
        let cpu = here.then(|| cost::each(ticks, ticks_a_second(), received)).flatten();
        let sink_lost = after.0.lost.saturating_sub(before.0.lost);
        let trial = Trial { asked: rate, offered, sent: frames, received, sink_lost, cpu };
        println!("  {:>12.0} frames/s sent, {:>7.3} % lost", trial.offered, trial.loss() * 100.0);
        Ok(trial)
    }
}

/// CPU time so far, where it is the switch's.
fn stat(here: bool) -> Result<cost::Cpus> {
    if !here {
        return Ok(cost::Cpus::new());
    }
    Ok(cost::read(&std::fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?))
}

fn ticks_a_second() -> u64 {
    let known = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
    known.and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(100)
}
