//! The life of a bridge's controller: launched, killed, launched again with other words.

use std::process::ExitStatus;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::xbr::{START, STOP};
use crate::{Process, Xbr, bpffs_dir};

/// The station that is written and deleted until the monitor tells of it.
const CALL: crate::Mac = crate::Mac::numbered(0xca11);

impl Xbr {
    /// Starts the controller again without waiting for it, over what is there. The former one must be dead.
    #[track_caller]
    pub fn launch(&mut self, more: &str) {
        let arguments = self.arguments.iter().map(String::as_str).chain(more.split_whitespace());
        self.process = Process::spawn(self.ns.command(&self.program, arguments));
    }

    /// Waits until the controller that was launched is ready.
    #[track_caller]
    pub fn wait_ready(&self) {
        self.process.wait_line("ready", START);
    }

    /// From now on the controller is started with these words instead.
    pub fn reword(&mut self, words: &str) {
        self.arguments.truncate(3);
        self.arguments.extend(words.split_whitespace().map(String::from));
    }

    /// Sends a signal and gives how the controller ended.
    #[track_caller]
    pub fn end(&self, signal: Signal) -> ExitStatus {
        self.process.signal(signal);
        self.process.wait(STOP)
    }

    /// `xbr monitor -j`, which is listening when this returns.
    #[track_caller]
    pub fn monitor(&self) -> Process {
        let words = ["monitor", "-j", "--bridge", &self.name];
        let monitor = Process::spawn(self.ns.command(&self.program, words));
        let heard = crate::wait_until(START, || {
            self.text(&format!("fdb add {CALL} dev host"));
            self.text(&format!("fdb del {CALL}"));
            monitor.stdout_text().contains(&CALL.to_string())
        });
        assert!(heard, "the monitor hears nothing: {monitor}");
        monitor
    }

    /// What the pinned links hold: pin, program's tag, and whether it is attached to a device at all. Sorted.
    #[track_caller]
    pub fn attachments(&self) -> Vec<(String, String, bool)> {
        let pins = std::fs::read_dir(bpffs_dir(&self.name).join("links")).expect("links are pinned");
        let mut found: Vec<_> = pins
            .map(|pin| {
                let path = pin.expect("a pin").path();
                let link = self.bpftool(&format!("link show pinned {}", path.display()));
                let program = self.bpftool(&format!("prog show id {}", link["prog_id"]));
                let tag = program["tag"].as_str().unwrap_or_default().to_owned();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                // bpftool shows a severed link of a device that is gone as one of interface 0.
                let severed = link["ifindex"].as_u64() == Some(0) || link["devname"] == "(detached)";
                (name, tag, !severed)
            })
            .collect();
        found.sort();
        found
    }

    #[track_caller]
    fn bpftool(&self, words: &str) -> Value {
        let text = self.ns.output(&format!("bpftool -j {words}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("bpftool {words}: {error}: {text}"))
    }
}
