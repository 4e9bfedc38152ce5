//! xbr on a segment: started, asked and stopped as a user would.

use std::process::Output;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{Cleanup, Namespace, Process, Segment, TapsBy, unique_name, wait_until};

/// How long a start may take before the test fails. Verifying the programs takes most of it.
pub(crate) const START: Duration = Duration::from_secs(20);
/// How long taking everything down may take.
pub(crate) const STOP: Duration = Duration::from_secs(10);

/// A running bridge. Dropping it kills the controller and removes what it pinned.
pub struct Xbr {
    /// The controller.
    pub process: Process,
    /// The bridge's name, which no other test has.
    pub name: String,
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) ns: Namespace,
    // Last: what was pinned goes when the controller is dead.
    _cleanup: Cleanup,
}

impl Xbr {
    /// Starts `program run` in the segment's host namespace: uplink `eth0`, every guest's port with `--tap` or
    /// `--port`, and the words of `more`. To be used as the hook of [`Segment::start`].
    #[track_caller]
    pub fn start(program: &str, segment: &Segment, more: &str) -> Self {
        let taps: Vec<_> = segment.taps().collect();
        let ports = segment.ports().map(|port| {
            let flag = if taps.contains(&port) { "--tap" } else { "--port" };
            format!("{flag} {port}")
        });
        let ports: Vec<_> = ports.collect();
        Self::run(program, &segment.host().ns, &format!("--uplink eth0 {} {more}", ports.join(" ")))
    }

    /// [`Xbr::start`] on a segment whose TAPs xbr makes itself, until every port forwards: the controller hears a moment after the
    /// kernel that a guest is there.
    #[track_caller]
    pub fn on(program: &str, segment: &mut Segment, more: &str) -> Self {
        let bridge = segment.start(TapsBy::Switch, |segment| Self::start(program, segment, more));
        bridge.wait_forwarding();
        bridge
    }

    /// Waits until every port forwards.
    #[track_caller]
    pub fn wait_forwarding(&self) {
        let forward = |rows: &Value| {
            rows.as_array().is_some_and(|rows| rows.iter().all(|row| row["state"] == "forwarding"))
        };
        assert!(
            wait_until(Duration::from_secs(3), || forward(&self.json("port show"))),
            "not every port forwards:\n{}",
            self.text("port show")
        );
    }

    /// Starts `program run` with a bridge name of its own and these words, and waits until it is ready.
    #[track_caller]
    pub fn run(program: &str, ns: &Namespace, words: &str) -> Self {
        let name = unique_name();
        let cleanup = Cleanup::after(&name);
        let arguments: Vec<String> = ["run", "--bridge", &name]
            .into_iter()
            .chain(words.split_whitespace())
            .map(String::from)
            .collect();
        let process = Process::spawn(ns.command(program, &arguments));
        process.wait_line("ready", START);
        Self { process, name, program: program.into(), arguments, ns: ns.clone(), _cleanup: cleanup }
    }

    /// Runs a verb to its end: `bridge.verb("fdb show")`.
    pub fn verb(&self, words: &str) -> Output {
        let arguments = words.split_whitespace().chain(["--bridge", &self.name]);
        let output = self.ns.command(&self.program, arguments).output();
        output.unwrap_or_else(|error| panic!("cannot run {} {words}: {error}", self.program))
    }

    /// Runs a verb that must succeed and gives what it printed.
    #[track_caller]
    pub fn text(&self, words: &str) -> String {
        let output = self.verb(words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "xbr {words} failed with {}: {errors}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a verb with `-j` and parses what it printed.
    #[track_caller]
    pub fn json(&self, words: &str) -> Value {
        let text = self.text(&format!("{words} -j"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("xbr {words} -j: {error}: {text}"))
    }

    /// The row of one port in `xbr stats -j`.
    #[track_caller]
    pub fn stats(&self, port: &str) -> Value {
        self.row("stats", port)
    }

    /// The row of one port in `xbr port show -j`.
    #[track_caller]
    pub fn port(&self, port: &str) -> Value {
        self.row("port show", port)
    }

    #[track_caller]
    fn row(&self, words: &str, port: &str) -> Value {
        let rows = self.json(words);
        let row = rows.as_array().and_then(|rows| rows.iter().find(|row| row["ifname"] == port)).cloned();
        row.unwrap_or_else(|| panic!("xbr {words} has no row for {port}: {rows}"))
    }

    /// The station with this address in `xbr fdb show -j`, if it is there.
    #[track_caller]
    pub fn station(&self, mac: impl ToString) -> Option<Value> {
        let mac = mac.to_string();
        let rows = self.json("fdb show");
        rows.as_array().and_then(|rows| rows.iter().find(|row| row["mac"] == mac.as_str())).cloned()
    }

    /// SIGTERM, and the wait for a good end.
    #[track_caller]
    pub fn stop(self) {
        self.process.signal(Signal::SIGTERM);
        let status = self.process.wait(STOP);
        assert!(status.success(), "xbr ended with {status}: {}", self.process.stderr_text());
    }

    /// SIGKILL: the kernel forwards on.
    pub fn kill(&self) {
        self.process.kill9();
    }

    /// Starts the controller again with the words that it was started with, and `more`.
    #[track_caller]
    pub fn restart(&mut self, more: &str) {
        let arguments = self.arguments.iter().map(String::as_str).chain(more.split_whitespace());
        self.process = Process::spawn(self.ns.command(&self.program, arguments));
        self.process.wait_line("ready", START);
    }
}
