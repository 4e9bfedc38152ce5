//! Throughput between two stations, by iperf3.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::Context as _;

use super::Station;

/// Bulk TCP from `a` to `b` at `address` for some seconds; what arrived, in bits a second.
pub fn throughput(a: &dyn Station, b: &dyn Station, address: IpAddr, seconds: u32) -> anyhow::Result<f64> {
    static PORT: AtomicU16 = AtomicU16::new(30_000);
    let port = PORT.fetch_add(1, Ordering::Relaxed);
    // What it says is the client's to tell, and it may outlast the client; its port is nobody else's.
    let _server = b.start(&format!("timeout {} iperf3 -s -1 -p {port} >/dev/null", seconds + 40))?;
    // Until the server listens the connection is refused, of which iperf3's exit status says nothing. The first second is slow
    // start and is left out.
    let client = format!(
        "i=0; while [ $i -lt 100 ]; do o=$(iperf3 -J -O 1 -t {seconds} -p {port} -c {address}); \
         case $o in *refused*) sleep 0.1; i=$((i+1));; *) break;; esac; done; echo \"$o\""
    );
    let text = a.start(&client)?.finish(Duration::from_secs(u64::from(seconds) + 60));
    let text = text.with_context(|| format!("iperf3 from {} to {}", a.title(), b.title()))?;
    let report: serde_json::Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    report["end"]["sum_received"]["bits_per_second"].as_f64().context(text)
}
