//! libvirt in a namespace: a daemon of its own, with its own configuration, state and guests.

mod domain;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Mac, Namespace, Process, wait_until};

pub use domain::Domain;

/// How long the daemon may take to answer. It looks at every device of the machine first.
const START: Duration = Duration::from_secs(20);

/// A running libvirtd. Dropping it ends it and its guests.
pub struct Libvirt {
    process: Process,
    /// The first process of its PID namespace, as the test sees it.
    first: u32,
}

impl Libvirt {
    /// Starts libvirtd in a network namespace.
    #[track_caller]
    pub fn start(ns: &Namespace) -> Self {
        let script = include_str!("daemon.sh");
        // When unshare dies, the kernel kills its child, and with that all of the child's PID namespace.
        let words = ["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script];
        let process = Process::spawn(ns.command("unshare", words));
        let mut first = None;
        wait_until(START, || {
            first = children(process.pid()).first().copied();
            first.is_some() || !process.is_running()
        });
        let first = first.unwrap_or_else(|| panic!("libvirt does not start: {process}"));
        let libvirt = Self { process, first };
        libvirt.wait_answers();
        libvirt
    }

    #[track_caller]
    fn wait_answers(&self) {
        let socket = self.path("/run/libvirt/libvirt-sock");
        let answers = || socket.exists() && self.virsh("list").status.success() || !self.process.is_running();
        assert!(wait_until(START, answers) && self.process.is_running(), "libvirt: {}", self.process);
    }

    /// A path as libvirt sees it, for the test.
    pub fn path(&self, path: &str) -> PathBuf {
        format!("/proc/{}/root{path}", self.first).into()
    }

    /// A command that sees libvirt's files and devices.
    pub fn command(&self, program: &str, words: &str) -> Command {
        let mut command = Command::new("nsenter");
        let first = self.first.to_string();
        command.args(["--target", &first, "--mount", "--net", "--pid", program]);
        command.args(words.split_whitespace());
        command
    }

    /// `virsh` with these words.
    pub fn virsh(&self, words: &str) -> Output {
        let output = self.command("virsh", &format!("-q -c qemu:///system {words}")).output();
        output.unwrap_or_else(|error| panic!("virsh {words}: {error}"))
    }

    /// `virsh` with these words, which must succeed, and what it printed.
    #[track_caller]
    pub fn text(&self, words: &str) -> String {
        let output = self.virsh(words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "virsh {words}: {}\n{errors}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// xbr with these words, where it sees libvirt's files; it must succeed.
    #[track_caller]
    pub fn xbr(&self, program: &str, words: &str) -> String {
        let output = self.command(program, words).output();
        let output = output.unwrap_or_else(|error| panic!("{program} {words}: {error}"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "xbr {words}: {}\n{errors}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The TAP that `virsh domiflist` shows for the interface with this address.
    #[track_caller]
    pub fn tap_of(&self, mac: Mac) -> String {
        let (domains, mac) = (self.text("list --name"), mac.to_string());
        let lists: Vec<_> =
            domains.split_whitespace().map(|name| self.text(&format!("domiflist {name}"))).collect();
        let row = lists.iter().flat_map(|list| list.lines()).find(|row| row.contains(&mac));
        let tap = row.and_then(|row| row.split_whitespace().next());
        tap.unwrap_or_else(|| panic!("no TAP with {mac}: {lists:?}")).to_owned()
    }

    /// Makes something of a piece of XML: `libvirt.from_xml("net-define", "<network>…")`.
    #[track_caller]
    pub fn from_xml(&self, verb: &str, xml: &str) {
        std::fs::write(self.path("/run/libvirt/guests/xml"), xml).expect("the XML is written");
        self.text(&format!("{verb} /run/libvirt/guests/xml"));
    }

    /// Ends the daemon and waits until another has taken its place and has found its guests again, which run on.
    #[track_caller]
    pub fn restart(&self) {
        let daemon = || {
            let is_daemon = |pid: &u32| {
                std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "libvirtd\n")
            };
            children(self.first).into_iter().find(is_daemon)
        };
        let old = daemon().expect("libvirtd runs");
        kill(Pid::from_raw(old as i32), Signal::SIGTERM).expect("SIGTERM");
        let another = wait_until(START, || daemon().is_some_and(|new| new != old));
        assert!(another, "libvirtd does not come back: {}", self.process);
        self.wait_answers();
        // It answers before. A word to QEMU waits until `qemuProcessReconnect` is done; `destroy` does not.
        for guest in self.text("list --name").split_whitespace() {
            self.text(&format!("qemu-monitor-command {guest} --hmp info name"));
        }
    }
}

/// The children of a process.
fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// True when libvirt can be started here and can boot a guest; otherwise as [`require_guests`](crate::vm::require_guests).
#[track_caller]
pub fn require_libvirt() -> bool {
    if !crate::vm::require_guests(crate::vm::Kernel::V6_12) {
        return false;
    }
    let packages = [
        ("/usr/sbin/libvirtd", "libvirt-daemon"),
        ("/etc/libvirt/nwfilter", "libvirt-daemon-config-nwfilter"),
        ("/etc/libvirt/qemu.conf", "libvirt-daemon-system"),
        ("/usr/bin/virsh", "libvirt-clients"),
        ("/usr/sbin/dnsmasq", "dnsmasq-base"),
    ];
    let missing = packages.iter().find(|(file, _)| !std::path::Path::new(file).exists());
    let Some((file, package)) = missing else { return true };
    let missing = format!("{file} is not there (Debian's package {package})");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "this test cannot run: {missing}");
    crate::privileges::skip(&missing)
}
