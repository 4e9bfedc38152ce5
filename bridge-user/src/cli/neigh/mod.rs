//! `xbr neigh`: who has which IP address, in the words of `ip neigh`.

mod rows;

use std::net::IpAddr;

use bridge_common::Mac;
use clap::{Args, Subcommand};

use self::rows::{Filter, rows, text};
use super::{Common, controller, output, which};
use crate::{Refusal, Result, clock, control::Request, snapshot};

/// What to do with the table of neighbours.
#[derive(Debug, Subcommand)]
pub enum NeighVerb {
    /// List the neighbours
    Show(ShowArgs),
    /// Write a neighbour, which neither ages nor moves
    Add(NeighArgs),
    /// Delete a neighbour, learned or written
    Del(NeighArgs),
}

/// Which neighbours to list.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// In the words of ip-neighbour(8): [dev PORT] [vid VID]
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
}

/// Which neighbour.
#[derive(Debug, Args)]
pub struct NeighArgs {
    /// Its IPv4 or IPv6 address
    address: IpAddr,
    /// In the words of ip-neighbour(8): lladdr MAC dev PORT [vid VID]; to delete one, [dev PORT] [vid VID]
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
}

/// What the words say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    lladdr: Option<Mac>,
    port: Option<String>,
    vlan: Option<u16>,
}

impl Words {
    fn parse(words: &[String], with_lladdr: bool) -> Result<Self, Refusal> {
        let mut all = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                let message = format!("the word {word} wants something behind it");
                words.next().ok_or_else(|| Refusal::new(message, "write it as in lladdr MAC dev vm1 vid 10"))
            };
            let twice = match word.as_str() {
                "dev" => all.port.replace(value()?.clone()).is_some(),
                "vid" | "vlan" => {
                    let text = value()?;
                    let vlan = super::fdb::vlan(text)
                        .map_err(|hint| Refusal::new(format!("{text} is no VLAN"), hint))?;
                    all.vlan.replace(vlan).is_some()
                }
                "lladdr" if with_lladdr => {
                    let text = value()?;
                    let mac = text
                        .parse()
                        .map_err(|error| Refusal { message: format!("{text:?} is {error}"), hint: None })?;
                    all.lladdr.replace(mac).is_some()
                }
                other => {
                    let lladdr = if with_lladdr { "lladdr MAC, " } else { "" };
                    let hint = format!("{lladdr}dev PORT and vid VID are known");
                    return Err(Refusal::new(format!("the word {other} is not known here"), hint));
                }
            };
            if twice {
                return Err(Refusal::new(format!("{word} is given twice"), "write it once"));
            }
        }
        Ok(all)
    }
}

/// Does it.
pub fn run(common: &Common, verb: NeighVerb) -> Result<()> {
    let request = match verb {
        NeighVerb::Show(args) => return show(common, &args),
        NeighVerb::Add(args) => add(&args)?,
        NeighVerb::Del(args) => {
            let words = Words::parse(&args.words, false)?;
            Request::NeighDel { address: args.address, ifname: words.port, vlan: words.vlan.unwrap_or(0) }
        }
    };
    controller::change(which::bridge(common.bridge.as_ref())?.name(), &request)
}

fn add(args: &NeighArgs) -> Result<Request, Refusal> {
    let words = Words::parse(&args.words, true)?;
    let usage = "say both: xbr neigh add ADDR lladdr MAC dev PORT [vid VID]";
    let missing = || Refusal::new("a neighbour needs a MAC address and a port", usage);
    Ok(Request::NeighAdd {
        address: args.address,
        mac: words.lladdr.ok_or_else(missing)?.to_string(),
        ifname: words.port.ok_or_else(missing)?,
        vlan: words.vlan.unwrap_or(0),
    })
}

fn show(common: &Common, args: &ShowArgs) -> Result<()> {
    let words = Words::parse(&args.words, false)?;
    let tables = which::bridge(common.bridge.as_ref())?.tables;
    let names = snapshot::names(&tables)?;
    if let Some(port) = &words.port
        && !names.values().any(|name| name == port)
    {
        let known = names.into_values().collect::<Vec<_>>().join(", ");
        return Err(Refusal::new(format!("the bridge has no port {port}"), format!("it has {known}")).into());
    }
    let filter = Filter { port: words.port, vlan: words.vlan };
    let rows = rows(&tables.neighbours()?, &tables, &names, clock::monotonic(), &filter)?;
    output::print(&if common.json { output::json(&rows)? } else { text(&rows) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(words: &str) -> Result<Request, Refusal> {
        let words = words.split_whitespace().map(String::from).collect();
        add(&NeighArgs { address: "10.0.0.1".parse().unwrap(), words })
    }

    #[test]
    fn words_are_those_of_ip_neigh() {
        let request = added("lladdr 52:54:00:75:dd:1a dev vm1 vid 10").unwrap();
        let (mac, ifname) = ("52:54:00:75:dd:1a".into(), "vm1".into());
        assert_eq!(
            request,
            Request::NeighAdd { address: "10.0.0.1".parse().unwrap(), mac, ifname, vlan: 10 }
        );
        insta::assert_snapshot!(added("dev vm1").unwrap_err(), @r"
        a neighbour needs a MAC address and a port
        hint: say both: xbr neigh add ADDR lladdr MAC dev PORT [vid VID]
        ");
        insta::assert_snapshot!(added("dev vm1 dev vm2").unwrap_err(), @r"
        dev is given twice
        hint: write it once
        ");
        insta::assert_snapshot!(added("lladdr x").unwrap_err().message, @r#""x" is not a MAC address: write six pairs of hex digits, as in 52:54:00:12:34:56"#);
        assert!(added("nud permanent").is_err() && added("vid 4095").is_err() && added("dev").is_err());
    }
}
