//! Real guests: Debian's kernels under QEMU.
//!
//! A [`Vm`] is one QEMU whose TAPs are in a namespace of the lab, and a console on which it carries out shell commands:
//!
//! ```no_run
//! use xbr_lab::{GuestKind, Segment, Xbr, vm::{Kernel, Nic, Vm}};
//!
//! let segment = Segment::builder().build();
//! let vm = Vm::builder("vm1").kernel(Kernel::Newest).nic(Nic::tap("vm1")).start(&segment.host().ns);
//! vm.sh("/sbin/ip address add 10.77.0.11/24 dev eth0").unwrap();
//! ```
//!
//! The images are made by `cargo xtask guests` and cached. Debian's busybox prefers its own applets to programs of the same
//! name, so scripts for guests write `/sbin/ip` for that of iproute2.

mod builder;
mod console;
mod image;
mod inside;
mod iperf;
mod monitor;
mod nic;
mod seat;
mod station;
mod watch;

use std::fmt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

pub use builder::{KERNEL_WORDS, VmBuilder};
pub use console::Answer;
pub use image::{Kernel, full, require_full, require_guests};
pub use inside::Inside;
pub use iperf::throughput;
pub use nic::Nic;
pub use seat::{Member, Seat, all_reach};
pub use station::{Job, Station, checksum_errors, reach, send};
pub use watch::{Seen, Watch};

use crate::{Namespace, Process, patience};
use console::Console;

/// How long a guest may take to its first sign of life, times the machine's slowness: 3 s on an idle one, and tests run side by side.
const BOOT: Duration = Duration::from_secs(90);

/// How long a command may take unless the caller says otherwise, times the machine's slowness.
const COMMAND: Duration = Duration::from_secs(60);

/// A guest that runs; it ends when this is dropped, or with the test's process.
pub struct Vm {
    name: String,
    console: Console,
    runner: Runner,
}

/// What a guest runs in.
enum Runner {
    /// A QEMU of ours.
    Qemu(Qemu),
    /// Somebody else's, who knows where its kernel's console is.
    Elsewhere(PathBuf),
}

struct Qemu {
    process: Process,
    ns: Namespace,
    /// Where its monitor listens.
    monitor: String,
    incoming: Option<String>,
    /// The archive on its first disk is open as long as QEMU may open it again.
    _files: Option<std::fs::File>,
}

impl fmt::Display for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Runner::Qemu(qemu) => qemu.process.fmt(f),
            Runner::Elsewhere(log) => f.write_str(&std::fs::read_to_string(log).unwrap_or_default()),
        }
    }
}

impl Vm {
    /// A guest that somebody else runs: its agent's line, and the file with its kernel's console.
    pub(crate) fn elsewhere(name: &str, line: UnixStream, log: PathBuf) -> Vm {
        let (name, console) = (name.to_owned(), Console::new(line));
        Vm { name, console, runner: Runner::Elsewhere(log) }
    }

    /// A guest to be configured.
    pub fn builder(name: &str) -> VmBuilder {
        VmBuilder::new(name)
    }

    /// Its name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// QEMU; its standard output is the guest kernel's console. A guest of libvirt's has none that is ours.
    #[track_caller]
    pub fn qemu(&self) -> &Process {
        &self.ours().unwrap_or_else(|error| panic!("{error}")).process
    }

    fn ours(&self) -> anyhow::Result<&Qemu> {
        match &self.runner {
            Runner::Qemu(qemu) => Ok(qemu),
            Runner::Elsewhere(_) => anyhow::bail!("{} does not run in a QEMU of ours", self.name),
        }
    }

    /// Carries out a shell script and returns what it printed; an error if it failed or took more than a minute.
    pub fn sh(&self, script: &str) -> anyhow::Result<String> {
        self.sh_within(COMMAND, script)
    }

    /// The same with another limit, which is that of the machine that the lab is meant for.
    pub fn sh_within(&self, timeout: Duration, script: &str) -> anyhow::Result<String> {
        let answer = self.run(timeout, script)?;
        anyhow::ensure!(
            answer.status == 0,
            "{}: `{script}` ended with {}:\n{}",
            self.name,
            answer.status,
            answer.output
        );
        Ok(answer.output)
    }

    /// Carries out a shell script and returns how it ended; an error only if the guest does not answer.
    pub fn run(&self, timeout: Duration, script: &str) -> anyhow::Result<Answer> {
        use anyhow::Context as _;
        self.console
            .run(patience(timeout), script)
            .with_context(|| format!("{}: `{script}`\n{}", self.name, self.runner))
    }

    /// Moves the running guest into `to`, which was started with [`VmBuilder::incoming`]; QEMU announces it there. Returns how long it
    /// took. Its memory came along, so it is `to` that answers from now on.
    pub fn migrate(&self, to: &Vm) -> anyhow::Result<Duration> {
        use anyhow::Context as _;
        let uri = to.ours()?.incoming.as_ref().with_context(|| format!("{} awaits nobody", to.name))?;
        let qemu = self.ours()?;
        monitor::Monitor::open(&qemu.ns, &qemu.monitor)?.migrate(uri)
    }

    /// Waits until the guest's agent says that it is there: after the start, and after each reboot.
    #[track_caller]
    pub fn wait_ready(&self) {
        if let Err(error) = self.console.wait_hello(patience(BOOT)) {
            panic!("{} does not boot: {error}\n{}", self.name, self.runner);
        }
    }
}
