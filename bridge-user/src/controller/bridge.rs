//! A bridge in the hands of its controller.

use std::collections::BTreeMap;

use bridge_common::{
    Mac, PortId,
    config::ConfigFlags,
    port::MAX_PORTS,
    record::{BridgeRecord, PortRecord},
};
use tokio::sync::broadcast;

use super::{attach::Attaching, checks, hands::Hands, loops::Loops, multicast::Multicast};
use crate::{
    Error, Refusal, Result,
    control::{Event, protocol::PortEvent},
    datapath::{Loader, Options, PinDir, Programs, Start, Way},
    link::{InterfaceName, Link, Links, namespace},
    plan::{Probe, steps::Member},
    settings::Settings,
};

/// Events that a slow monitor may fall behind before it loses some.
const NEWS_KEPT: usize = 1024;

/// A bridge, its ports, and what it takes to change them.
pub struct Bridge {
    pub(super) hands: Hands,
    pub(super) settings: Settings,
    /// Every port that has a device, by number.
    pub(super) members: BTreeMap<PortId, Member>,
    /// Ports whose device is away, as they were written down.
    pub(super) absent: BTreeMap<PortId, PortRecord>,
    /// What was chosen for each port and why, for the operator.
    pub(super) notes: Vec<String>,
    pub(super) news: broadcast::Sender<Event>,
    /// Whether somebody captures, and is still there.
    pub(super) capturing: bool,
    /// Nothing can expire before this time; see `sweep`.
    pub(super) next_expiry: u64,
    /// The hook that each port was told to have, in words, so that only changes are said again.
    pub(super) said: BTreeMap<PortId, String>,
    /// What frames of each port go past although nobody allowed it, as it was said.
    pub(super) bypasses: BTreeMap<PortId, Vec<String>>,
    /// While the bridge starts: whose the devices are.
    pub(super) claimed: Option<checks::Claimed>,
    pub(super) attaching: Attaching,
    pub(super) multicast: Multicast,
    /// BPDUs that were counted at each port that is to be stopped for one.
    pub(super) bpdus: BTreeMap<PortId, u64>,
    pub(super) loops: Loops,
    /// Seconds since neighbours were last looked through.
    pub(super) neighbours_swept: u32,
}

impl Bridge {
    /// Brings the bridge up: from nothing, or over what a former controller left forwarding. On an error the
    /// machine is as it was before.
    pub fn start(settings: Settings, probe: &Probe, loader: Loader) -> Result<(Self, Start)> {
        let pins = PinDir::of(&settings.bridge)?;
        let links = Links::open()?;
        let (uplink, warnings, claimed) = checks::devices(&settings, &links, &pins)?;
        let found = pins.exists();
        let wanted = options(&settings, namespace::cookie()?, Way::of(probe.kernel));
        // Two programs on one device would both forward: a bridge keeps the way that it began with.
        let way = pins.way()?.unwrap_or(wanted.way);
        let loaded = Programs::load_by(loader, &pins, &Options { way, ..wanted });
        let (programs, tables, start) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                if !found {
                    pins.remove()?;
                }
                return Err(error.into());
            }
        };
        let hands = Hands {
            pins,
            tables,
            links,
            programs: Some(programs),
            untouched: if start == Start::Fresh { 0 } else { MAX_PORTS as u16 },
            #[cfg(feature = "lab")]
            fail_after: settings.lab.fail_step,
        };
        let mut bridge = Self {
            hands,
            settings,
            members: BTreeMap::new(),
            absent: BTreeMap::new(),
            notes: warnings.into_iter().map(|warning| format!("warning: {warning}")).collect(),
            news: broadcast::channel(NEWS_KEPT).0,
            capturing: false,
            next_expiry: 0,
            said: BTreeMap::new(),
            bypasses: BTreeMap::new(),
            claimed: Some(claimed),
            attaching: Attaching::default(),
            multicast: Multicast::default(),
            bpdus: BTreeMap::new(),
            loops: Loops::default(),
            neighbours_swept: 0,
        };
        if way != wanted.way {
            bridge.notes.push(kept(way).into());
        }
        let fresh = start == Start::Fresh;
        let outcome = bridge.bring_up(&uplink, fresh);
        bridge.claimed = None;
        match outcome {
            Ok(()) => Ok((bridge, start)),
            Err(error) => {
                // What was forwarding before goes on forwarding.
                if fresh {
                    bridge.take_down()?;
                }
                Err(error)
            }
        }
    }

    fn bring_up(&mut self, uplink: &Link, fresh: bool) -> Result<()> {
        let mac =
            uplink.mac.ok_or_else(|| Error::Controller(format!("{} has no MAC address", uplink.name)))?;
        self.hands.tables.set_bridge(BridgeRecord { namespace: namespace::cookie()? })?;
        self.configure(mac)?;
        if fresh {
            if let Some(on) = self.settings.wants_vlan_filtering() {
                // Before the first port, which then is in its VLANs and in no other from its first frame on.
                self.set_vlan_filtering(on)?;
            }
            self.take_in_uplink(uplink)?;
        } else {
            self.adopt(uplink)?;
        }
        for port in self.settings.ports.clone() {
            self.take_in_configured(&port)?;
        }
        self.apply_vlan_settings()?;
        self.choose_hooks()?;
        if let Some(programs) = &mut self.hands.programs {
            programs.settle()?;
        }
        self.attach_all()?;
        self.look_behind_host()?;
        self.settle_floods()?;
        self.begin_watching_loops()?;
        self.settle_neighbours()?;
        self.begin_multicast()?;
        // Whoever captured before has lost its controller and ended.
        self.end_capture()?;
        // What was forwarding goes on, and its operator hears what it goes past.
        if fresh { Ok(()) } else { self.rules_changed() }
    }

    pub(super) fn configure(&mut self, uplink_mac: Mac) -> Result<()> {
        let mut config = self.hands.tables.config();
        config.ageing = u64::from(self.settings.ageing_time) * 1_000_000_000;
        config.uplink = uplink_mac.address();
        if let Some(on) = self.settings.loop_detect {
            config.flags = config.flags.with(ConfigFlags::NO_LOOP_DETECT, !on);
        }
        (config.flap_moves, config.flap_window) = (self.settings.flap.moves, self.settings.flap.seconds);
        Ok(self.hands.tables.set_config(config)?)
    }

    /// Takes everything away and leaves the machine as it was found.
    pub fn take_down(&mut self) -> Result<()> {
        // The uplink last: it has the lowest number.
        for member in std::mem::take(&mut self.members).into_values().rev() {
            self.hands.take_back(member.release());
        }
        Ok(self.hands.pins.remove()?)
    }

    /// A number that no port has.
    pub(super) fn free_number(&self) -> Result<PortId> {
        (PortId::FIRST_GUEST.0..MAX_PORTS as u16)
            .map(PortId)
            .find(|id| !self.members.contains_key(id) && !self.absent.contains_key(id))
            .ok_or_else(|| {
                Refusal::new(
                    format!(
                        "bridge {} has {MAX_PORTS} ports, which is all it can have",
                        self.settings.bridge
                    ),
                    "take a port away first, or start a second bridge with another uplink",
                )
                .into()
            })
    }

    /// The port whose device has this name.
    pub(super) fn port_named(&self, name: &str) -> Option<PortId> {
        let present = self.members.iter().find(|(_, member)| member.name.as_str() == name);
        let away = || self.absent.iter().find(|(_, record)| record.name() == name).map(|(id, _)| *id);
        present.map(|(id, _)| *id).or_else(away)
    }

    /// A guest's port by name, for a verb that takes it away.
    pub(super) fn guest_named(&self, name: &InterfaceName) -> Result<PortId> {
        match self.port_named(name.as_str()) {
            Some(PortId::UPLINK) => Err(Refusal::new(
                format!("{name} is the uplink of bridge {}", self.settings.bridge),
                "xbr down takes the whole bridge away",
            )
            .into()),
            Some(id) => Ok(id),
            None => Err(Refusal::new(
                format!("{name} is no port of bridge {}", self.settings.bridge),
                "xbr port show lists the ports",
            )
            .into()),
        }
    }

    /// A port's name, for people.
    pub(super) fn name_of(&self, id: PortId) -> String {
        if id == PortId::HOST {
            return "host".into();
        }
        match (self.members.get(&id), self.absent.get(&id)) {
            (Some(member), _) => member.name.to_string(),
            (None, Some(record)) => record.name().into(),
            (None, None) => format!("#{}", id.0),
        }
    }

    /// Tells the monitors.
    pub(super) fn tell(&self, event: Event) {
        // Nobody listening is fine.
        let _ = self.news.send(event);
    }

    /// Tells the log, the operator and the monitors about a port.
    pub(super) fn tell_port(&self, kind: fn(PortEvent) -> Event, id: PortId, detail: impl Into<String>) {
        let (ifname, detail) = (self.name_of(id), detail.into());
        let event = kind(PortEvent { ifname, detail });
        tracing::info!(?event);
        self.tell(event);
    }
}

/// What to say of a bridge that was attached in another way than it would be now.
fn kept(way: Way) -> &'static str {
    match way {
        Way::Tcx => "TC programs stay attached by tcx links, as they were found",
        Way::Clsact => "TC programs stay attached by clsact filters, as they were found",
    }
}

#[cfg(feature = "lab")]
fn options(settings: &Settings, namespace: u64, way: Way) -> Options {
    let lab = &settings.lab;
    Options {
        way: if lab.clsact { Way::Clsact } else { way },
        clock: lab.clock,
        no_guard: lab.no_guard,
        other_tag: lab.other_tag,
        ..Options::new(settings.fdb_max, namespace)
    }
}

#[cfg(not(feature = "lab"))]
fn options(settings: &Settings, namespace: u64, way: Way) -> Options {
    Options { way, ..Options::new(settings.fdb_max, namespace) }
}
