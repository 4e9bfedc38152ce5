//! QEMU's own monitor (QMP), as far as tests need it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::console;
use crate::Namespace;

/// One conversation with QEMU.
pub(super) struct Monitor {
    stream: BufReader<UnixStream>,
}

impl Monitor {
    pub(super) fn open(ns: &Namespace, name: &str) -> anyhow::Result<Monitor> {
        let stream = console::connect(ns, name)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut monitor = Monitor { stream: BufReader::new(stream) };
        monitor.read()?;
        monitor.execute("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    fn read(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        let length = self.stream.read_line(&mut line)?;
        ensure!(length > 0, "QEMU hung up");
        Ok(serde_json::from_str(&line)?)
    }

    /// Carries out a command and returns what it returned; events that come before that are nobody's.
    pub(super) fn execute(&mut self, command: &str, arguments: Value) -> anyhow::Result<Value> {
        let text = json!({"execute": command, "arguments": arguments}).to_string();
        self.stream.get_mut().write_all(text.as_bytes())?;
        loop {
            let answer = self.read()?;
            if let Some(error) = answer.get("error") {
                bail!("{command}: {error}");
            }
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
        }
    }

    /// Migrates to the QEMU that waits at `uri`, and returns how long that took.
    pub(super) fn migrate(&mut self, uri: &str) -> anyhow::Result<Duration> {
        let started = Instant::now();
        self.execute("migrate", json!({"uri": uri}))?;
        while started.elapsed() < Duration::from_secs(120) {
            let info = self.execute("query-migrate", json!({}))?;
            match info["status"].as_str().context("no status")? {
                "completed" => return Ok(started.elapsed()),
                "failed" | "cancelled" => bail!("{info}"),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        bail!("the migration does not end")
    }
}
