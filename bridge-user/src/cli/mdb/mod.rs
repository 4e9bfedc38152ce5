//! `xbr mdb`: who is in which multicast group, in the words of `bridge mdb`.

mod rows;
mod words;

use std::net::IpAddr;

use bridge_common::{PortId, multicast::GroupSet};
use clap::{Args, Subcommand};

use self::{rows::Filter, words::Words};
use super::{Common, controller, output, which};
use crate::{
    Refusal, Result,
    control::{Request, protocol::GroupEntry},
    multicast::{Image, Ports},
    policy::Switch,
    settings::{MulticastSettings, Unregistered},
    snapshot,
};

/// What to do with groups.
#[derive(Debug, Subcommand)]
pub enum MdbVerb {
    /// List who is in which group, and where multicast routers are
    Show(ShowArgs),
    /// Put a port into a group, for good or as if a host behind it had just said so
    Add(EntryArgs),
    /// Take a port out of a group
    Del(EntryArgs),
    /// Send frames for groups where members and routers are, or flood them
    Snooping {
        /// on or off
        state: Switch,
    },
    /// Ask who is in groups, if nobody else does
    Querier {
        /// on or off
        state: Switch,
    },
    /// Where groups go that nobody is in
    Unregistered {
        /// Where
        #[arg(value_enum)]
        to: Unregistered,
    },
}

/// A port in a group.
#[derive(Debug, Args)]
pub struct EntryArgs {
    #[command(flatten)]
    place: Place,
    /// For good; otherwise until no report has told of it for 260 seconds
    #[arg(long)]
    permanent: bool,
    /// The same in the words of bridge(8): dev PORT grp GROUP [src SOURCE] [vid VID] [permanent]
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
}

/// Which groups to list.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    place: Place,
    /// The same in the words of bridge(8): [dev PORT] [grp GROUP] [src SOURCE] [vid VID]
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
}

/// Ports and groups.
#[derive(Debug, Default, Args)]
struct Place {
    /// The port; `host` for the host
    #[arg(long, alias = "dev")]
    port: Option<String>,
    /// The group's address
    #[arg(long, alias = "grp", value_name = "GROUP")]
    group: Option<IpAddr>,
    /// Only what this source sends
    #[arg(long, alias = "src", value_name = "ADDR")]
    source: Option<IpAddr>,
    /// The VLAN, 1 to 4094; to add or delete without it means every VLAN of the port
    #[arg(long, value_name = "VID", value_parser = super::fdb::vlan)]
    vid: Option<u16>,
}

/// Does it.
pub fn run(common: &Common, verb: MdbVerb) -> Result<()> {
    let nothing = MulticastSettings::default();
    let request = match verb {
        MdbVerb::Show(args) => return show(common, args),
        MdbVerb::Add(args) => Request::MdbAdd(entry(args, "add")?),
        MdbVerb::Del(args) => Request::MdbDel(entry(args, "del")?),
        MdbVerb::Snooping { state } => {
            Request::Multicast(MulticastSettings { snooping: Some(state.0), ..nothing })
        }
        MdbVerb::Querier { state } => {
            Request::Multicast(MulticastSettings { querier: Some(state.0), ..nothing })
        }
        MdbVerb::Unregistered { to } => {
            Request::Multicast(MulticastSettings { unregistered: Some(to), ..nothing })
        }
    };
    controller::change(which::bridge(common.bridge.as_ref())?.name(), &request)
}

fn entry(args: EntryArgs, verb: &str) -> Result<GroupEntry, Refusal> {
    let words = Words::parse(args.place, &args.words, true)?;
    let missing = |what: &str| {
        let usage = "dev PORT grp GROUP [src SOURCE] [vid VID] [permanent]";
        Refusal::new(format!("no {what} is given"), format!("write it as in xbr mdb {verb} {usage}"))
    };
    Ok(GroupEntry {
        ifname: words.place.port.ok_or_else(|| missing("port"))?,
        group: words.place.group.ok_or_else(|| missing("group"))?,
        source: words.place.source,
        vlan: words.place.vid.unwrap_or(0),
        permanent: args.permanent || words.permanent,
    })
}

fn show(common: &Common, args: ShowArgs) -> Result<()> {
    let place = Words::parse(args.place, &args.words, false)?.place;
    let bridge = which::bridge(common.bridge.as_ref())?;
    let names = snapshot::names(&bridge.tables)?;
    if let Some(port) = &place.port
        && !names.values().any(|name| name == port)
    {
        let known = names.into_values().collect::<Vec<_>>().join(", ");
        return Err(Refusal::new(format!("the bridge has no port {port}"), format!("it has {known}")).into());
    }
    let (tables, config) = (&bridge.tables, bridge.tables.config());
    let index = tables.port(PortId::UPLINK)?.ifindex;
    let here = rows::Place { bridge: bridge.name().as_str(), index, names: &names };
    let (image, GroupSet { ports, permanent }) = (Image::adopt(tables.groups()?), tables.routers()?);
    let routers = rows::routers(&Ports { ports, permanent }, &image.asked());
    let Place { port, group, source, vid } = place;
    let mdb = rows::rows(&here, &image.groups(), &routers, &Filter { port, group, source, vid });
    output::print(&if common.json { output::json(&[mdb])? } else { rows::text(&mdb, config.snoops()) })
}
