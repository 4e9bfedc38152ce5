//! `xbr run`: flags and file become [`Settings`], and the controller does the rest.

use std::{io::IsTerminal as _, net::SocketAddr, path::PathBuf};

use clap::Args;

use super::Common;
use crate::{
    Refusal, Result,
    config::{self, File, PortEntry, TapEntry},
    control::protocol::TapOptions,
    datapath::BridgeName,
    link::InterfaceName,
    policy::Switch,
    settings::{
        DEFAULT_BRIDGE, FdbMax, Flap, HookRule, MulticastSettings, Owner, Pattern, PortSettings, Prefer,
        Settings, Unregistered,
    },
};

/// What to become. A flag that is given replaces the configuration file's value of the same name.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// Read a configuration file, which has a key of the same name for every other flag
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The device that leads outside; the host keeps its addresses on it
    #[arg(long, value_name = "IFACE")]
    pub uplink: Option<InterfaceName>,
    /// Make a TAP for a guest, and attach it (repeatable)
    #[arg(long, value_name = "NAME")]
    pub tap: Vec<InterfaceName>,
    /// Attach a device that exists (repeatable)
    #[arg(long, value_name = "IFACE")]
    pub port: Vec<InterfaceName>,
    /// Attach every TAP that somebody else makes and whose name matches, such as 'xvm*' (repeatable)
    #[arg(long, value_name = "PATTERN")]
    pub attach: Vec<Pattern>,
    /// Attach ports also where nftables, ebtables or tc of others have rules for them, which frames go past
    #[arg(long)]
    pub allow_bypass: bool,
    /// Where to attach, for one port or for all: auto, xdp or tc (repeatable) [default: auto]
    #[arg(long, value_name = "[PORT=]HOOK")]
    pub hook: Vec<HookRule>,
    /// What auto goes for: bulk TCP, or small frames [default: throughput]
    #[arg(long, value_name = "WHAT")]
    pub prefer: Option<Prefer>,
    /// The user who may open the TAPs, by name or number
    #[arg(long, value_name = "USER")]
    pub owner: Option<Owner>,
    /// Make the TAPs with several queues, for guests with more than one
    #[arg(long)]
    pub multi_queue: bool,
    /// Make the TAPs without the virtio header: for guests that do no offloads
    #[arg(long)]
    pub no_vnet_hdr: bool,
    /// Forget a station that was silent for so long; 0 is never [default: 300]
    #[arg(long, value_name = "SECS")]
    pub ageing_time: Option<u32>,
    /// Keep a station that has moved N times in T seconds where it is, as in 5/60 [default: off]
    #[arg(long, value_name = "N/T")]
    pub flap: Option<Flap>,
    /// Look for loops through guests where frames come back, and stop the younger port of one [default: on]
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
    pub loop_detect: Option<Switch>,
    /// The most stations, 1 to 16777216 [default: 65536]
    #[arg(long, value_name = "N")]
    pub fdb_max: Option<FdbMax>,
    /// Filter VLANs; ports without VLANs of their own are in VLAN 1, untagged
    #[arg(long)]
    pub vlan_filtering: bool,
    /// Send frames for groups where members and multicast routers are [default: flood them]
    #[arg(long)]
    pub mcast_snooping: bool,
    /// Ask who is in groups, if nobody else does
    #[arg(long)]
    pub mcast_querier: bool,
    /// Where groups go that nobody is in: routers or flood [default: routers]
    #[arg(long, value_name = "WHERE")]
    pub mcast_unregistered: Option<Unregistered>,
    /// Serve Prometheus metrics there, such as 127.0.0.1:9473; off unless given
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<SocketAddr>,
    /// At the end, leave everything forwarding
    #[arg(long)]
    pub keep: bool,
    /// What to log, such as info, debug or bridge_user=trace
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// What only a lab may change.
    #[cfg(feature = "lab")]
    #[command(flatten)]
    pub lab: LabArgs,
}

/// What only a lab may change.
#[cfg(feature = "lab")]
#[derive(Clone, Debug, Default, Args)]
pub struct LabArgs {
    /// What the programs take for the time
    #[arg(long, hide = true, value_name = "NS", default_value_t)]
    pub lab_clock: u64,
    /// Redirect in XDP without asking the checksum guard
    #[arg(long, hide = true)]
    pub lab_no_guard: bool,
    /// Load the programs that do the same under another tag
    #[arg(long, hide = true)]
    pub lab_other_tag: bool,
    /// Attach TC programs as before Linux 6.6
    #[arg(long, hide = true)]
    pub lab_clsact: bool,
    /// Let the step of this number, from 0, fail
    #[arg(long, hide = true, value_name = "N")]
    pub lab_fail_step: Option<u32>,
    /// Let the times of groups and queries pass so many times faster
    #[arg(long, hide = true, value_name = "N", default_value_t)]
    pub lab_mcast_speed: u32,
}

/// Becomes a bridge, and stays until told to stop.
pub fn run(common: &Common, args: RunArgs) -> Result<()> {
    let file = args.config.as_deref().map(config::read).transpose()?.unwrap_or_default();
    become_bridge(args.settings(common.bridge.clone(), file)?)
}

fn become_bridge(settings: Settings) -> Result<()> {
    log_to_stderr(settings.log.as_deref())?;
    crate::controller::run(settings)
}

/// Standard output is for what the operator waits for; the log goes beside it.
fn log_to_stderr(filter: Option<&str>) -> Result<(), Refusal> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter.unwrap_or("info"))
        .map_err(|error| Refusal { message: error.to_string(), hint: None })?;
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).with_ansi(colours).init();
    Ok(())
}

impl RunArgs {
    /// Flags over file over defaults, validated.
    pub fn settings(self, bridge: Option<BridgeName>, file: File) -> Result<Settings, Refusal> {
        let no_uplink =
            || Refusal::new("no uplink is given", "name the device that leads outside: --uplink eth0");
        let uplink = self.uplink.clone().or(file.uplink.clone()).ok_or_else(no_uplink)?;
        let default = || {
            DEFAULT_BRIDGE
                .parse()
                .map_err(|error| Refusal::new(format!("{error}"), "name the bridge with --bridge NAME"))
        };
        let bridge = bridge.or(file.bridge.clone()).map_or_else(default, Ok)?;
        let mut settings = Settings::new(bridge, uplink);
        settings.ports = self.ports(&file)?;
        settings.attach = if self.attach.is_empty() { file.attach.0.clone() } else { self.attach.clone() };
        settings.allow_bypass = self.allow_bypass || file.allow_bypass.unwrap_or(false);
        settings.prefer = self.prefer.or(file.prefer).unwrap_or_default();
        settings.apply_hooks(if self.hook.is_empty() { &file.hook.0 } else { &self.hook })?;
        if let Some(seconds) = self.ageing_time.or(file.ageing_time) {
            settings.ageing_time = seconds;
        }
        settings.flap = self.flap.or(file.flap).unwrap_or(Flap::OFF);
        settings.loop_detect = self.loop_detect.or(file.loop_detect).map(|Switch(on)| on);
        if let Some(max) = self.fdb_max.or(file.fdb_max) {
            settings.fdb_max = max.stations();
        }
        settings.vlan_filtering = self.vlan_filtering.then_some(true).or(file.vlan_filtering);
        settings.uplink_vlan = file.uplink_vlan.clone().map(|vlans| vlans.0);
        settings.host_vlan = file.host_vlan.clone().map(|vlans| vlans.0);
        settings.multicast = MulticastSettings {
            snooping: self.mcast_snooping.then_some(true).or(file.mcast_snooping),
            querier: self.mcast_querier.then_some(true).or(file.mcast_querier),
            unregistered: self.mcast_unregistered.or(file.mcast_unregistered),
        };
        settings.metrics = self.metrics.or(file.metrics);
        settings.keep = self.keep || file.keep.unwrap_or(false);
        settings.log = self.log.or(file.log);
        #[cfg(feature = "lab")]
        {
            settings.lab = self.lab.into();
        }
        settings.validate()?;
        Ok(settings)
    }

    /// TAPs first, then the other ports.
    fn ports(&self, file: &File) -> Result<Vec<PortSettings>, Refusal> {
        let taps: Vec<TapEntry> = match self.tap.as_slice() {
            [] => file.tap.0.clone(),
            names => names.iter().cloned().map(TapEntry::from).collect(),
        };
        let ports: Vec<PortEntry> = match self.port.as_slice() {
            [] => file.port.0.clone(),
            names => names.iter().cloned().map(PortEntry::from).collect(),
        };
        let mut settings = Vec::new();
        for tap in taps {
            let hook = tap.hook.unwrap_or_default();
            let (ifname, policy) = (tap.name.clone(), tap.policy.clone());
            let vlan = tap.vlan.clone().map(|vlans| vlans.0);
            settings.push(PortSettings { ifname, hook, tap: Some(self.tap(tap, file)?), policy, vlan });
        }
        let port = |port: PortEntry| {
            let hook = port.hook.unwrap_or_default();
            let vlan = port.vlan.map(|vlans| vlans.0);
            PortSettings { ifname: port.name, hook, tap: None, policy: port.policy, vlan }
        };
        settings.extend(ports.into_iter().map(port));
        Ok(settings)
    }

    /// A TAP's own options, then the flags, then the file's general keys.
    fn tap(&self, tap: TapEntry, file: &File) -> Result<TapOptions, Refusal> {
        let owner = tap.owner.or(self.owner.clone()).or(file.owner.clone());
        let switch =
            |own: Option<bool>, flag: bool, file: Option<bool>| own.unwrap_or(flag || file == Some(true));
        Ok(TapOptions {
            owner: owner.map(|owner| owner.resolve()).transpose()?,
            multi_queue: switch(tap.multi_queue, self.multi_queue, file.multi_queue),
            no_vnet_hdr: switch(tap.no_vnet_hdr, self.no_vnet_hdr, file.no_vnet_hdr),
            mtu: tap.mtu.map(|mtu| mtu.bytes()),
        })
    }
}

#[cfg(feature = "lab")]
impl From<LabArgs> for crate::settings::Lab {
    fn from(args: LabArgs) -> Self {
        Self {
            clock: args.lab_clock,
            no_guard: args.lab_no_guard,
            other_tag: args.lab_other_tag,
            clsact: args.lab_clsact,
            fail_step: args.lab_fail_step,
            multicast_speed: args.lab_mcast_speed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::Cli, cli::Verb, control::protocol::HookChoice};
    use bridge_common::PortId;
    use clap::Parser as _;

    fn settings(words: &str, file: &str) -> Result<Settings, Refusal> {
        let cli = Cli::try_parse_from(["xbr", "run"].into_iter().chain(words.split_whitespace())).unwrap();
        let Verb::Run(args) = cli.verb else { unreachable!("the verb is run") };
        args.settings(cli.common.bridge, config::parse("x.toml", file)?)
    }

    #[test]
    fn flags_are_enough() {
        let words = "--uplink eth0 --tap vm1 --tap vm2 --port veth1 --hook tc --hook vm2=xdp --owner 7 \
                     --multi-queue --ageing-time 0 --fdb-max 10 --metrics [::1]:9473 --keep --bridge b";
        let settings = settings(words, "").unwrap();
        assert_eq!((settings.bridge.as_str(), settings.uplink.as_str()), ("b", "eth0"));
        assert_eq!((settings.ageing_time, settings.fdb_max, settings.keep), (0, 10, true));
        let ports: Vec<_> = settings.ports.iter().map(|port| (port.ifname.as_str(), port.hook)).collect();
        assert_eq!(ports, [("vm1", HookChoice::Tc), ("vm2", HookChoice::Xdp), ("veth1", HookChoice::Tc)]);
        let tap = TapOptions { owner: Some(7), multi_queue: true, ..TapOptions::default() };
        assert_eq!(settings.ports[0].tap, Some(tap));
        assert_eq!(settings.ports[2].tap, None);
    }

    #[test]
    fn a_file_is_enough_and_flags_override_it() {
        let file = "bridge = \"b\"\nuplink = \"eth0\"\nageing-time = 7\nmulti-queue = true\n\
                    tap = [\"vm1\", { name = \"vm2\", multi-queue = false, mtu = 9000, hook = \"xdp\" }]\n\
                    hook = \"tc\"\n";
        let from_file = settings("", file).unwrap();
        assert_eq!((from_file.bridge.as_str(), from_file.ageing_time), ("b", 7));
        let taps: Vec<_> = from_file.ports.iter().flat_map(|port| &port.tap).collect();
        assert!(taps[0].multi_queue && !taps[1].multi_queue && taps[1].mtu == Some(9000));
        assert_eq!(from_file.ports[1].hook, HookChoice::Xdp);
        let with_flags = settings("--bridge c --uplink eth1 --tap vm3 --ageing-time 8", file).unwrap();
        assert_eq!((with_flags.bridge.as_str(), with_flags.ageing_time), ("c", 8));
        assert_eq!((with_flags.uplink.as_str(), with_flags.ports.len()), ("eth1", 1));
    }

    #[test]
    fn the_first_vlan_of_a_file_turns_filtering_on() {
        let wants = |words, file| settings(words, file).unwrap().wants_vlan_filtering();
        assert_eq!(wants("--uplink eth0", ""), None, "as it was");
        assert_eq!(wants("--uplink eth0 --vlan-filtering", "vlan-filtering = false"), Some(true));
        let file =
            "uplink = \"eth0\"\nport = [{ name = \"veth1\", vlan = [\"10 pvid untagged\", \"20-30\"] }]\n";
        assert_eq!(wants("", file), Some(true));
        assert_eq!(wants("", &format!("vlan-filtering = false\n{file}")), Some(false));
        let settings = settings("--tap vm1", &format!("host-vlan = \"7\"\n{file}")).unwrap();
        let of = |id, name| settings.vlans_of(PortId(id), name).map(|vlans| vlans.len());
        assert_eq!((of(0, "host"), of(1, "eth0")), (Some(1), None));
        assert_eq!((of(2, "vm1"), of(3, "veth1")), (None, Some(2)));
    }

    #[test]
    fn bad_settings_are_refused() {
        let why = |words, file| settings(words, file).unwrap_err().message;
        assert_eq!(why("", ""), "no uplink is given");
        assert_eq!(why("--uplink e --tap a --port a", ""), "port a is given twice");
        assert_eq!(why("--uplink e --tap e", ""), "e is the uplink and cannot be another port too");
        assert_eq!(why("--uplink e --tap a", "owner = \"nobody-here\""), "there is no user nobody-here");
    }
}
