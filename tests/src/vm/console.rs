//! The line on which a guest carries out commands; its other end is the image's `agent`.

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::{Namespace, wait_until};

/// What the agent greets with, in the place of a status: the version of what is said on the line (`agent.sh`).
const AGENT: u32 = 2;

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its exit status.
    pub status: i32,
    /// What it printed, on either output.
    pub output: String,
}

/// Opens the abstract socket of this name. Such sockets are of a network namespace and have no file that could stay behind.
pub(super) fn connect(ns: &Namespace, name: &str) -> anyhow::Result<UnixStream> {
    let address = SocketAddr::from_abstract_name(name)?;
    let mut stream = None;
    // QEMU needs a moment until it listens.
    wait_until(Duration::from_secs(20), || {
        stream = ns.run(|| UnixStream::connect_addr(&address)).ok();
        stream.is_some()
    });
    stream.with_context(|| format!("nobody listens at @{name}"))
}

/// One command at a time; whoever asks while another asks waits.
pub(super) struct Console {
    line: Mutex<Line>,
}

struct Line {
    stream: UnixStream,
    received: Vec<u8>,
    last: u64,
}

/// What begins an answer.
#[derive(PartialEq, Eq, Debug)]
enum Head {
    /// Of the command with this number: its exit status, and the length of its output.
    Of(u64, u32, usize),
    /// A line came incomplete and was not carried out.
    Again,
}

impl Console {
    pub(super) fn new(stream: UnixStream) -> Console {
        Console { line: Mutex::new(Line { stream, received: Vec::new(), last: 0 }) }
    }

    /// Waits for the agent's first words.
    pub(super) fn wait_hello(&self, timeout: Duration) -> anyhow::Result<()> {
        let version = self.line().answer(0, "", Instant::now() + timeout)?.status;
        // An image that tests find is whatever was made last; only xtask makes it anew.
        ensure!(version == AGENT as i32, "the image is of another version: run `cargo xtask guests`");
        Ok(())
    }

    pub(super) fn run(&self, timeout: Duration, script: &str) -> anyhow::Result<Answer> {
        let mut line = self.line();
        line.last += 1;
        let number = line.last;
        // In hexadecimal, so that a script of several lines is one line.
        let code: String = script.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
        let length = number.to_string().len() + code.len();
        let command = format!("{length} {number} {code}\n");
        line.stream.write_all(command.as_bytes())?;
        line.answer(number, &command, Instant::now() + timeout)
    }

    fn line(&self) -> std::sync::MutexGuard<'_, Line> {
        // A thread that panicked while it waited left a line that is out of step only by answers that are skipped.
        self.line.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Line {
    /// The answer with this number, to `command`; what comes before it is of commands whose time was up.
    fn answer(&mut self, number: u64, command: &str, end: Instant) -> anyhow::Result<Answer> {
        loop {
            let Head::Of(got, status, bytes) = self.head(end)? else {
                self.stream.write_all(command.as_bytes())?;
                continue;
            };
            let output = self.take(bytes, end)?;
            if got == number {
                let output = String::from_utf8_lossy(&output).into_owned();
                return Ok(Answer { status: status as i32, output });
            }
            ensure!(got != 0, "the guest rebooted");
        }
    }

    /// The next line that begins an answer.
    fn head(&mut self, end: Instant) -> anyhow::Result<Head> {
        loop {
            while let Some(at) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=at).collect();
                let line = String::from_utf8_lossy(&line);
                // The firmware writes to all serial lines.
                if let Some(at) = line.find("XBR ") {
                    let words = line[at..].trim_end();
                    return head(words).with_context(|| format!("garbled: {words:?}"));
                }
            }
            self.read(end)?;
        }
    }

    fn take(&mut self, count: usize, end: Instant) -> anyhow::Result<Vec<u8>> {
        while self.received.len() < count {
            self.read(end)?;
        }
        Ok(self.received.drain(..count).collect())
    }

    fn read(&mut self, end: Instant) -> anyhow::Result<()> {
        let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        self.stream.set_read_timeout(Some(left.context("no answer in time")?))?;
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => bail!("the guest has ended"),
            Ok(count) => self.received.extend_from_slice(&buffer[..count]),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => bail!("no answer in time"),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }
}

fn head(line: &str) -> Option<Head> {
    let mut words = line.split(' ').skip(1).peekable();
    if words.peek() == Some(&"again") {
        return Some(Head::Again);
    }
    let head =
        Head::Of(words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(head)
}
