//! `xbr fdb`: who is where, in the words of `bridge fdb`.

mod load;
mod rows;
mod words;

pub(super) use words::vlan;

use bridge_common::Mac;
use clap::{Args, Subcommand, ValueEnum};

use self::{
    rows::{Filter, json, rows, text},
    words::Words,
};
use super::{Common, controller, output, which};
use crate::{Refusal, Result, clock, control::Request, snapshot};

/// What to do with the forwarding database.
#[derive(Debug, Subcommand)]
pub enum FdbVerb {
    /// List the stations
    Show(ShowArgs),
    /// Write a static station, which neither ages nor moves, or a sticky one, which ages
    Add(AddArgs),
    /// Write many static or sticky stations, a line each
    Load(load::LoadArgs),
    /// Delete a station, learned or static
    Del(DelArgs),
    /// Delete learned stations
    Flush(FlushArgs),
}

/// Which stations to list.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    place: Place,
    /// Only this station
    #[arg(long)]
    mac: Option<Mac>,
    /// Only stations of this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// The same in the words of bridge(8): [dev PORT] [vlan VID] [static]
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
}

/// Which station to write.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The station
    mac: Mac,
    #[command(flatten)]
    place: Place,
    /// The same in the words of bridge(8): dev PORT [vlan VID] [static|sticky]
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
}

/// Which station to delete.
#[derive(Debug, Args)]
pub struct DelArgs {
    /// The station
    mac: Mac,
    #[command(flatten)]
    place: Place,
    /// The same in the words of bridge(8): [dev PORT] [vlan VID]
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
}

/// Which stations to forget.
#[derive(Debug, Args)]
pub struct FlushArgs {
    #[command(flatten)]
    place: Place,
    /// The same in the words of bridge(8): [dev PORT] [vlan VID]
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
}

/// Where stations are.
#[derive(Debug, Default, Args)]
struct Place {
    /// The port; `host` for the host
    #[arg(long, alias = "dev")]
    port: Option<String>,
    /// The VLAN, 1 to 4094; to add or delete without it means every VLAN of the port
    #[arg(long, value_name = "VID", value_parser = words::vlan)]
    vlan: Option<u16>,
}

/// What a station is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// Heard, and heard again within the ageing time.
    Learned,
    /// Written by the operator.
    Static,
    /// The uplink's own address, which is the host's.
    Permanent,
}

/// Does it.
pub fn run(common: &Common, verb: FdbVerb) -> Result<()> {
    let request = match verb {
        FdbVerb::Show(args) => return show(common, args),
        FdbVerb::Load(args) => return load::run(common, &args),
        FdbVerb::Add(args) => add(args)?,
        FdbVerb::Del(args) => {
            let words = Words::parse(args.place, &args.words, &[])?;
            Request::FdbDel { mac: args.mac.to_string(), vlan: words.vlan.unwrap_or(0), ifname: words.port }
        }
        FdbVerb::Flush(args) => {
            let words = Words::parse(args.place, &args.words, &[])?;
            Request::FdbFlush { ifname: words.port, vlan: words.vlan }
        }
    };
    controller::change(which::bridge(common.bridge.as_ref())?.name(), &request)
}

fn add(args: AddArgs) -> Result<Request, Refusal> {
    let words = Words::parse(args.place, &args.words, &["static", "sticky"])?;
    if !args.mac.is_station() {
        let message = format!("{} is no address of one station", args.mac);
        return Err(Refusal::new(message, "a static entry is for a unicast address that is not zero"));
    }
    let usage = "say which: xbr fdb add MAC dev PORT [vlan VID] [static|sticky]";
    let port = words.port.ok_or_else(|| Refusal::new("a static entry needs a port", usage))?;
    Ok(Request::FdbAdd {
        mac: args.mac.to_string(),
        vlan: words.vlan.unwrap_or(0),
        ifname: port,
        sticky: words.is_sticky && !words.is_static,
    })
}

fn show(common: &Common, args: ShowArgs) -> Result<()> {
    let words = Words::parse(args.place, &args.words, &["static"])?;
    let tables = which::bridge(common.bridge.as_ref())?.tables;
    let names = snapshot::names(&tables)?;
    if let Some(port) = &words.port
        && !names.values().any(|name| name == port)
    {
        let known = names.into_values().collect::<Vec<_>>().join(", ");
        return Err(Refusal::new(format!("the bridge has no port {port}"), format!("it has {known}")).into());
    }
    let filter = Filter {
        port: words.port,
        vlan: words.vlan,
        mac: args.mac,
        state: args.state.or(words.is_static.then_some(State::Static)),
    };
    let rows = rows(tables.stations()?, &tables.config(), &names, clock::monotonic(), &filter);
    output::stream(|out| if common.json { json(&rows, out) } else { text(&rows, out) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add_words(mac: &str, words: &[&str]) -> Result<Request, Refusal> {
        let words = words.iter().map(|word| word.to_string()).collect();
        add(AddArgs { mac: mac.parse().unwrap(), place: Place::default(), words })
    }

    #[test]
    fn a_static_entry_needs_a_station_and_a_port() {
        let mac = "52:54:00:75:dd:1a";
        let request = add_words(mac, &["dev", "vm1", "vlan", "10", "static"]).unwrap();
        let expected = |vlan, sticky| Request::FdbAdd { mac: mac.into(), vlan, ifname: "vm1".into(), sticky };
        assert_eq!(request, expected(10, false));
        assert_eq!(add_words(mac, &["dev", "vm1", "sticky"]).unwrap(), expected(0, true));
        // It does not age either.
        assert_eq!(add_words(mac, &["dev", "vm1", "sticky", "static"]).unwrap(), expected(0, false));
        insta::assert_snapshot!(add_words(mac, &[]).unwrap_err(), @r"
        a static entry needs a port
        hint: say which: xbr fdb add MAC dev PORT [vlan VID] [static|sticky]
        ");
        insta::assert_snapshot!(add_words("01:00:5e:00:00:01", &["dev", "vm1"]).unwrap_err(), @r"
        01:00:5e:00:00:01 is no address of one station
        hint: a static entry is for a unicast address that is not zero
        ");
    }
}
