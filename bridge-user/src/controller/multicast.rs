//! Multicast snooping: what [`crate::multicast`] needs of the machine.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use bridge_common::{PortId, config::ConfigFlags, multicast::GroupSet};

use super::Bridge;
use crate::{
    Refusal, Result, clock,
    datapath::Seen,
    link::FrameSender,
    multicast::{Image, Snooping, Timers},
    settings::{MulticastSettings, Unregistered},
};

/// Deadlines that fall into so short a time are met together.
const PAUSE: u64 = 20_000_000;

/// What a controller has at hand for it.
#[derive(Default)]
pub struct Multicast {
    /// While it is on.
    pub(super) snooping: Option<Snooping>,
    pub(super) sender: Option<FrameSender>,
    pub(super) link_local: Option<Ipv6Addr>,
    /// The ports that forward, as they were last seen.
    up: BTreeSet<PortId>,
}

impl Bridge {
    /// Goes on with what was found, and does what the settings say.
    pub(super) fn begin_multicast(&mut self) -> Result<()> {
        if self.hands.tables.config().snoops() {
            self.snoop()?;
        }
        self.set_multicast(self.settings.multicast)
    }

    /// Changes what is asked for of multicast snooping.
    pub(super) fn set_multicast(&mut self, wanted: MulticastSettings) -> Result<()> {
        if wanted.querier == Some(true) && self.multicast.sender.is_none() {
            // Whether it may is to be known before anything is changed.
            let sender = FrameSender::open().map_err(|error| {
                Refusal::new(
                    format!("the bridge cannot be a multicast querier: {error}"),
                    "it takes CAP_NET_RAW beside what xbr takes in any case",
                )
            });
            self.multicast.sender = Some(sender?);
        }
        let mut config = self.hands.tables.config();
        let flags = config.flags;
        for (flag, on) in [
            (ConfigFlags::MCAST_SNOOPING, wanted.snooping),
            (ConfigFlags::MCAST_OWN_QUERIER, wanted.querier),
            (ConfigFlags::MCAST_UNREGISTERED, wanted.unregistered.map(|to| to == Unregistered::Flood)),
        ] {
            config.flags = config.flags.with(flag, on.unwrap_or(flags.has(flag)));
        }
        let (was_on, on) = (self.multicast.snooping.is_some(), config.snoops());
        if config.flags != flags {
            if !on {
                config.flags = without_queriers(config.flags);
            }
            self.hands.tables.set_config(config)?;
            tracing::info!(
                snooping = on,
                querier = config.flags.has(ConfigFlags::MCAST_OWN_QUERIER),
                "multicast"
            );
        }
        match (was_on, on) {
            (false, true) => self.snoop()?,
            (true, false) => return self.snoop_no_more(),
            _ => {}
        }
        self.multicast_second()
    }

    /// Begins, with what the maps hold.
    fn snoop(&mut self) -> Result<()> {
        let tables = &self.hands.tables;
        let (now, image) = (clock::monotonic(), Image::adopt(tables.groups()?));
        let mut snooping = Snooping::restored(self.timers(), now, image);
        snooping.set_vlans(now, &self.snooped_vlans()?, self.link_local()?);
        snooping.go_on(now);
        for port in self.numbers() {
            snooping.set_policy(port, tables.rules(port)?.groups);
            snooping.counters.insert(port, tables.group_counters(port)?);
        }
        (self.multicast.snooping, self.multicast.up) = (Some(snooping), self.ports_up()?);
        Ok(())
    }

    /// Ends: frames are flooded already. What the operator put into groups stays for the next time.
    fn snoop_no_more(&mut self) -> Result<()> {
        if let Some(snooping) = &mut self.multicast.snooping {
            snooping.begin(clock::monotonic());
        }
        self.settle_multicast()?;
        self.multicast = Multicast::default();
        self.hands.tables.set_routers(GroupSet::default())?;
        Ok(())
    }

    #[cfg(feature = "lab")]
    fn timers(&self) -> Timers {
        Timers::STANDARD.faster(self.settings.lab.multicast_speed)
    }

    #[cfg(not(feature = "lab"))]
    fn timers(&self) -> Timers {
        Timers::STANDARD
    }

    /// Takes in what the programs have shown.
    pub(super) fn snooped(&mut self, seen: &[Seen]) -> Result<()> {
        let now = clock::monotonic();
        let Some(snooping) = &mut self.multicast.snooping else { return Ok(()) };
        for Seen { head, bytes } in seen {
            // Of a port that went meanwhile.
            if head.port == PortId::HOST || self.members.contains_key(&head.port) {
                snooping.hear(now, head.port, head.vlan, bytes);
            }
        }
        self.settle_multicast()
    }

    /// How long nothing happens without a word from anybody.
    pub(super) fn multicast_pause(&self) -> Option<Duration> {
        let snooping = self.multicast.snooping.as_ref()?;
        let now = clock::monotonic();
        Some(Duration::from_nanos(snooping.next(now).saturating_sub(now).max(PAUSE)))
    }

    /// What comes with time.
    pub(super) fn multicast_tick(&mut self) -> Result<()> {
        if let Some(snooping) = &mut self.multicast.snooping {
            snooping.tick(clock::monotonic());
        }
        self.settle_multicast()
    }

    /// What is looked at once a second: addresses, VLANs, and ports that came and went.
    pub(super) fn multicast_second(&mut self) -> Result<()> {
        if self.multicast.snooping.is_none() {
            return Ok(());
        }
        self.multicast.link_local = self.link_local()?;
        let (up, vlans) = (self.ports_up()?, self.snooped_vlans()?);
        let (before, link_local) =
            (std::mem::replace(&mut self.multicast.up, up.clone()), self.multicast.link_local);
        if let Some(snooping) = &mut self.multicast.snooping {
            snooping.set_vlans(clock::monotonic(), &vlans, link_local);
            before.difference(&up).for_each(|port| snooping.port_down(*port));
            if up.difference(&before).next().is_some() {
                snooping.port_up(clock::monotonic());
            }
        }
        self.multicast_tick()?;
        self.write_counters()
    }

    fn write_counters(&mut self) -> Result<()> {
        let Some(snooping) = &self.multicast.snooping else { return Ok(()) };
        for (port, counters) in &snooping.counters {
            if self.hands.tables.group_counters(*port)? != *counters {
                self.hands.tables.set_group_counters(*port, *counters)?;
            }
        }
        Ok(())
    }

    fn ports_up(&self) -> Result<BTreeSet<PortId>> {
        let mut up = BTreeSet::new();
        for port in self.numbers() {
            if self.hands.tables.port(port)?.is_up() {
                up.insert(port);
            }
        }
        Ok(up)
    }

    /// The host's link-local address, by which it may ask for IPv6 groups, if it is to ask at all.
    fn link_local(&self) -> Result<Option<Ipv6Addr>> {
        if !self.hands.tables.config().flags.has(ConfigFlags::MCAST_OWN_QUERIER) {
            return Ok(None);
        }
        let Some(uplink) = self.members.get(&PortId::UPLINK) else { return Ok(None) };
        let addresses = self.hands.links.addresses(uplink.ifindex)?;
        Ok(addresses.iter().find_map(|at| match at.address {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(v6),
            _ => None,
        }))
    }

    /// Writes what has changed, and sends what is to be sent.
    pub(super) fn settle_multicast(&mut self) -> Result<()> {
        let now = clock::monotonic();
        let Some(snooping) = &mut self.multicast.snooping else { return Ok(()) };
        let (work, routers, known) = (snooping.work(now), snooping.routers(), snooping.known(now));
        let tables = &mut self.hands.tables;
        // Before anybody is trusted, what they said is written.
        work.writes.iter().try_for_each(|write| tables.change_group(write))?;
        let routers = GroupSet { ports: routers.ports, permanent: routers.permanent };
        if tables.routers()? != routers {
            tables.set_routers(routers)?;
        }
        let mut config = tables.config();
        let flags = without_queriers(config.flags);
        let flags = ConfigFlags(if config.snoops() { flags.0 | known.0 } else { flags.0 });
        if config.flags != flags {
            config.flags = flags;
            tables.set_config(config)?;
        }
        work.questions.iter().try_for_each(|question| self.send_query(question))
    }

    /// VLANs mean something else now: whoever is in a group has to say so again, and frames are flooded until then.
    pub(super) fn ask_all_anew(&mut self) -> Result<()> {
        let (now, vlans) = (clock::monotonic(), self.snooped_vlans()?);
        if let Some(snooping) = &mut self.multicast.snooping {
            snooping.set_vlans(now, &vlans, self.multicast.link_local);
            snooping.begin(now);
        }
        self.settle_multicast()
    }

    /// What a port may do with groups has changed.
    pub(super) fn multicast_policy_changed(&mut self, id: PortId) -> Result<()> {
        let policy = self.hands.tables.group_policy(id)?;
        if let Some(snooping) = &mut self.multicast.snooping {
            snooping.set_policy(id, policy);
        }
        self.settle_multicast()
    }

    /// A port's number is free, and the next that has it is in no group.
    pub(super) fn forget_in_groups(&mut self, id: PortId) -> Result<()> {
        self.hands.tables.set_group_counters(id, Default::default())?;
        self.multicast.up.remove(&id);
        let mut routers = self.hands.tables.routers()?;
        if routers.ports.has(id) {
            routers.ports = routers.ports.with(id, false);
            routers.permanent = routers.permanent.with(id, false);
            self.hands.tables.set_routers(routers)?;
        }
        self.with_groups(|snooping| snooping.port_gone(id))
    }

    /// Changes groups, also while nobody snoops.
    pub(super) fn with_groups<T>(&mut self, change: impl FnOnce(&mut Snooping) -> T) -> Result<T> {
        if let Some(snooping) = &mut self.multicast.snooping {
            let outcome = change(snooping);
            self.settle_multicast()?;
            return Ok(outcome);
        }
        let image = Image::adopt(self.hands.tables.groups()?);
        let now = clock::monotonic();
        let mut snooping = Snooping::restored(self.timers(), now, image);
        let outcome = change(&mut snooping);
        snooping.work(now).writes.iter().try_for_each(|write| self.hands.tables.change_group(write))?;
        Ok(outcome)
    }
}

fn without_queriers(flags: ConfigFlags) -> ConfigFlags {
    flags.with(ConfigFlags(ConfigFlags::MCAST_QUERIER_V4.0 | ConfigFlags::MCAST_QUERIER_V6.0), false)
}
