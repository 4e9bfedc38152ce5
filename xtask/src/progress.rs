//! Long steps: a spinner where somebody looks at a terminal, plain lines where nobody does.

use std::{
    io::{BufRead as _, BufReader, IsTerminal as _, Read},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::workspace::command_line;

/// A log without a terminal shows this often that a step is still alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);

/// How much of a failed command's output is worth showing.
const TAIL: usize = 15;

/// One step with a name, shown while it lasts.
pub struct Step {
    what: String,
    started: Instant,
    spinner: Option<ProgressBar>,
}

impl Step {
    /// Says that `what` begins.
    pub fn start(what: impl Into<String>) -> Self {
        let what = what.into();
        let spinner = std::io::stderr().is_terminal().then(|| {
            let spinner = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg:.dim}")
            {
                spinner.set_style(style);
            }
            spinner.set_prefix(what.clone());
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        if spinner.is_none() {
            eprintln!("xtask: {what} ...");
        }
        Self { what, started: Instant::now(), spinner }
    }

    /// Says that the step is done.
    pub fn done(self) {
        self.end("done");
    }

    /// Says that the step did not work and that this is no error yet.
    pub fn gave_up(self, why: &str) {
        self.end(why);
    }

    fn end(self, how: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        eprintln!("xtask: {}: {how} ({:.1} s)", self.what, self.started.elapsed().as_secs_f32());
    }

    /// Runs a command with its output shown in one line; an error carries the end of it.
    pub fn run(&self, command: &mut Command) -> Result<()> {
        let name = command_line(command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run `{name}`"))?;
        let (send, lines) = mpsc::channel();
        if let Some(out) = child.stdout.take() {
            forward(out, send.clone());
        }
        if let Some(err) = child.stderr.take() {
            forward(err, send);
        }
        let output = self.follow(&lines);
        let status = child.wait().with_context(|| format!("cannot wait for `{name}`"))?;
        if !status.success() {
            let tail = &output[output.len().saturating_sub(TAIL)..];
            bail!("`{name}` failed ({status}); it said last:\n  {}", tail.join("\n  "));
        }
        Ok(())
    }

    /// Shows the lines until the command has closed its output.
    fn follow(&self, lines: &mpsc::Receiver<String>) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let mut shown = Instant::now();
        loop {
            match lines.recv_timeout(Duration::from_secs(1)) {
                Ok(line) => {
                    if let Some(spinner) = &self.spinner {
                        spinner.set_message(line.trim().to_owned());
                    }
                    all.push(line);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return all,
            }
            if self.spinner.is_none() && shown.elapsed() >= SIGN_OF_LIFE {
                shown = Instant::now();
                let last = all.last().map_or("", |line| line.trim());
                eprintln!("xtask:   {} s: {last}", self.started.elapsed().as_secs());
            }
        }
    }
}

/// Sends each line of `from`, also one that is no UTF-8.
fn forward(from: impl Read + Send + 'static, to: mpsc::Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            // A receiver that is gone needs no more lines; the pipe must be drained all the same.
            let _ = to.send(String::from_utf8_lossy(&line).into_owned());
        }
    });
}
