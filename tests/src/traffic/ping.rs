//! `ping`, the program, since it checks more than a socket of ours would.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::Namespace;

/// A ping in the making: `Ping::from(&ns).count(20).size(8000).to(addr)`.
pub struct Ping<'a> {
    ns: &'a Namespace,
    count: u32,
    timeout: Duration,
    size: u32,
    whole: bool,
}

/// What came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PingReport {
    /// Requests sent.
    pub sent: u32,
    /// Answers received, each once.
    pub received: u32,
    /// Answers that came more than once.
    pub duplicates: u32,
}

impl<'a> Ping<'a> {
    /// A ping from this namespace: 3 requests at once, 56 bytes of data, 1 s for the answers.
    pub fn from(ns: &'a Namespace) -> Self {
        Ping { ns, count: 3, timeout: Duration::from_secs(1), size: 56, whole: false }
    }

    /// How many requests.
    pub fn count(mut self, count: u32) -> Self {
        self.count = count;
        self
    }

    /// How long to wait for the answers.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many bytes of data in each.
    pub fn size(mut self, size: u32) -> Self {
        self.size = size;
        self
    }

    /// Never in fragments.
    pub fn whole(mut self) -> Self {
        self.whole = true;
        self
    }

    /// Sends, and counts what comes back. No answer at all is a report too, not an error.
    pub fn report(self, addr: impl Into<IpAddr>) -> Result<PingReport> {
        let addr = addr.into();
        // All at once (`-l`), because ping waits for a late answer no longer than the interval, so that has to be long. `-w` is no
        // way out: with a deadline, ping goes on sending until that many answers have come.
        let timeout = crate::patience(self.timeout).as_secs_f64().to_string();
        let count = self.count.to_string();
        let size = self.size.to_string();
        let mut args =
            vec!["-n", "-q", "-c", &count, "-l", &count, "-i", &timeout, "-W", &timeout, "-s", &size];
        if self.whole {
            args.extend(["-M", "do"]);
        }
        let to = addr.to_string();
        args.push(&to);
        let output = self.ns.command("ping", &args).output().context("ping")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let what =
            || format!("ping {} → {addr}: {text}{}", self.ns.name(), String::from_utf8_lossy(&output.stderr));
        let number = |label: &str| {
            let before = text.split(label).next().filter(|before| before.len() < text.len())?;
            before.rsplit([' ', '+', '\n']).find(|word| !word.is_empty())?.parse().ok()
        };
        Ok(PingReport {
            sent: number(" packets transmitted").with_context(what)?,
            received: number(" received").with_context(what)?,
            duplicates: number(" duplicates").unwrap_or(0),
        })
    }

    /// Sends, and wants every answer exactly once.
    pub fn to(self, addr: impl Into<IpAddr>) -> Result<()> {
        let (addr, name) = (addr.into(), self.ns.name().to_owned());
        let wanted = PingReport { sent: self.count, received: self.count, duplicates: 0 };
        let report = self.report(addr)?;
        ensure!(report == wanted, "ping {name} → {addr}: {report:?}");
        Ok(())
    }
}

/// Three pings that all come back, once; see [`Ping`].
pub fn ping(from: &Namespace, addr: impl Into<IpAddr>) -> Result<()> {
    Ping::from(from).to(addr)
}
