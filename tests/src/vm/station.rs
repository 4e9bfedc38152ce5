//! Whatever can carry out a shell command on the segment: a namespace or a guest.

use std::net::IpAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::Vm;
use crate::{Namespace, Node, Process};

/// A participant that a test drives by shell commands, so that one sentence serves guests and namespaces alike.
pub trait Station {
    /// Its name, for messages.
    fn title(&self) -> &str;

    /// Carries out a shell script and returns what it printed, on either output.
    fn shell(&self, script: &str) -> anyhow::Result<String>;

    /// Starts a shell script that goes on while the test does.
    fn start(&self, script: &str) -> anyhow::Result<Box<dyn Job + '_>>;
}

/// A script that was started.
pub trait Job {
    /// Waits for its end and returns what it printed; an error if it failed or took longer.
    fn finish(&self, timeout: Duration) -> anyhow::Result<String>;
}

impl Station for Vm {
    fn title(&self) -> &str {
        self.name()
    }

    fn shell(&self, script: &str) -> anyhow::Result<String> {
        self.sh(script)
    }

    fn start(&self, script: &str) -> anyhow::Result<Box<dyn Job + '_>> {
        static NUMBER: AtomicU16 = AtomicU16::new(0);
        let file = format!("/tmp/.job{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        // The status appears under its name when it is whole.
        self.sh(&format!("({{ ({script}) >{file} 2>&1; echo $? >{file}.new; mv {file}.new {file}.status; }} &) >/dev/null 2>&1"))?;
        Ok(Box::new(GuestJob { vm: self, file }))
    }
}

struct GuestJob<'a> {
    vm: &'a Vm,
    file: String,
}

impl Job for GuestJob<'_> {
    fn finish(&self, timeout: Duration) -> anyhow::Result<String> {
        let file = &self.file;
        let tries = crate::patience(timeout).as_millis() / 50;
        let wait = format!(
            "i=0; while [ ! -e {file}.status ] && [ $i -lt {tries} ]; do sleep 0.05; i=$((i+1)); done; \
             cat {file}; s=$(cat {file}.status) && rm -f {file} {file}.status && exit $s; echo 'not at its end'; exit 124"
        );
        self.vm.sh_within(timeout + Duration::from_secs(30), &wait)
    }
}

impl Station for Namespace {
    fn title(&self) -> &str {
        self.name()
    }

    fn shell(&self, script: &str) -> anyhow::Result<String> {
        self.start(script)?.finish(Duration::from_secs(60))
    }

    fn start(&self, script: &str) -> anyhow::Result<Box<dyn Job + '_>> {
        Ok(Box::new(NamespaceJob(Process::spawn(self.command("sh", ["-c", script])))))
    }
}

struct NamespaceJob(Process);

impl Job for NamespaceJob {
    fn finish(&self, timeout: Duration) -> anyhow::Result<String> {
        let status = self.0.wait(timeout);
        ensure!(status.success(), "{}", self.0);
        Ok(self.0.stdout_text())
    }
}

impl Station for Node {
    fn title(&self) -> &str {
        self.ns.name()
    }

    fn shell(&self, script: &str) -> anyhow::Result<String> {
        self.ns.shell(script)
    }

    fn start(&self, script: &str) -> anyhow::Result<Box<dyn Job + '_>> {
        self.ns.start(script)
    }
}

/// `a` pings `b`, and then sends it `bytes` bytes by TCP, whose checksum `b` and the test compare.
pub fn reach(a: &dyn Station, b: &dyn Station, address: IpAddr, bytes: u64) -> anyhow::Result<()> {
    let ping = a.shell(&format!("ping -c 3 -i 0.1 -w 10 {address}"));
    ping.with_context(|| format!("{} does not reach {} at {address}", a.title(), b.title()))?;
    send(a, b, address, bytes)
}

/// `a` sends `bytes` bytes by TCP to `b` at `address`. What arrived is compared by its SHA-256 with what should have been sent.
pub fn send(a: &dyn Station, b: &dyn Station, address: IpAddr, bytes: u64) -> anyhow::Result<()> {
    static PORT: AtomicU16 = AtomicU16::new(20_000);
    let port = PORT.fetch_add(1, Ordering::Relaxed);
    let what = || format!("TCP from {} to {} at {address}", a.title(), b.title());
    // The fifo that nobody closes: nc shuts the connection at the end of its input, and the sender would stop at that.
    let listen = format!(
        "d=$(mktemp -d); mkfifo $d/f; exec 3<>$d/f; rm -r $d; timeout 60 busybox nc -l -p {port} <&3 | sha256sum"
    );
    let receiver = b.start(&listen).with_context(what)?;
    // Until the receiver listens the connection is refused.
    let content = content(bytes);
    let connect = format!(
        "i=0; while [ $i -lt 100 ]; do t=$(date +%s); {content} | timeout 50 busybox nc {address} {port} && exit 0; s=$?; \
         t=$(($(date +%s) - t)); [ $t -lt 3 ] || break; sleep 0.1; i=$((i+1)); done; \
         echo attempt $i ended with $s after $t s; exit 1"
    );
    let sent = a.shell(&connect).with_context(what);
    let received = receiver.finish(Duration::from_secs(65)).with_context(what);
    if let Err(error) = sent {
        return Err(error.context(format!("the receiver: {received:?}")));
    }
    let (received, wanted) = (received?, expected(bytes)?);
    ensure!(received.trim_end() == wanted, "{}: {bytes} bytes arrived as {received}, not {wanted}", what());
    Ok(())
}

/// A command that prints this many bytes, the same everywhere: busybox itself, which guests have from this machine, over and over.
/// Under TCG anything that is computed would take longer than its transfer.
fn content(bytes: u64) -> String {
    format!("(while :; do cat /bin/busybox || exit; done) 2>/dev/null | head -c {bytes}")
}

fn expected(bytes: u64) -> anyhow::Result<String> {
    let output = Command::new("sh").arg("-c").arg(format!("{} | sha256sum", content(bytes))).output()?;
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// How many segments and datagrams with a wrong checksum the station's kernel has received, in both families.
pub fn checksum_errors(station: &dyn Station) -> anyhow::Result<u64> {
    let text = station.shell("cat /proc/net/snmp /proc/net/snmp6")?;
    let mut sum = 0;
    let mut head: Option<&str> = None;
    for line in text.lines() {
        match line.split_once(char::is_whitespace) {
            Some((name, value)) if name.ends_with("6InCsumErrors") => sum += value.trim().parse::<u64>()?,
            // /proc/net/snmp has a line of names before each line of values.
            Some((name, _)) if name.ends_with(':') => match head.take() {
                Some(names) if names.starts_with(name) => {
                    let at = names.split_whitespace().position(|name| name == "InCsumErrors");
                    let value = at.and_then(|at| line.split_whitespace().nth(at));
                    sum += value.map_or(Ok(0), str::parse::<u64>)?;
                }
                _ => head = Some(line),
            },
            _ => {}
        }
    }
    Ok(sum)
}
