//! `xbr fdb load`: many stations from a file, in the lines of `bridge -batch`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::PathBuf,
};

use bridge_common::Mac;
use clap::Args;

use super::{Common, Place, words::Words};
use crate::{
    Error, Refusal, Result,
    cli::{
        controller::{block_on, done, explain},
        output, which,
    },
    control::{
        Reply, Request,
        client::{self, Connection},
        protocol::{FdbPart, FdbRun},
    },
    datapath::BridgeName,
    link::InterfaceName,
};

/// Bytes of one part, about: a message has at most 64 KiB.
const AT_ONCE: usize = 60_000;
/// What an address takes of it, and the rest of a run.
const OF_ADDRESS: usize = 12;
const OF_RUN: usize = 100;
/// Read at once.
const BUFFER: usize = 1 << 18;

/// Which stations to write.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The file, `-` for standard input. A line is as in `bridge -batch`: [fdb add] MAC dev PORT [vlan VID]
    /// [master] [static|sticky]; empty lines and what follows a # are passed over
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

/// Writes them, or none if one of them is wrong. What is read is sent at once, so that the controller reads it meanwhile; it writes nothing
/// before it has all.
pub fn run(common: &Common, args: &LoadArgs) -> Result<()> {
    let (what, input) = open(args)?;
    let mut parts = Parts::of(input, what);
    let first = parts.next()?;
    let bridge = which::bridge(common.bridge.as_ref())?;
    if let Some(first) = first {
        let reply = block_on(send(bridge.name(), first, &mut parts))?;
        done(reply).map_err(nothing_written)?;
    }
    output::print(&format!("{} stations written\n", parts.count))
}

async fn send(bridge: &BridgeName, first: FdbPart, parts: &mut Parts) -> Result<Reply> {
    let mut connection = Connection::open(bridge).await.map_err(explain)?;
    let mut part = first;
    loop {
        let next = parts.next()?;
        part.more = next.is_some();
        if let Err(error) = connection.say(&Request::FdbLoad(part)).await {
            // It may have said why it listens no more.
            return connection.answer().await.map_err(|_: client::Error| explain(error));
        }
        match next {
            Some(next) => part = next,
            None => return connection.answer().await.map_err(explain),
        }
    }
}

fn open(args: &LoadArgs) -> Result<(String, Box<dyn BufRead>)> {
    if args.file.as_os_str() == "-" {
        let input = BufReader::with_capacity(BUFFER, io::stdin());
        return Ok(("read standard input".into(), Box::new(input)));
    }
    let what = format!("read {}", args.file.display());
    match File::open(&args.file) {
        Ok(file) => Ok((what, Box::new(BufReader::with_capacity(BUFFER, file)))),
        Err(error) => Err(unreadable(&what, &error).into()),
    }
}

fn unreadable(what: &str, error: &io::Error) -> Refusal {
    let message = format!("cannot {what}: {}", crate::error::words(error));
    Refusal::new(message, "name a file, or - for standard input")
}

fn nothing_written(error: Error) -> Error {
    match error {
        Error::Refused(Refusal { message, hint }) => {
            let hint = hint
                .map_or_else(|| "nothing was written".into(), |hint| format!("{hint}; nothing was written"));
            Refusal::new(message, hint).into()
        }
        other => other,
    }
}

/// The lines of a file, as messages.
struct Parts {
    input: Box<dyn BufRead>,
    /// What is done with it, for errors.
    what: String,
    /// Stations so far.
    count: usize,
    /// Lines so far.
    lines: usize,
    /// What was behind the address in the line before, mostly the same in a million lines, and what that says.
    last: Option<(String, FdbRun)>,
}

impl Parts {
    fn of(input: Box<dyn BufRead>, what: String) -> Self {
        Self { input, what, count: 0, lines: 0, last: None }
    }

    /// The next part; none at the end.
    fn next(&mut self) -> Result<Option<FdbPart>> {
        let mut runs: Vec<FdbRun> = Vec::new();
        let (mut size, mut line) = (0, String::new());
        while size < AT_ONCE {
            line.clear();
            let length = self.input.read_line(&mut line).map_err(|error| unreadable(&self.what, &error))?;
            if length == 0 {
                break;
            }
            self.lines += 1;
            let number = self.lines;
            let wrong = |refusal: Refusal| Refusal {
                message: format!("line {number}: {}", refusal.message),
                hint: refusal.hint,
            };
            let text = line.split_once('#').map_or(line.as_str(), |(text, _)| text).trim();
            if text.is_empty() {
                continue;
            }
            let (mac, rest) = station(text).map_err(wrong)?;
            let is_new = self.last.as_ref().is_none_or(|(last, _)| last != rest);
            if is_new {
                self.last = Some((rest.into(), empty_run(rest).map_err(wrong)?));
            }
            if let Some((_, empty)) = &self.last
                && (is_new || runs.is_empty())
            {
                runs.push(empty.clone());
                size += OF_RUN;
            }
            if let Some(run) = runs.last_mut() {
                run.macs.0.push(mac);
            }
            self.count += 1;
            size += OF_ADDRESS;
        }
        Ok((!runs.is_empty()).then_some(FdbPart { runs, more: false }))
    }
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
    Ok((parsed, rest.trim_start()))
}

fn empty_run(rest: &str) -> Result<FdbRun, Refusal> {
    let words: Vec<_> = rest.split_whitespace().map(String::from).collect();
    let words = Words::parse(Place::default(), &words, &["static", "sticky"])?;
    let no_port = || Refusal::new("a static entry needs a port", "write dev PORT behind the address");
    let ifname = words.port.ok_or_else(no_port)?;
    // A name of any length would not fit into a message.
    ifname.parse::<InterfaceName>().map_err(|error| Refusal::new(error.to_string(), error.hint()))?;
    Ok(FdbRun {
        macs: Default::default(),
        vlan: words.vlan.unwrap_or(0),
        ifname,
        sticky: words.is_sticky && !words.is_static,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Macs, protocol::MAX_MESSAGE};

    fn parse(text: &str) -> Result<Vec<FdbPart>> {
        let mut parts = Parts::of(Box::new(io::Cursor::new(text.to_string())), "read".into());
        std::iter::from_fn(|| parts.next().transpose()).collect()
    }

    fn mac(last: u8) -> Mac {
        Mac([0x52, 0x54, 0, 0, 0, last])
    }

    #[test]
    fn lines_of_bridge_and_of_xbr() {
        let text = "# who is where\n\nfdb add 52:54:00:00:00:01 dev vm1 master static\n  52:54:00:00:00:02 dev vm1 master static # two\n\
                    52:54:00:00:00:03 dev vm2 vlan 10 sticky\n";
        let run = |ifname: &str, vlan, sticky, macs| FdbRun {
            macs: Macs(macs),
            vlan,
            ifname: ifname.into(),
            sticky,
        };
        let runs = vec![run("vm1", 0, false, vec![mac(1), mac(2)]), run("vm2", 10, true, vec![mac(3)])];
        assert_eq!(parse(text).unwrap(), [FdbPart { runs, more: false }]);
        assert_eq!(parse("").unwrap(), []);
        assert_eq!(parse("# nobody\n").unwrap(), []);
    }

    #[test]
    fn a_bad_line_is_named() {
        let why = |text: &str| match parse(text).unwrap_err() {
            Error::Refused(refusal) => refusal.message,
            other => panic!("{other}"),
        };
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
        let long = why("52:54:00:00:00:01 dev a-name-of-sixteen");
        assert!(long.starts_with("line 1: the interface name"), "{long}");
        assert!(why(&good.repeat(20_000).replacen("vm1", "vm1 vlan x", 20_000)).starts_with("line 1: "));
    }

    #[test]
    fn no_line_is_lost_between_parts_and_each_fits_into_a_message() {
        let ports = ["vm1", "a-name-of-15-by"];
        for turns in [1, 2] {
            let line = |number: usize| {
                format!(
                    "{} dev {}\n",
                    Mac([2, 0, 0, 0, (number >> 8) as u8, number as u8]),
                    ports[number % turns]
                )
            };
            let parts = parse(&(0..20_000).map(line).collect::<String>()).unwrap();
            assert!(parts.len() > 1);
            for part in &parts {
                let length = serde_json::to_string(&Request::FdbLoad(part.clone())).unwrap().len();
                assert!(length + 100 < MAX_MESSAGE, "{length} bytes");
            }
            let macs: Vec<_> =
                parts.into_iter().flat_map(|part| part.runs).flat_map(|run| run.macs.0).collect();
            assert!((0..20_000).all(|number| macs[number].0[4..] == [(number >> 8) as u8, number as u8]));
            assert_eq!(macs.len(), 20_000);
        }
    }
}
