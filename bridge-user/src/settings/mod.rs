//! Everything that `xbr run` needs to know, whether it came from flags or from a file.

mod multicast;
mod pattern;
mod values;

use std::{collections::BTreeSet, net::SocketAddr};

use bridge_common::{PortId, maps::DEFAULT_FDB_MAX};

pub use multicast::{MulticastSettings, Unregistered};
pub use pattern::Pattern;
pub use values::{FdbMax, Flap, HookRule, InvalidValue, Mtu, Owner, Prefer};

use crate::{
    Refusal,
    control::protocol::{HookChoice, TapOptions},
    datapath::{BridgeName, Rules},
    link::InterfaceName,
    policy::{self, PortOptions},
    snapshot::HOST,
    vlan::PortVlan,
};

/// The bridge's name where none is given.
pub const DEFAULT_BRIDGE: &str = "xbr0";
/// Seconds after which a silent station is forgotten, where nothing else is said.
pub const DEFAULT_AGEING_TIME: u32 = 300;

/// What `xbr run` is to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The bridge's name.
    pub bridge: BridgeName,
    /// The device that leads outside.
    pub uplink: InterfaceName,
    /// By which hook it is attached.
    pub uplink_hook: HookChoice,
    /// The guests' ports, TAPs first, in the order in which they were named; no name comes twice.
    pub ports: Vec<PortSettings>,
    /// TAPs that others make become ports if one of these matches their names.
    pub attach: Vec<Pattern>,
    /// By which hook such are attached.
    pub attach_hook: HookChoice,
    /// What `auto` goes for.
    pub prefer: Prefer,
    /// Take ports whose frames go past rules, filters or queueing disciplines of others.
    pub allow_bypass: bool,
    /// Seconds after which a silent station is forgotten; 0 is never.
    pub ageing_time: u32,
    /// How often a station may move.
    pub flap: Flap,
    /// Whether loops are looked for; `None` for as it was, which is on in the beginning.
    pub loop_detect: Option<bool>,
    /// The most stations, 1 to 16,777,216.
    pub fdb_max: u32,
    /// Whether VLANs are filtered; `None` for as it was, which is off in the beginning.
    pub vlan_filtering: Option<bool>,
    /// The VLANs of the uplink; `None` for as they were, which is VLAN 1 in the beginning.
    pub uplink_vlan: Option<Vec<PortVlan>>,
    /// The same, of the host.
    pub host_vlan: Option<Vec<PortVlan>>,
    /// Whether and how groups are snooped.
    pub multicast: MulticastSettings,
    /// Where `/metrics` is served, if at all.
    pub metrics: Option<SocketAddr>,
    /// At the end, leave everything forwarding.
    pub keep: bool,
    /// What is logged, in the words of tracing's `EnvFilter`, such as `debug` or `xbr=trace`.
    pub log: Option<String>,
    /// What only a lab may change.
    #[cfg(feature = "lab")]
    pub lab: Lab,
}

/// A guest's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSettings {
    /// The device.
    pub ifname: InterfaceName,
    /// By which hook it is attached.
    pub hook: HookChoice,
    /// How to make the TAP; `None` for a device that exists.
    pub tap: Option<TapOptions>,
    /// What it is allowed; what is not said here stays as it was, or as it is for a new port.
    pub policy: PortOptions,
    /// Its VLANs; `None` for as they were.
    pub vlan: Option<Vec<PortVlan>>,
}

/// What only a lab may change.
#[cfg(feature = "lab")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lab {
    /// What the programs take for the time, in nanoseconds; 0 for the kernel's clock.
    pub clock: u64,
    /// Redirect in XDP without asking the checksum guard.
    pub no_guard: bool,
    /// Load the programs that do the same under another tag.
    pub other_tag: bool,
    /// Attach TC programs as before Linux 6.6.
    pub clsact: bool,
    /// Let the step of this number, from 0, fail.
    pub fail_step: Option<u32>,
    /// So many times faster are the times of groups and queries; 0 and 1 for the standard's.
    pub multicast_speed: u32,
}

impl Settings {
    /// Settings with the defaults, for an uplink alone.
    pub fn new(bridge: BridgeName, uplink: InterfaceName) -> Self {
        Self {
            bridge,
            uplink,
            uplink_hook: HookChoice::Auto,
            ports: Vec::new(),
            attach: Vec::new(),
            attach_hook: HookChoice::Auto,
            prefer: Prefer::default(),
            allow_bypass: false,
            ageing_time: DEFAULT_AGEING_TIME,
            flap: Flap::OFF,
            loop_detect: None,
            fdb_max: DEFAULT_FDB_MAX,
            vlan_filtering: None,
            uplink_vlan: None,
            host_vlan: None,
            multicast: MulticastSettings::default(),
            metrics: None,
            keep: false,
            log: None,
            #[cfg(feature = "lab")]
            lab: Lab::default(),
        }
    }

    /// Applies `--hook`: rules without a port hold for all ports whose own is `auto`, then each rule with a
    /// port for its own. The later of two rules for the same wins.
    pub fn apply_hooks(&mut self, rules: &[HookRule]) -> Result<(), Refusal> {
        if let Some(general) = rules.iter().rev().find(|rule| rule.port.is_none()) {
            let all = self.ports.iter_mut().map(|port| &mut port.hook).chain([&mut self.uplink_hook]);
            all.filter(|hook| **hook == HookChoice::Auto).for_each(|hook| *hook = general.hook);
            self.attach_hook = general.hook;
        }
        for rule in rules {
            let Some(name) = &rule.port else { continue };
            let hook = if *name == self.uplink {
                Some(&mut self.uplink_hook)
            } else {
                self.ports.iter_mut().find(|port| port.ifname == *name).map(|port| &mut port.hook)
            };
            let message = || format!("a hook is given for {name}, which is no port of the bridge");
            *hook.ok_or_else(|| Refusal::new(message(), "name it with --tap or --port too"))? = rule.hook;
        }
        Ok(())
    }

    /// The VLANs that a port is to have, if these settings speak of them.
    pub fn vlans_of(&self, id: PortId, ifname: &str) -> Option<&[PortVlan]> {
        match id {
            PortId::HOST => self.host_vlan.as_deref(),
            PortId::UPLINK => self.uplink_vlan.as_deref(),
            _ => self.ports.iter().find(|port| port.ifname.as_str() == ifname)?.vlan.as_deref(),
        }
    }

    /// Whether VLANs are to be filtered, if these settings say so: the first VLAN does.
    pub fn wants_vlan_filtering(&self) -> Option<bool> {
        let any = self.uplink_vlan.is_some()
            || self.host_vlan.is_some()
            || self.ports.iter().any(|port| port.vlan.is_some());
        self.vlan_filtering.or(any.then_some(true))
    }

    /// Refuses what can be seen to be wrong without a look at the machine.
    pub fn validate(&self) -> Result<(), Refusal> {
        let mut seen = BTreeSet::new();
        for port in &self.ports {
            let name = &port.ifname;
            if *name == self.uplink {
                let message = format!("{name} is the uplink and cannot be another port too");
                return Err(Refusal::new(message, "name it once"));
            }
            if name.as_str() == HOST {
                return Err(Refusal::new(
                    "no device named host can be a port, since that name means the host itself",
                    "rename the device: ip link set host name NEW",
                ));
            }
            if !seen.insert(name) {
                return Err(Refusal::new(format!("port {name} is given twice"), "name it once"));
            }
            policy::apply(PortId::FIRST_GUEST, Rules::default(), &port.policy).map_err(|refusal| {
                Refusal { message: format!("port {name}: {}", refusal.message), ..refusal }
            })?;
        }
        if let Some(filter) = &self.log {
            tracing_subscriber::EnvFilter::try_new(filter).map_err(|error| {
                let message = format!("{filter:?} does not say what to log ({error})");
                Refusal::new(message, "write a level, such as info or debug, or as in bridge_user=trace")
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(ports: &[&str]) -> Settings {
        let port = |name: &&str| PortSettings {
            ifname: name.parse().unwrap(),
            hook: HookChoice::Auto,
            tap: None,
            policy: PortOptions::default(),
            vlan: None,
        };
        Settings {
            ports: ports.iter().map(port).collect(),
            ..Settings::new("xbr0".parse().unwrap(), "eth0".parse().unwrap())
        }
    }

    fn rules(rules: &[&str]) -> Vec<HookRule> {
        rules.iter().map(|rule| rule.parse().unwrap()).collect()
    }

    #[test]
    fn a_rule_for_a_port_beats_one_for_all() {
        let mut settings = settings(&["vm1", "vm2"]);
        settings.apply_hooks(&rules(&["vm1=auto", "xdp", "vm2=tc"])).unwrap();
        let hooks: Vec<_> = settings.ports.iter().map(|port| port.hook).collect();
        assert_eq!(hooks, [HookChoice::Auto, HookChoice::Tc]);
        assert_eq!(settings.uplink_hook, HookChoice::Xdp);
        insta::assert_snapshot!(settings.apply_hooks(&rules(&["vm9=tc"])).unwrap_err(), @r"
        a hook is given for vm9, which is no port of the bridge
        hint: name it with --tap or --port too
        ");
    }

    #[test]
    fn bad_settings_are_one_sentence() {
        let why = |settings: Settings| settings.validate().unwrap_err().message;
        assert_eq!(why(settings(&["vm1", "vm1"])), "port vm1 is given twice");
        assert_eq!(why(settings(&["eth0"])), "eth0 is the uplink and cannot be another port too");
        assert!(why(settings(&["host"])).starts_with("no device named host can be a port"));
        let log = Some("a=b=c".into());
        assert!(why(Settings { log, ..settings(&[]) }).contains("does not say what to log"));
        settings(&["vm1", "vm2"]).validate().unwrap();
    }
}
