//! Many stations in a switch's table.

use std::io::Write as _;
use std::process::Stdio;

use bridge_common::{FdbEntry, FdbKey, PortId, fdb::FdbFlags};
use bridge_user::{
    clock,
    datapath::{PinDir, Station, Tables},
    snapshot,
};

use crate::{Mac, Namespace, Xbr};

/// Station `number` of those that a table is filled with. [`wide_maker`](super::programs::wide_maker) makes frames for them.
pub fn crowd(number: u32) -> Mac {
    let [a, b, c, d] = number.to_be_bytes();
    Mac([2, 0, a, b, c, d])
}

/// Writes stations as if xbr had just learned them behind a port: into its pinned table, without asking the controller.
#[track_caller]
pub fn learned(bridge: &Xbr, port: &str, count: u32) {
    write(bridge, port, count, FdbFlags::default())
        .unwrap_or_else(|error| panic!("{count} stations: {error}"));
}

fn write(
    bridge: &Xbr,
    port: &str,
    count: u32,
    flags: FdbFlags,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut tables = Tables::open(&PinDir::of(&bridge.name.parse()?)?)?;
    let names = snapshot::names(&tables)?;
    let (id, _): (PortId, _) = names.into_iter().find(|(_, name)| name == port).ok_or("no such port")?;
    let entry = FdbEntry::new(id, flags, clock::monotonic());
    let station =
        |number| Station { key: FdbKey { vlan: 0, mac: bridge_common::Mac(crowd(number).0) }, entry };
    let all: Vec<_> = (0..count).map(station).collect();
    Ok(tables.set_stations(&all)?)
}

/// The lines of a batch for a Linux bridge and for xbr, which are the same ones.
pub fn lines(port: &str, count: u32) -> String {
    (0..count).map(|number| format!("fdb add {} dev {port} master static\n", crowd(number))).collect()
}

/// Writes static stations of a Linux bridge, by one `bridge -batch`.
#[track_caller]
pub fn fixed_in_bridge(ns: &Namespace, lines: &str) {
    feed(ns, "bridge", &["-batch", "-"], lines);
}

/// Writes static stations of xbr, by one `xbr fdb load`.
#[track_caller]
pub fn fixed_in_xbr(bridge: &Xbr, lines: &str) {
    let words = ["fdb", "load", "-", "--bridge", &bridge.name];
    feed(&bridge.ns, &bridge.program, &words, lines);
}

#[track_caller]
fn feed(ns: &Namespace, program: &str, words: &[&str], lines: &str) {
    let mut command = ns.command(program, words);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = command.spawn().and_then(|mut child| {
        child.stdin.take().expect("piped").write_all(lines.as_bytes())?;
        child.wait_with_output()
    });
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {errors}", words.join(" "));
}
