//! Network namespaces that vanish with the test.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace without a name, held by a file descriptor only.
///
/// It ends with its last clone, or with the process however that ends. Only the network is another one:
/// `/sys` stays as it is, so that bpffs remains visible (and `/sys/class/net` shows the devices of the machine, not these).
#[derive(Clone)]
pub struct Namespace {
    name: Arc<str>,
    fd: Arc<OwnedFd>,
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Namespace {
    /// A new namespace whose `lo` is up. The name serves messages only.
    #[track_caller]
    pub fn new(name: &str) -> Namespace {
        // A thread of its own, because unshare moves the thread that calls it and there is no way back
        // that could not fail.
        let made = std::thread::spawn(|| -> std::io::Result<OwnedFd> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Ok(File::open("/proc/thread-self/ns/net")?.into())
        });
        let fd =
            made.join().expect("the namespace's thread").unwrap_or_else(|e| panic!("namespace {name}: {e}"));
        let namespace = Namespace { name: name.into(), fd: Arc::new(fd) };
        namespace
            .run(|| crate::device::set_up("lo"))
            .unwrap_or_else(|e| panic!("namespace {name}: lo up: {e}"));
        namespace
    }

    /// The one that this thread is in.
    pub fn current() -> std::io::Result<Namespace> {
        Self::at("here", Path::new("/proc/thread-self/ns/net"))
    }

    /// One that others have made: its name, as `ip netns` has it, or the path of its file.
    pub fn open(name: &str) -> std::io::Result<Namespace> {
        // An absolute path replaces the folder.
        Self::at(name, &Path::new("/run/netns").join(name))
    }

    fn at(name: &str, path: &Path) -> std::io::Result<Namespace> {
        Ok(Namespace { name: name.into(), fd: Arc::new(File::open(path)?.into()) })
    }

    /// The name given to [`Namespace::new`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where other processes find the namespace while this one lives; `ip link … netns` takes it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.fd.as_raw_fd()).into()
    }

    /// Runs `work` inside, in a fresh thread, and returns what it returns. Sockets that it opens
    /// belong to this namespace for good and may be used from anywhere.
    #[track_caller]
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter();
                work()
            });
            // The thread's own panic, with its own message, is the one worth seeing.
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs `work` inside, in a thread that goes on by itself.
    pub fn spawn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let namespace = self.clone();
        std::thread::spawn(move || {
            namespace.enter();
            work()
        })
    }

    fn enter(&self) {
        setns(&*self.fd, CloneFlags::CLONE_NEWNET).expect("setns");
    }

    /// A command that will run inside.
    pub fn command<A: AsRef<OsStr>>(&self, program: &str, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(program);
        command.args(args);
        let fd = self.fd.clone();
        // SAFETY: between fork and exec only the system call setns is made. The descriptor is the
        // child's own copy, still open there since close-on-exec acts at exec.
        unsafe { command.pre_exec(move || Ok(setns(&*fd, CloneFlags::CLONE_NEWNET)?)) };
        command
    }

    /// Runs a command given as words inside and returns what it printed; panics with its standard error when it fails.
    #[track_caller]
    pub fn output(&self, words: &str) -> String {
        let mut split = words.split_whitespace();
        let program = split.next().expect("a command");
        let output = self.command(program, split).stdin(Stdio::null()).output();
        self.printed(words, output)
    }

    /// `ip` with these words, as in `ns.ip("link set eth0 up")`.
    #[track_caller]
    pub fn ip(&self, words: &str) {
        self.output(&format!("ip {words}"));
    }

    /// Several `ip` commands with one process, which is what keeps the making of a segment short.
    #[track_caller]
    pub fn ip_batch<S: AsRef<str>>(&self, lines: &[S]) {
        let script: String = lines.iter().map(|line| format!("{}\n", line.as_ref())).collect();
        let mut command = self.command("ip", ["-batch", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.spawn().and_then(|mut child| {
            child.stdin.take().expect("piped").write_all(script.as_bytes())?;
            child.wait_with_output()
        });
        self.printed(&script, output);
    }

    #[track_caller]
    fn printed(&self, what: &str, output: std::io::Result<Output>) -> String {
        let output = output.unwrap_or_else(|e| panic!("{}: {what}: {e}", self.name));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {what}: {}\n{stderr}", self.name, output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Writes a sysctl, as in `ns.sysctl("net/ipv6/conf/eth0/disable_ipv6", "1")`. Slashes, since a device's name may hold a dot.
    #[track_caller]
    pub fn sysctl(&self, key: &str, value: &str) {
        // /proc/sys/net shows the namespace of whoever opens it, hence from inside.
        let written = self.run(|| std::fs::write(format!("/proc/sys/{key}"), value));
        written.unwrap_or_else(|e| panic!("{}: {key} = {value}: {e}", self.name));
    }
}
