//! `xbr vlan`: who is in which VLAN, in the words of `bridge vlan`.

mod rows;
mod words;

use clap::{Args, Subcommand, ValueEnum};

use self::words::Words;
use super::{Common, controller, output, which};
use crate::{Refusal, Result, control::Request, snapshot, vlan::PortVlan, vlan::Vids};

/// What to do with VLANs.
#[derive(Debug, Subcommand)]
pub enum VlanVerb {
    /// Put a port into VLANs; the first of a bridge turns filtering on
    Add(AddArgs),
    /// Take a port out of VLANs
    Del(DelArgs),
    /// List the VLANs of each port, or what was counted for each VLAN
    Show(ShowArgs),
    /// Filter VLANs, or forward every frame whatever its tag
    Filtering {
        /// Whether to
        #[arg(value_enum)]
        state: Switch,
    },
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is so.
    On,
    /// It is not.
    Off,
}

/// Which VLANs, and the port's part in them.
#[derive(Debug, Args)]
pub struct AddArgs {
    #[command(flatten)]
    place: Place,
    /// Frames that come in without a tag are of this VLAN
    #[arg(long)]
    pvid: bool,
    /// Frames of this VLAN leave without a tag
    #[arg(long)]
    untagged: bool,
    /// The same in the words of bridge(8): dev PORT vid VID[-VID] [pvid] [untagged]
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
}

/// Which VLANs.
#[derive(Debug, Args)]
pub struct DelArgs {
    #[command(flatten)]
    place: Place,
    /// The same in the words of bridge(8): dev PORT vid VID[-VID]
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
}

/// Which ports and VLANs to list.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    place: Place,
    /// What was counted for each VLAN, on all ports together
    #[arg(short, long)]
    statistics: bool,
    /// The same in the words of bridge(8): [dev PORT] [vid VID[-VID]]
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
}

/// A port and VLANs.
#[derive(Debug, Default, Args)]
struct Place {
    /// The port; `host` for the host
    #[arg(long, alias = "dev")]
    port: Option<String>,
    /// The VLAN, 1 to 4094, or several, as in 20-30
    #[arg(long, value_name = "VID[-VID]")]
    vid: Option<Vids>,
}

/// Does it.
pub fn run(common: &Common, verb: VlanVerb) -> Result<()> {
    let request = match verb {
        VlanVerb::Show(args) => return show(common, args),
        VlanVerb::Add(args) => add(args)?,
        VlanVerb::Del(args) => del(args)?,
        VlanVerb::Filtering { state } => Request::VlanFiltering { on: state == Switch::On },
    };
    controller::change(which::bridge(common.bridge.as_ref())?.name(), &request)
}

fn add(args: AddArgs) -> Result<Request, Refusal> {
    let words = Words::parse(args.place, &args.words, &["pvid", "untagged"])?;
    let (pvid, untagged) = (args.pvid || words.pvid, args.untagged || words.untagged);
    let (ifname, vids) = words.needed("xbr vlan add dev PORT vid VID[-VID] [pvid] [untagged]")?;
    let vlan = PortVlan::new(vids, pvid, untagged).map_err(|error| {
        Refusal::new(error.to_string(), "write pvid with one VLAN, and the others by a second command")
    })?;
    Ok(Request::VlanAdd { ifname, vlan })
}

fn del(args: DelArgs) -> Result<Request, Refusal> {
    // Those who copy what they wrote to add it mean the same VLAN.
    let words = Words::parse(args.place, &args.words, &["pvid", "untagged"])?;
    let (ifname, vids) = words.needed("xbr vlan del dev PORT vid VID[-VID]")?;
    Ok(Request::VlanDel { ifname, vids })
}

fn show(common: &Common, args: ShowArgs) -> Result<()> {
    let words = Words::parse(args.place, &args.words, &[])?;
    let bridge = which::bridge(common.bridge.as_ref())?;
    let mut names = snapshot::names(&bridge.tables)?;
    if let Some(port) = &words.port {
        if !names.values().any(|name| name == port) {
            let known = names.into_values().collect::<Vec<_>>().join(", ");
            let message = format!("the bridge has no port {port}");
            return Err(Refusal::new(message, format!("it has {known}")).into());
        }
        names.retain(|_, name| name == port);
    }
    let mut vlans = snapshot::vlans(&bridge.tables)?;
    vlans.retain(|row| words.vids.is_none_or(|vids| vids.has(row.vid)));
    let text = if args.statistics {
        let of_port = |row: &snapshot::VlanRow| names.keys().any(|id| row.vlan.members.has(*id));
        vlans.retain(of_port);
        let rows = [rows::counted(bridge.name().as_str(), &vlans)];
        if common.json { output::json(&rows)? } else { rows::counted_text(&rows) }
    } else {
        let mut ports = Vec::new();
        for (id, name) in &names {
            ports.push((*id, name.clone(), bridge.tables.policy(*id)?.flags.pvid()));
        }
        let rows = rows::rows(&ports, &vlans);
        if common.json {
            output::json(&rows)?
        } else {
            rows::text(&rows, bridge.tables.config().filters_vlans())
        }
    };
    output::print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    fn adds(text: &str) -> Result<Request, Refusal> {
        add(AddArgs { place: Place::default(), pvid: false, untagged: false, words: words(text) })
    }

    #[test]
    fn the_words_of_bridge_vlan_are_understood() {
        let added = |ifname: &str, vlan: &str| Request::VlanAdd {
            ifname: ifname.into(),
            vlan: vlan.parse().unwrap(),
        };
        assert_eq!(adds("dev vm1 vid 10 pvid untagged").unwrap(), added("vm1", "10 pvid untagged"));
        assert_eq!(adds("vid 20-30 dev vm1 master").unwrap(), added("vm1", "20-30"));
        assert_eq!(adds("dev host vid 7 untagged self").unwrap(), added("host", "7 untagged"));
        let place = Place { port: Some("vm1".into()), vid: Some("10".parse().unwrap()) };
        let flags = AddArgs { place, pvid: true, untagged: false, words: Vec::new() };
        assert_eq!(add(flags).unwrap(), added("vm1", "10 pvid"));
        let request =
            del(DelArgs { place: Place::default(), words: words("dev vm1 vid 20-30 untagged") }).unwrap();
        assert_eq!(request, Request::VlanDel { ifname: "vm1".into(), vids: "20-30".parse().unwrap() });
    }

    #[test]
    fn bad_words_say_what_to_write() {
        insta::assert_snapshot!(adds("dev vm1").unwrap_err(), @r"
        no VLAN is given
        hint: write it as in xbr vlan add dev PORT vid VID[-VID] [pvid] [untagged]
        ");
        insta::assert_snapshot!(adds("vid 10").unwrap_err(), @r"
        no port is given
        hint: write it as in xbr vlan add dev PORT vid VID[-VID] [pvid] [untagged]
        ");
        insta::assert_snapshot!(adds("dev vm1 vid 20-30 pvid").unwrap_err(), @r"
        a port has one PVID, and 20-30 are several VLANs
        hint: write pvid with one VLAN, and the others by a second command
        ");
        insta::assert_snapshot!(adds("dev vm1 vid 4095").unwrap_err(), @r"
        4095 is no VLAN
        hint: VLANs are 1 to 4094; write one, or several as in 20-30
        ");
        insta::assert_snapshot!(adds("dev vm1 vid 1 tunnel_info").unwrap_err(), @r"
        the word tunnel_info is not known here
        hint: dev PORT, vid VID, pvid and untagged are known
        ");
        insta::assert_snapshot!(adds("dev vm1 dev vm2 vid 1").unwrap_err(), @r"
        the port is given twice
        hint: name it once
        ");
    }
}
