//! The configuration file: TOML, with a key of the same name for every flag of `xbr run`.
//!
//! ```toml
//! bridge = "xbr0"
//! uplink = "eth0"
//! hook = ["auto", "eth0=tc"]            # or one text
//! tap = ["vm1", "vm2"]                  # each a name, or a table with options of its own:
//! port = ["veth1", { name = "eth1", hook = "xdp" }]
//! attach = ["xvm*"]                     # TAPs that others make, by their names
//! allow-bypass = false
//! owner = "libvirt-qemu"                # for the TAPs that do not say it themselves,
//! multi-queue = false                   # and so are these two
//! no-vnet-hdr = false
//! ageing-time = 300
//! flap = "5/60"
//! loop-detect = true
//! fdb-max = 65536
//! vlan-filtering = true                 # also turned on by what follows
//! uplink-vlan = ["1 pvid untagged", "10", "20-30"]
//! host-vlan = "1 pvid untagged"         # the host itself
//! mcast-snooping = false
//! mcast-querier = false
//! mcast-unregistered = "routers"        # or "flood"
//! metrics = "127.0.0.1:9473"
//! keep = false
//! log = "info"
//!
//! [[tap]]                               # instead of `tap = [...]`
//! name = "vm3"
//! hook = "xdp"
//! owner = 1000
//! multi-queue = true
//! no-vnet-hdr = true
//! mtu = 9000
//! isolated = true                       # what the port is allowed, here and in the tables of `port`:
//! max-macs = 64                         # every option of `xbr port set` has a key
//! mac = ["52:54:00:75:dd:1a"]
//! ip = ["192.0.2.7", "2001:db8::7"]
//! no-dhcp-server = true
//! no-ra = true
//! bpdu-guard = "shut"
//! storm = "broadcast=100pps"
//! rate = "500mbit,burst=256k"
//! vlan = ["10 pvid untagged", "20-30"]
//! ```
//!
//! A flag that is given replaces the file's value of the same name, lists as a whole; a switch can only be
//! turned on by its flag.

mod entry;

use std::{fs, net::SocketAddr, path::Path};

use serde::{Deserialize, Deserializer, de};

pub use entry::{OneOrMany, PortEntry, TapEntry};

use crate::{
    Refusal,
    datapath::BridgeName,
    error::words,
    link::InterfaceName,
    policy::Switch,
    settings::{FdbMax, Flap, HookRule, Owner, Pattern, Prefer, Unregistered},
    vlan::PortVlan,
};

/// What a file says. What it does not say is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct File {
    /// The bridge's name.
    #[serde(deserialize_with = "bridge_name")]
    pub bridge: Option<BridgeName>,
    /// The device that leads outside.
    pub uplink: Option<InterfaceName>,
    /// Hooks.
    pub hook: OneOrMany<HookRule>,
    /// What `auto` goes for.
    pub prefer: Option<Prefer>,
    /// TAPs to make.
    pub tap: OneOrMany<TapEntry>,
    /// Devices to attach.
    pub port: OneOrMany<PortEntry>,
    /// Patterns for the names of TAPs that others make, and that are to be ports.
    pub attach: OneOrMany<Pattern>,
    /// Whether frames may go past rules, filters and queueing disciplines of others.
    pub allow_bypass: Option<bool>,
    /// Who may open the TAPs that do not say it themselves.
    pub owner: Option<Owner>,
    /// Whether such TAPs have several queues.
    pub multi_queue: Option<bool>,
    /// Whether such TAPs have no virtio header.
    pub no_vnet_hdr: Option<bool>,
    /// Seconds; 0 is never.
    pub ageing_time: Option<u32>,
    /// How often a station may move.
    pub flap: Option<Flap>,
    /// Whether loops are looked for.
    pub loop_detect: Option<Switch>,
    /// The most stations.
    pub fdb_max: Option<FdbMax>,
    /// Whether VLANs are filtered.
    pub vlan_filtering: Option<bool>,
    /// The uplink's VLANs.
    pub uplink_vlan: Option<OneOrMany<PortVlan>>,
    /// The host's VLANs.
    pub host_vlan: Option<OneOrMany<PortVlan>>,
    /// Whether groups are snooped.
    pub mcast_snooping: Option<bool>,
    /// Whether the bridge asks who is in them.
    pub mcast_querier: Option<bool>,
    /// Where groups go that nobody is in.
    pub mcast_unregistered: Option<Unregistered>,
    /// Where `/metrics` is served.
    pub metrics: Option<SocketAddr>,
    /// At the end, leave everything forwarding.
    pub keep: Option<bool>,
    /// What is logged.
    pub log: Option<String>,
}

fn bridge_name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<BridgeName>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(de::Error::custom)
}

/// Reads a file. Whatever is wrong with it is a refusal with file, line and key.
pub fn read(path: &Path) -> Result<File, Refusal> {
    let text = fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot read the configuration file {}: {}", path.display(), words(&error));
        Refusal::new(message, "name a file that exists and that you may read")
    })?;
    parse(&path.display().to_string(), &text)
}

/// Reads a text; `name` is what to call it in errors.
pub fn parse(name: &str, text: &str) -> Result<File, Refusal> {
    toml::from_str(text).map_err(|error| {
        let place = error.span().map_or(String::new(), |span| place(text, span.start));
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        Refusal::new(
            format!("{name}{place}: {message}"),
            "xbr help run lists the flags, which are the keys too",
        )
    })
}

/// Where in the text a byte is: its line, and the key that the line sets.
fn place(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or("");
    // The key of a table on its own line, or the last one before the offset in an inline table.
    let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
    let left = line.get(..column).unwrap_or(line);
    let in_table = left.rfind(['{', ',']).map(|at| &left[at + 1..]).filter(|rest| rest.contains('='));
    let key = in_table.unwrap_or(line).split('=').next().unwrap_or("").trim();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    match key {
        key if !key.is_empty() && key.bytes().all(plain) => format!(", line {number}, key {key}"),
        _ => format!(", line {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn why(text: &str) -> String {
        parse("x.toml", text).unwrap_err().message
    }

    #[test]
    fn the_documented_file_is_good() {
        let text: String = include_str!("mod.rs")
            .lines()
            .skip_while(|line| *line != "//! ```toml")
            .skip(1)
            .take_while(|line| *line != "//! ```")
            .map(|line| line.trim_start_matches("//!").trim_start().to_string() + "\n")
            .filter(|line| !line.starts_with("tap = "))
            .collect();
        let file = parse("x.toml", &text).unwrap();
        assert_eq!(file.tap.0.len(), 1);
        assert_eq!(file.port.0.len(), 2);
        assert_eq!(file.hook.0.len(), 2);
        assert!(file.attach.0[0].matches("xvm7"));
        assert_eq!(file.metrics.unwrap().port(), 9473);
        assert_eq!(file.uplink_vlan.unwrap().0.len(), 3);
        assert_eq!(file.host_vlan.unwrap().0[0].to_string(), "1 pvid untagged");
        assert_eq!(file.tap.0[0].vlan.as_ref().unwrap().0.len(), 2);
    }

    #[test]
    fn errors_name_line_and_key() {
        insta::assert_snapshot!(why("uplink = \"eth0\"\nuplnk = 1\n"), @"x.toml, line 2, key uplnk: unknown field `uplnk`, expected one of `bridge`, `uplink`, `hook`, `prefer`, `tap`, `port`, `attach`, `allow-bypass`, `owner`, `multi-queue`, `no-vnet-hdr`, `ageing-time`, `flap`, `loop-detect`, `fdb-max`, `vlan-filtering`, `uplink-vlan`, `host-vlan`, `mcast-snooping`, `mcast-querier`, `mcast-unregistered`, `metrics`, `keep`, `log`");
        insta::assert_snapshot!(why("# a\n\nageing-time = \"x\"\n"), @r#"x.toml, line 3, key ageing-time: invalid type: string "x", expected u32"#);
        insta::assert_snapshot!(why("fdb-max = 0"), @"x.toml, line 1, key fdb-max: the FDB holds 1 to 16777216 stations");
        insta::assert_snapshot!(why("uplink = \"abcdefghijklmnop\""), @r#"x.toml, line 1, key uplink: the interface name "abcdefghijklmnop" has 16 bytes, and the kernel takes at most 15"#);
        insta::assert_snapshot!(why("bridge = \"a.b\""), @r#"x.toml, line 1, key bridge: "a.b" cannot name a bridge: write 1 to 15 letters, digits, '-' or '_', as in xbr0"#);
        insta::assert_snapshot!(why("hook = \"vm1=fast\""), @r#"x.toml, line 1, key hook: "fast" is no hook: write auto, xdp or tc, or as in vm1=xdp"#);
        insta::assert_snapshot!(why("tap = [\"vm1\", { name = \"vm2\", mtu = 1 }]"), @"x.toml, line 1, key mtu: an MTU is 68 to 65521 bytes");
        insta::assert_snapshot!(why("[[tap]]\nname = \"vm1\"\nqueues = 4\n"), @"x.toml, line 3, key queues: unknown field `queues`, expected one of `name`, `hook`, `owner`, `multi-queue`, `no-vnet-hdr`, `mtu`, `vlan`, `learning`, `flood`, `mcast-flood`, `bcast-flood`, `mcast-router`, `mcast-fast-leave`, `mcast-max-groups`, `hairpin`, `isolated`, `neigh-suppress`, `locked`, `max-macs`, `mac`, `ip`, `no-dhcp-server`, `no-ra`, `bpdu-guard`, `storm`, `rate`, `rate-in`, `rate-out`");
        insta::assert_snapshot!(why("[[tap]]\nhook = \"tc\"\n"), @"x.toml, line 1: missing field `name`");
        insta::assert_snapshot!(why("uplink-vlan = [\"10\", \"4095\"]"), @r#"x.toml, line 1, key uplink-vlan: "4095" is no VLAN: write a number from 1 to 4094, or several as in 20-30"#);
        insta::assert_snapshot!(why("tap = [{ name = \"vm1\", vlan = \"20-30 pvid\" }]"), @"x.toml, line 1, key vlan: a port has one PVID, and 20-30 are several VLANs");
        insta::assert_snapshot!(why("keep = maybe"), @"x.toml, line 1, key keep: string values must be quoted, expected literal string");
        insta::assert_snapshot!(why("uplink = \"a\"\nuplink = \"b\""), @"x.toml, line 2, key uplink: duplicate key");
        insta::assert_snapshot!(why("metrics = \"9473\""), @"x.toml, line 1, key metrics: invalid socket address syntax");
    }

    proptest! {
        #[test]
        fn no_file_panics(text: String) {
            let _ = parse("x.toml", &text);
        }

        #[test]
        fn no_near_file_panics(text in "(\\[\\[tap\\]\\]|name|hook|=|\"|'|[a-zé]|\n|\\{|\\}|,| ){0,30}") {
            let _ = parse("x.toml", &text);
        }
    }
}
