//! A client for `/metrics`, and the little of Prometheus' text format that it takes to compare numbers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::Namespace;

/// What was scraped.
pub struct Metrics(String);

impl Metrics {
    /// Asks the server at `address` of the namespace.
    pub fn scrape(ns: &Namespace, address: &str) -> Result<Metrics> {
        let address: SocketAddr = address.parse()?;
        let mut stream = ns
            .run(|| TcpStream::connect_timeout(&address, Duration::from_secs(3)))
            .with_context(|| format!("connect to {address}"))?;
        stream.set_read_timeout(Some(crate::patience(Duration::from_secs(3))))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        ensure!(text.starts_with("HTTP/1.1 200"), "{text}");
        Ok(Metrics(text))
    }

    /// The sample of this family whose labels contain all of these; it must be the only one.
    pub fn value(&self, family: &str, labels: &[(&str, &str)]) -> Result<u64> {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let fits = |line: &&str| {
            let of_family = line.strip_prefix(family).is_some_and(|rest| rest.starts_with(['{', ' ']));
            of_family && labels.iter().all(|label| line.contains(label))
        };
        let found: Vec<_> = self.0.lines().filter(fits).collect();
        ensure!(found.len() == 1, "{family} {labels:?}: {found:?}");
        let number = found[0].rsplit(' ').next().expect("a word");
        number.parse().with_context(|| found[0].to_owned())
    }
}
