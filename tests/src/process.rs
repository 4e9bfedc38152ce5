//! Programs under test.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

#[derive(Default)]
struct State {
    stdout: Vec<String>,
    stderr: Vec<String>,
    /// How many lines of the standard output `wait_line` has gone past.
    seen: usize,
    status: Option<ExitStatus>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds this")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }
}

/// A program that runs while the test goes on; killed when dropped, and when the test's process dies.
pub struct Process {
    pid: Pid,
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts a command, such as [`Namespace::command`](crate::Namespace::command) makes, and collects what it prints.
    #[track_caller]
    pub fn spawn(command: Command) -> Process {
        let shared = Arc::new(Shared::default());
        let (started, pid) = std::sync::mpsc::channel();
        let program = command.get_program().to_owned();
        let keeper = {
            let shared = shared.clone();
            std::thread::spawn(move || keep(command, &shared, |result| drop(started.send(result))))
        };
        let pid =
            pid.recv().expect("the keeper answers").unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        Process { pid, shared, keeper: Some(keeper) }
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw() as u32
    }

    /// Waits for a line of standard output that contains `text`, and returns it. The next call looks at the lines after it.
    #[track_caller]
    pub fn wait_line(&self, text: &str, timeout: Duration) -> String {
        let mut found = None;
        let end = self.wait_for(timeout, |state| {
            while found.is_none() && state.seen < state.stdout.len() {
                found = Some(&state.stdout[state.seen]).filter(|line| line.contains(text)).cloned();
                state.seen += 1;
            }
            found.is_some() || state.status.is_some()
        });
        found.unwrap_or_else(|| {
            let why = if end { "it ended" } else { "the time is up" };
            panic!("no line with {text:?}, and {why}: {self}")
        })
    }

    /// Sends a signal; false when the process has ended already.
    pub fn signal(&self, signal: Signal) -> bool {
        // The keeper reaps under this lock, so the number cannot belong to anyone else.
        let state = self.shared.state();
        state.status.is_none() && kill(self.pid, signal).is_ok()
    }

    /// SIGKILL, and waits until it is gone.
    #[track_caller]
    pub fn kill9(&self) {
        self.signal(Signal::SIGKILL);
        self.wait(Duration::from_secs(5));
    }

    /// Waits for the end of the process; panics when the time is up.
    #[track_caller]
    pub fn wait(&self, timeout: Duration) -> ExitStatus {
        let ended = self.wait_for(timeout, |state| state.status.is_some());
        assert!(ended, "does not end within {timeout:?}: {self}");
        self.shared.state().status.expect("just seen")
    }

    /// Asks it to end with SIGTERM and returns how it did.
    #[track_caller]
    pub fn terminate(&self, timeout: Duration) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait(timeout)
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        self.shared.state().status.is_none()
    }

    /// What it printed so far.
    pub fn stdout_text(&self) -> String {
        self.shared.state().stdout.join("\n")
    }

    /// What it said on standard error so far.
    pub fn stderr_text(&self) -> String {
        self.shared.state().stderr.join("\n")
    }

    fn wait_for(&self, timeout: Duration, mut condition: impl FnMut(&mut State) -> bool) -> bool {
        let end = Instant::now() + crate::patience(timeout);
        let mut state = self.shared.state();
        while !condition(&mut state) {
            let Some(left) = end.checked_duration_since(Instant::now()) else { return false };
            state = self.shared.changed.wait_timeout(state, left).expect("no thread panics holding this").0;
        }
        true
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.shared.state().status;
        writeln!(
            f,
            "process {} ({})",
            self.pid,
            status.map_or("running".into(), |status| status.to_string())
        )?;
        write!(f, "--- stdout\n{}\n--- stderr\n{}", self.stdout_text(), self.stderr_text())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
        if std::thread::panicking() {
            eprintln!("{self}");
        }
    }
}

/// Starts the child and stays with it. It is the child's parent **thread**, which is what its parent-death signal goes by:
/// were the child started by a short-lived thread of a test, it would die with that.
fn keep(mut command: Command, shared: &Arc<Shared>, started: impl FnOnce(std::io::Result<Pid>)) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: between fork and exec only the system call prctl is made.
    unsafe { command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?)) };
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => return started(Err(e)),
    };
    let pid = Pid::from_raw(child.id() as i32);
    let stdout = collect(child.stdout.take(), shared.clone(), |state| &mut state.stdout);
    let stderr = collect(child.stderr.take(), shared.clone(), |state| &mut state.stderr);
    started(Ok(pid));
    // Without reaping, so that the number stays the child's until `reap` holds the lock.
    let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
    // A grandchild may hold the pipes open for ever, so the last words get a moment and no more.
    crate::wait_until(Duration::from_millis(200), || stdout.is_finished() && stderr.is_finished());
    reap(&mut child, shared);
}

fn reap(child: &mut Child, shared: &Shared) {
    shared.change(|state| state.status = child.wait().ok());
}

fn collect(
    pipe: Option<impl Read + Send + 'static>,
    shared: Arc<Shared>,
    lines: fn(&mut State) -> &mut Vec<String>,
) -> JoinHandle<()> {
    let mut reader = BufReader::new(pipe.expect("piped"));
    std::thread::spawn(move || {
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            shared.change(|state| lines(state).push(text));
            line.clear();
        }
    })
}
