//! `xbr fdb load`: many stations from a file, in the lines of `bridge -batch`.

use std::{
    collections::HashSet,
    io::{self, Read as _},
    path::PathBuf,
};

use bridge_common::{FdbKey, Mac};
use clap::Args;

use super::{Common, Place, words::Words};
use crate::{
    Error, Refusal, Result,
    cli::{
        controller::{block_on, done, explain},
        output, which,
    },
    control::{Request, client},
    snapshot,
};

/// Addresses of one request: 18 bytes each, and a message has at most 64 KiB.
const AT_ONCE: usize = 3000;

/// Which stations to write.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The file, `-` for standard input. A line is as in `bridge -batch`: [fdb add] MAC dev PORT [vlan VID]
    /// [master] [static|sticky]; empty lines and what follows a # are passed over
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

/// Stations that have all but the address in common, in the order of their lines.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    port: String,
    vlan: u16,
    sticky: bool,
    macs: Vec<Mac>,
}

/// Writes them, or none if one of them is wrong.
pub fn run(common: &Common, args: &LoadArgs) -> Result<()> {
    let groups = parse(&read(args)?)?;
    let bridge = which::bridge(common.bridge.as_ref())?;
    let ports: std::collections::BTreeSet<String> = snapshot::names(&bridge.tables)?.into_values().collect();
    if let Some(group) = groups.iter().find(|group| !ports.contains(&group.port)) {
        let known = ports.into_iter().collect::<Vec<_>>().join(", ");
        let message = format!("the bridge has no port {}", group.port);
        return Err(Refusal::new(message, format!("it has {known}; nothing was written")).into());
    }
    // The controller refuses it too, when it has written what went before.
    let own = bridge.tables.config()?.uplink.mac();
    if groups.iter().any(|group| group.macs.contains(&own)) {
        let message = format!("{own} is the uplink's own address, which is permanent");
        return Err(Refusal::new(message, "take it out of the file; nothing was written").into());
    }
    check_room(&groups, bridge.tables.fdb_max(), || {
        Ok(bridge.tables.entries()?.into_iter().map(|station| station.key).collect())
    })?;
    let mut count = 0;
    for group in &groups {
        for macs in group.macs.chunks(AT_ONCE) {
            let reply =
                block_on(async { client::call(bridge.name(), &group.request(macs)).await.map_err(explain) });
            reply.and_then(done).map_err(|error| written(error, count))?;
            count += macs.len();
        }
    }
    output::print(&format!("{count} stations written\n"))
}

fn read(args: &LoadArgs) -> Result<String> {
    if args.file.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map_err(Error::io("read standard input"))?;
        return Ok(text);
    }
    let what = format!("read {}", args.file.display());
    std::fs::read_to_string(&args.file).map_err(|error| {
        Refusal::new(
            format!("cannot {what}: {}", crate::error::words(&error)),
            "name a file, or - for standard input",
        )
        .into()
    })
}

impl Group {
    fn request(&self, macs: &[Mac]) -> Request {
        let texts: Vec<_> = macs.iter().map(Mac::to_string).collect();
        Request::FdbLoad {
            macs: texts.join(" "),
            vlan: self.vlan,
            ifname: self.port.clone(),
            sticky: self.sticky,
        }
    }
}

/// Reads all lines before anything is written.
fn parse(text: &str) -> Result<Vec<Group>, Refusal> {
    let mut groups: Vec<Group> = Vec::new();
    // What was behind the address in the line before: mostly the same in a million lines.
    let mut last = None;
    for (line, number) in text.lines().zip(1..) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let wrong = |refusal: Refusal| Refusal {
            message: format!("line {number}: {}", refusal.message),
            hint: refusal.hint,
        };
        let (mac, rest) = station(line).map_err(wrong)?;
        if last != Some(rest) {
            groups.push(group(rest).map_err(wrong)?);
            last = Some(rest);
        }
        if let Some(group) = groups.last_mut() {
            group.macs.push(mac);
        }
    }
    Ok(groups)
}

/// The address of a line, and what is behind it.
fn station(line: &str) -> Result<(Mac, &str), Refusal> {
    let line = match line.strip_prefix("fdb ") {
        None => line,
        Some(verb) => verb.trim_start().strip_prefix("add ").ok_or_else(|| {
            Refusal::new(
                format!("{line:?} is no station to add"),
                "write fdb add MAC dev PORT [static|sticky]",
            )
        })?,
    };
    let line = line.trim_start();
    let (mac, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let hint = "a line is as in fdb add 52:54:00:75:dd:1a dev vm1 master static";
    let parsed: Mac = mac.parse().map_err(|error| Refusal::new(format!("{mac:?} is {error}"), hint))?;
    if !parsed.is_station() {
        let message = format!("{mac} is no address of one station");
        return Err(Refusal::new(message, "an entry is for a unicast address that is not zero"));
    }
    Ok((parsed, rest.trim()))
}

fn group(rest: &str) -> Result<Group, Refusal> {
    let words: Vec<_> = rest.split_whitespace().map(String::from).collect();
    let words = Words::parse(Place::default(), &words, &["static", "sticky"])?;
    let no_port = || Refusal::new("a static entry needs a port", "write dev PORT behind the address");
    Ok(Group {
        port: words.port.ok_or_else(no_port)?,
        vlan: words.vlan.unwrap_or(0),
        sticky: words.is_sticky && !words.is_static,
        macs: Vec::new(),
    })
}

/// Refuses what would not fit. Where VLANs are filtered a station has several entries, and the controller looks.
fn check_room(groups: &[Group], max: u32, entries: impl FnOnce() -> Result<HashSet<FdbKey>>) -> Result<()> {
    let max = max as usize;
    let known = entries()?;
    let more: usize = groups.iter().map(|group| group.macs.len()).sum();
    if known.len() + more <= max {
        return Ok(());
    }
    let keys =
        groups.iter().flat_map(|group| group.macs.iter().map(|mac| FdbKey { vlan: group.vlan, mac: *mac }));
    let all: HashSet<_> = keys.chain(known).collect();
    if all.len() <= max {
        return Ok(());
    }
    let message = format!("the table can hold {max} stations, and with these it would have {}", all.len());
    let hint = "flush some with xbr fdb flush, or start anew with a larger --fdb-max; nothing was written";
    Err(Refusal::new(message, hint).into())
}

/// What went before stays.
fn written(error: Error, count: usize) -> Error {
    match error {
        Error::Refused(Refusal { message, hint }) if count > 0 => Error::Controller(format!(
            "{message}; {count} stations were written before{}",
            match hint {
                Some(hint) => format!(" ({hint})"),
                None => String::new(),
            }
        )),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_bridge_and_of_xbr() {
        let text = "# who is where\n\nfdb add 52:54:00:00:00:01 dev vm1 master static\n  52:54:00:00:00:02 dev vm1 master static # two\n\
                    52:54:00:00:00:03 dev vm2 vlan 10 sticky\n";
        let mac = |last| Mac([0x52, 0x54, 0, 0, 0, last]);
        let expected = [
            Group { port: "vm1".into(), vlan: 0, sticky: false, macs: vec![mac(1), mac(2)] },
            Group { port: "vm2".into(), vlan: 10, sticky: true, macs: vec![mac(3)] },
        ];
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn a_bad_line_is_named() {
        let why = |text: &str| parse(text).unwrap_err().message;
        let good = "52:54:00:00:00:01 dev vm1\n";
        let second = why(&format!("{good}52:54:00:00:00 dev vm1"));
        assert!(second.starts_with("line 2: \"52:54:00:00:00\" is not a MAC address"), "{second}");
        assert_eq!(
            why(&format!("{good}\n{good}fdb del 52:54:00:00:00:01 dev vm1")).split(':').next(),
            Some("line 4")
        );
        assert_eq!(
            why("01:00:5e:00:00:01 dev vm1"),
            "line 1: 01:00:5e:00:00:01 is no address of one station"
        );
        assert_eq!(why("52:54:00:00:00:01"), "line 1: a static entry needs a port");
        assert_eq!(why("52:54:00:00:00:01 dev vm1 self"), "line 1: the word self is not known here");
    }

    #[test]
    fn what_does_not_fit_is_refused_and_what_is_there_counts_once() {
        let groups = parse("52:54:00:00:00:01 dev vm1\n52:54:00:00:00:02 dev vm1\n").unwrap();
        let key = |last| FdbKey { vlan: 0, mac: Mac([0x52, 0x54, 0, 0, 0, last]) };
        let check = |max, known: &[FdbKey]| check_room(&groups, max, || Ok(known.iter().copied().collect()));
        assert!(check(2, &[]).is_ok() && check(2, &[key(1)]).is_ok());
        assert!(check(2, &[key(3)]).is_err() && check(1, &[]).is_err());
    }

    #[test]
    fn a_request_fits_into_a_message() {
        let group = Group {
            port: "a-long-name-abc".into(),
            vlan: 4094,
            sticky: true,
            macs: vec![Mac::BROADCAST; AT_ONCE],
        };
        let text = serde_json::to_string(&group.request(&group.macs)).unwrap();
        assert!(text.len() + 100 < crate::control::protocol::MAX_MESSAGE, "{}", text.len());
    }
}
