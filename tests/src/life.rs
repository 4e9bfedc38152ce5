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

    /// What the pinned links and the filters hold: which one, the program's tag, and whether it is attached to a device at
    /// all. Sorted.
    #[track_caller]
    pub fn attachments(&self) -> Vec<(String, String, bool)> {
        let pins = std::fs::read_dir(bpffs_dir(&self.name).join("links")).expect("links are pinned");
        let mut found: Vec<_> = pins
            .map(|pin| pin.expect("a pin").path())
            // A folder is the mark of a filter.
            .filter(|path| !path.is_dir())
            .map(|path| {
                let link = self.bpftool(&format!("link show pinned {}", path.display()));
                let program = self.bpftool(&format!("prog show id {}", link["prog_id"]));
                let tag = program["tag"].as_str().unwrap_or_default().to_owned();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                // bpftool shows a severed link of a device that is gone as one of interface 0.
                let severed = link["ifindex"].as_u64() == Some(0) || link["devname"] == "(detached)";
                (name, tag, !severed)
            })
            .collect();
        found.extend(self.filters());
        found.sort();
        found
    }

    /// The filters of this bridge: place, the program's tag, and true.
    #[track_caller]
    fn filters(&self) -> Vec<(String, String, bool)> {
        let mut found = Vec::new();
        for port in self.json("port show").as_array().expect("a list") {
            for hook in ["ingress", "egress"] {
                let place = format!("{} {hook}", port["ifname"].as_str().expect("a name"));
                // A device without a clsact qdisc has no such place, which tc tells by an error.
                let words = format!("-j filter show dev {place}");
                let listed = self.ns.command("tc", words.split(' ')).output().expect("tc");
                let listed: Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
                let ours = format!("xbr/{}", self.name);
                let filters = listed.as_array().into_iter().flatten().map(|filter| &filter["options"]);
                found.extend(filters.filter(|filter| filter["bpf_name"] == ours.as_str()).map(|filter| {
                    let tag = filter["prog"]["tag"].as_str().expect("a program");
                    (place.clone(), tag.to_owned(), true)
                }));
            }
        }
        found
    }

    #[track_caller]
    fn bpftool(&self, words: &str) -> Value {
        let text = self.ns.output(&format!("bpftool -j {words}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("bpftool {words}: {error}: {text}"))
    }
}
