//! The switch under test, where it is on this machine.

use std::time::Duration;

use anyhow::{Result, bail};
use nix::sys::signal::Signal;

use super::{
    args::{Args, Which},
    device::{Borrowed, ip},
};
use crate::{Cleanup, Namespace, Process, unique_name, wait_until};

/// How long xbr may take to start on real cards, some of which reset their link when XDP is attached; and how long to end.
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(30);

/// Which one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// Whatever lies between the cables.
    Elsewhere,
    /// The kernel's bridge.
    Bridge,
    /// xbr.
    Xbr,
}

impl Subject {
    /// Those that have their turns.
    pub fn of(args: &Args) -> &'static [Subject] {
        match args.switch {
            None => &[Subject::Elsewhere],
            Some(Which::Bridge) => &[Subject::Bridge],
            Some(Which::Xbr) => &[Subject::Xbr],
            Some(Which::Both) => &[Subject::Bridge, Subject::Xbr],
        }
    }

    /// In the report.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Elsewhere => "switch",
            Subject::Bridge => "bridge",
            Subject::Xbr => "xbr",
        }
    }

    /// Makes it of the ports. Everything is as before when what this returns is dropped.
    pub fn start(self, ns: &Namespace, args: &Args, xbr: &str) -> Result<Running> {
        // xbr has its ports as it wants them; the bridge's come after, so that it goes before they do.
        Ok(match self {
            Subject::Elsewhere => Running::Nothing,
            Subject::Bridge => Running::Bridge(Bridge::start(ns, &args.ports)?),
            Subject::Xbr => Running::Xbr(Box::new(Xbr::start(ns, args, xbr)?)),
        })
    }
}

/// While this lives the switch forwards.
#[allow(dead_code, reason = "held until it is dropped")]
pub enum Running {
    /// Nothing of ours.
    Nothing,
    /// The kernel's.
    Bridge(Bridge),
    /// xbr.
    Xbr(Box<Xbr>),
}

/// The kernel's, as in the lab: no netfilter of its own, no snooping, no delay.
pub struct Bridge {
    ns: Namespace,
    name: String,
    _ports: Vec<Borrowed>,
}

impl Bridge {
    fn start(ns: &Namespace, ports: &[String]) -> Result<Bridge> {
        let ports: Vec<(String, Borrowed)> =
            ports.iter().map(|port| Ok((port.clone(), Borrowed::take(ns, port)?))).collect::<Result<_>>()?;
        let name = format!("xbrb{}", std::process::id());
        ip(ns, &format!("link add {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"))?;
        let (names, ports): (Vec<_>, Vec<_>) = ports.into_iter().unzip();
        let bridge = Bridge { ns: ns.clone(), name, _ports: ports };
        for port in names {
            ip(ns, &format!("link set {port} master {}", bridge.name))?;
        }
        // No more than a switch: it has no address of its own and says nothing.
        let quiet = format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", bridge.name);
        let _ = ns.run(|| std::fs::write(quiet, "1"));
        ip(ns, &format!("link set {} up", bridge.name))?;
        Ok(bridge)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if let Err(error) = ip(&self.ns, &format!("link del {}", self.name)) {
            eprintln!("the bridge {} stays: {error:#}", self.name);
        }
    }
}

/// xbr as users run it.
pub struct Xbr {
    process: Process,
    program: String,
    name: String,
    ns: Namespace,
    _cleanup: Cleanup,
    _ports: Vec<Borrowed>,
}

impl Xbr {
    fn start(ns: &Namespace, args: &Args, program: &str) -> Result<Xbr> {
        let ports = args.ports.iter().map(|port| Borrowed::take(ns, port)).collect::<Result<_>>()?;
        let name = unique_name();
        let cleanup = Cleanup::after(&name);
        let mut words = vec!["run".to_owned(), "--bridge".into(), name.clone()];
        words.extend(["--uplink".to_owned(), args.ports[0].clone()]);
        words.extend(args.ports[1..].iter().flat_map(|port| ["--port".to_owned(), port.clone()]));
        words.extend(args.xbr_options.split_whitespace().map(String::from));
        let process = Process::spawn(ns.command(program, &words));
        let (ns, program) = (ns.clone(), program.to_owned());
        let xbr = Xbr { process, program, name, ns, _cleanup: cleanup, _ports: ports };
        let ready = || xbr.process.stdout_text().lines().any(|line| line.starts_with("ready"));
        wait_until(START, || ready() || !xbr.process.is_running());
        if !ready() {
            let how = if xbr.process.is_running() { "is not ready in time" } else { "does not start" };
            bail!("`xbr {}` {how}:\n{}", words.join(" "), xbr.process.stderr_text());
        }
        Ok(xbr)
    }
}

impl Drop for Xbr {
    fn drop(&mut self) {
        self.process.signal(Signal::SIGTERM);
        if !wait_until(STOP, || !self.process.is_running()) {
            self.process.signal(Signal::SIGKILL);
        }
        // What a controller that was killed has left; one that ended has left nothing, and there is nothing to be taken down.
        let _ = self.ns.command(&self.program, ["down", "--bridge", &self.name]).output();
    }
}
