//! The command line: one file a verb.
//!
//! Verbs that read open the pinned tables and need no controller; verbs that change something ask it. Each
//! makes its text or JSON in a pure function and prints it at once.

mod capture;
mod check;
mod completions;
mod controller;
mod doctor;
mod down;
mod fdb;
mod libvirt;
mod man;
mod mdb;
mod monitor;
mod neigh;
mod output;
mod port;
mod port_details;
mod port_words;
mod run;
mod show;
mod stats;
mod table;
mod tap;
mod top;
mod trace;
mod vlan;
mod which;

use std::{io, process::ExitCode};

use clap::{Args, CommandFactory as _, Parser, Subcommand};

pub use run::RunArgs;

use crate::{Error, Result, datapath::BridgeName};

/// An Ethernet switch for virtual machines: guests, host and the outside network are one segment, and the
/// host keeps its address on its own device.
#[derive(Debug, Parser)]
#[command(name = "xbr", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What holds for every verb.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What holds for every verb.
#[derive(Clone, Debug, Default, Args)]
pub struct Common {
    /// The bridge that is meant; not needed while this network namespace has only one
    #[arg(long, global = true, value_name = "NAME")]
    pub bridge: Option<BridgeName>,
    /// Print JSON, with the keys of `bridge -j` where it has them
    #[arg(short, long, global = true)]
    pub json: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Become a bridge, and stay until told to stop
    Run(Box<RunArgs>),
    /// List the bridges of this network namespace
    Show,
    /// Show, add or remove ports
    #[command(subcommand)]
    Port(port::PortVerb),
    /// Make or delete TAPs for guests
    #[command(subcommand)]
    Tap(tap::TapVerb),
    /// Show or change who is where
    #[command(subcommand)]
    Fdb(fdb::FdbVerb),
    /// Show or change who is in which VLAN
    #[command(subcommand)]
    Vlan(vlan::VlanVerb),
    /// Show or change who has which IP address
    #[command(subcommand)]
    Neigh(neigh::NeighVerb),
    /// Show or change who is in which multicast group
    #[command(subcommand)]
    Mdb(mdb::MdbVerb),
    /// Show what was counted for each port
    Stats(stats::StatsArgs),
    /// Print events as they happen
    Monitor,
    /// Show or write down what enters and leaves ports, in XDP too, and what became of it
    Capture(capture::CaptureArgs),
    /// Let libvirt attach the TAPs of its guests
    #[command(subcommand)]
    Libvirt(libvirt::LibvirtVerb),
    /// Take a bridge down, also one whose controller is dead
    Down(down::DownArgs),
    /// See whether a configuration file is good
    Check(check::CheckArgs),
    /// Say what this kernel, its drivers and its devices can do
    Doctor(doctor::DoctorArgs),
    /// Watch ports, rates, drops and stations
    Top(top::TopArgs),
    /// Say what would happen to a frame, and why
    Trace(trace::TraceArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write one for each verb into a folder
    Man(man::ManArgs),
}

/// The whole of `xbr`: 0 for done, 2 for bad input, 1 for everything else.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Where not even this can be said, the exit code still says it.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output has seen enough (`xbr fdb show | head`).
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let error = which::explain(error);
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

impl Cli {
    fn run(self) -> Result<()> {
        let common = &self.common;
        match self.verb {
            Verb::Run(args) => run::run(common, *args),
            Verb::Show => show::run(common),
            Verb::Port(verb) => port::run(common, verb),
            Verb::Tap(verb) => tap::run(common, verb),
            Verb::Fdb(verb) => fdb::run(common, verb),
            Verb::Neigh(verb) => neigh::run(common, verb),
            Verb::Vlan(verb) => vlan::run(common, verb),
            Verb::Mdb(verb) => mdb::run(common, verb),
            Verb::Stats(args) => stats::run(common, &args),
            Verb::Monitor => monitor::run(common),
            Verb::Capture(args) => capture::run(common, &args),
            Verb::Libvirt(verb) => libvirt::run(verb),
            Verb::Down(args) => down::run(common, args),
            Verb::Check(args) => check::run(&args),
            Verb::Doctor(args) => doctor::run(common, &args),
            Verb::Top(args) => top::run(common, &args),
            Verb::Trace(args) => trace::run(common, &args),
            Verb::Completions(args) => completions::run(&args, Cli::command()),
            Verb::Man(args) => man::run(&args, Cli::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_flags_go_before_and_after_the_verb() {
        for words in [["xbr", "-j", "--bridge=b", "show"], ["xbr", "show", "--json", "--bridge=b"]] {
            let cli = Cli::try_parse_from(words).unwrap();
            assert!(cli.common.json);
            assert_eq!(cli.common.bridge.unwrap().as_str(), "b");
        }
    }

    #[test]
    fn bad_words_exit_with_2() {
        for words in [
            vec!["xbr", "fdb", "del", "52:54:00"],
            vec!["xbr", "fdb", "show", "--vlan", "4095"],
            vec!["xbr", "vlan", "add", "dev", "vm1", "--vid", "4095"],
            vec!["xbr", "vlan", "filtering", "maybe"],
            vec!["xbr", "port", "add", "abcdefghijklmnop"],
            vec!["xbr", "--bridge", "a.b", "show"],
            vec!["xbr", "nonsense"],
        ] {
            assert_eq!(Cli::try_parse_from(&words).unwrap_err().exit_code(), 2, "{words:?}");
        }
    }
}
