//! `xbr port`: where frames enter and leave.

use bridge_common::{
    PortFlags, PortId,
    record::{self, Origin, Undo},
};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Common, controller, output,
    port_details::Details,
    port_words::{self, Words},
    table, which,
};
use crate::{
    Refusal, Result,
    control::{Request, protocol::HookChoice},
    link::{InterfaceName, Links},
    policy::PortOptions,
    snapshot::{self, PortRow},
};

/// What to do with ports.
#[derive(Debug, Subcommand)]
pub enum PortVerb {
    /// List the ports, the uplink and the host included
    Show {
        /// What each is allowed too
        #[arg(short, long)]
        details: bool,
    },
    /// Change what a port is allowed, in the words of `bridge link set`: dev vm1 learning off isolated on
    Set(Box<SetArgs>),
    /// Attach a device that exists
    Add(Box<AddArgs>),
    /// Let a port go and leave its device as it was found
    Del {
        /// The port
        #[arg(value_name = "IFACE")]
        name: InterfaceName,
    },
}

/// What to attach.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The device
    #[arg(value_name = "IFACE")]
    name: InterfaceName,
    /// Where to attach; auto chooses by what the device can do
    #[arg(long, value_enum, default_value_t)]
    hook: HookChoice,
    /// Attach it also where nftables, ebtables or tc of others have rules for it, which frames go past
    #[arg(long)]
    allow_bypass: bool,
    /// Options in words, as in isolated on max-macs 64
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
    /// The same as flags.
    #[command(flatten)]
    options: PortOptions,
}

/// What to change.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// The port (`host` for the host), and options in words: [dev] vm1 isolated on, up or down
    #[arg(value_name = "PORT WORDS", required = true)]
    words: Vec<String>,
    /// Let it forward again
    #[arg(long, conflicts_with = "down")]
    up: bool,
    /// Let it forward nothing
    #[arg(long)]
    down: bool,
    /// The options as flags.
    #[command(flatten)]
    options: PortOptions,
}

/// Does it.
pub fn run(common: &Common, verb: PortVerb) -> Result<()> {
    let bridge = which::bridge(common.bridge.as_ref())?;
    let request = match verb {
        PortVerb::Show { details } => return show(common, &bridge, details),
        PortVerb::Add(args) => add(*args)?,
        PortVerb::Set(args) => set(*args)?,
        PortVerb::Del { name } => Request::PortDel { ifname: name },
    };
    controller::change(bridge.name(), &request)
}

fn add(args: AddArgs) -> Result<Request, Refusal> {
    let AddArgs { name: ifname, hook, allow_bypass, words, options } = args;
    let policy = Box::new(port_words::options(&words, options)?);
    Ok(Request::PortAdd { ifname, hook, allow_bypass, transient: false, policy })
}

fn set(args: SetArgs) -> Result<Request, Refusal> {
    let (name, words) = port_words::name(&args.words)?;
    let Words { options, up } = port_words::parse(words, args.options)?;
    let flag = (args.up || args.down).then_some(args.up);
    if options.is_empty() && up.or(flag).is_none() {
        let message = format!("nothing is said of {name}");
        return Err(Refusal::new(message, "write it as in xbr port set vm1 isolated on"));
    }
    if up.is_some() && flag.is_some() && up != flag {
        return Err(Refusal::new("the port cannot be both up and down", "write one of the two"));
    }
    Ok(Request::PortSet { ifname: name.into(), options: Box::new(options), up: up.or(flag) })
}

fn show(common: &Common, bridge: &which::Bridge, details: bool) -> Result<()> {
    let ports = snapshot::ports(&bridge.tables, &Links::open()?)?;
    let rows: Vec<Row> = ports.iter().map(|port| row(bridge.name().as_str(), port)).collect();
    output::print(&match (common.json, details) {
        (true, _) => output::json(&rows)?,
        (false, true) => detailed(&rows),
        (false, false) => text(&rows),
    })
}

/// A port, as `xbr port show -j` has it; keys as in `bridge -j link` where it has them.
#[derive(Debug, Serialize)]
struct Row {
    /// The device's index; the uplink's for the host.
    ifindex: u32,
    ifname: String,
    /// Words of this row's own: `host`, `uplink`, `tap`, `created`, `configured`, `lent`, `attached`,
    /// `transient`, `guard`.
    flags: Vec<&'static str>,
    /// Bytes of payload.
    mtu: u32,
    /// The bridge.
    master: String,
    /// `forwarding` or `disabled`, as the bridge writes its port states.
    state: &'static str,
    /// What is at work: `xdp` or `tc`; none for the host, which has no device.
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<&'static str>,
    /// What was asked for: `auto`, `xdp` or `tc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    hook_choice: Option<&'static str>,
    /// Whether the device has a carrier; none where there is no device.
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<bool>,
    #[serde(flatten)]
    details: Details,
}

fn row(bridge: &str, row: &PortRow) -> Row {
    let host = row.id == PortId::HOST;
    let flags = [
        ("host", host),
        ("uplink", row.id == PortId::UPLINK),
        ("tap", row.record.origin.has(Origin::TAP)),
        ("created", row.record.undo.has(Undo::CREATED)),
        ("configured", row.record.origin.has(Origin::CONFIGURED)),
        ("lent", row.record.origin.has(Origin::LENT)),
        ("attached", row.record.origin.has(Origin::ATTACHED)),
        ("transient", row.record.origin.has(Origin::TRANSIENT)),
        ("guard", row.port.flags.has(PortFlags::GUARD)),
    ];
    Row {
        ifindex: row.port.ifindex,
        ifname: row.name.clone(),
        flags: flags.into_iter().filter(|(_, is)| *is).map(|(word, _)| word).collect(),
        mtu: row.port.mtu,
        master: bridge.into(),
        state: if row.port.is_up() { "forwarding" } else { "disabled" },
        hook: (!host).then(|| if row.port.flags.has(PortFlags::XDP) { "xdp" } else { "tc" }),
        hook_choice: (!host).then(|| choice(row.record.hook)),
        carrier: row.device.as_ref().map(|device| device.carrier),
        details: Details::of(row),
    }
}

fn choice(raw: u16) -> &'static str {
    match record::HookChoice::from_raw(raw) {
        record::HookChoice::Auto => "auto",
        record::HookChoice::Xdp => "xdp",
        record::HookChoice::Tc => "tc",
    }
}

/// Each port's line and what it is allowed below it.
fn detailed(rows: &[Row]) -> String {
    let table = text(rows);
    let mut lines = table.lines();
    let mut all = lines.next().map(|head| format!("{head}\n")).unwrap_or_default();
    for (line, row) in lines.zip(rows) {
        all += &format!("{line}\n{}", row.details.text());
    }
    all
}

fn text(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let hook = match (row.hook, row.hook_choice) {
            (Some(hook), Some("auto")) => format!("{hook} (auto)"),
            (Some(hook), _) => hook.to_string(),
            (None, _) => "-".to_string(),
        };
        let carrier = if row.carrier == Some(false) { " (no carrier)" } else { "" };
        vec![
            row.ifindex.to_string(),
            row.ifname.clone(),
            format!("{}{carrier}", row.state),
            hook,
            row.mtu.to_string(),
            row.flags.iter().copied().chain(row.details.stopped()).collect::<Vec<_>>().join(","),
        ]
    };
    let lines: Vec<_> = rows.iter().map(line).collect();
    table::render(&["ifindex", "port", "state", "hook", "mtu", "flags"], &lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::sample;

    fn rows() -> Vec<Row> {
        sample().ports.iter().map(|port| row("xbr0", port)).collect()
    }

    #[test]
    fn text_has_a_line_for_each_port() {
        insta::assert_snapshot!(text(&rows()), @r"
        ifindex  port   state       hook         mtu  flags
              2  host   forwarding  -           1500  host
              2  eth0   forwarding  xdp (auto)  1500  uplink,configured
              7  vm1    forwarding  tc (auto)   1500  tap,created,configured
              9  veth1  disabled    xdp         9000  guard
        ");
    }

    #[test]
    fn json_has_the_keys_of_bridge_link() {
        insta::assert_snapshot!(output::json(&rows()[2]).unwrap(), @r#"{"ifindex":7,"ifname":"vm1","flags":["tap","created","configured"],"mtu":1500,"master":"xbr0","state":"forwarding","hook":"tc","hook_choice":"auto","learning":true,"flood":true,"mcast_flood":true,"bcast_flood":true,"hairpin":false,"isolated":false,"locked":false,"neigh_suppress":false,"stations":0,"mac":[],"ip":[],"no_dhcp_server":false,"no_ra":false,"bpdu_guard":"drop","storm":{},"mcast_router":1,"fastleave":false,"mcast_max_groups":256}"#);
    }
}
