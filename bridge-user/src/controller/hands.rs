//! Carrying out what was planned. The only place where a plan touches the machine.

use bridge_common::{Port, PortId, record::PortRecord};

use crate::{
    Error, Result, clock,
    datapath::{Attachment, PinDir, Programs, Slot, Tables, Way},
    link::{self, InterfaceName, Links, offload, sysctl, tap},
    plan::act::{Act, Step},
};

/// What it takes to change the machine.
pub struct Hands {
    /// The bridge's folder.
    pub pins: PinDir,
    /// The tables.
    pub tables: Tables,
    /// The devices.
    pub links: Links,
    /// The programs; none where a bridge is only taken away.
    pub programs: Option<Programs>,
    /// From this number on the tables are as they were made.
    pub untouched: u16,
    /// In the lab: how many acts are left until one fails.
    #[cfg(feature = "lab")]
    pub fail_after: Option<u32>,
}

impl Hands {
    /// Carries out all steps, or none: the ones before a step that fails are taken back.
    pub fn perform(&mut self, steps: Vec<Step>) -> Result<()> {
        let mut done = Vec::new();
        for step in steps {
            if let Some(act) = &step.act
                && let Err(error) = self.risk(act)
            {
                self.take_back(done.into_iter().rev());
                return Err(error);
            }
            done.extend(step.undo);
        }
        Ok(())
    }

    /// Carries out acts that undo something, every one of them, whatever happens to the others.
    pub fn take_back(&mut self, acts: impl IntoIterator<Item = Act>) {
        for act in acts {
            match self.act(&act) {
                Ok(()) => {}
                // The device is gone, and with it what was to be undone.
                Err(Error::Link(error)) if error.is_gone() => {}
                Err(error) => tracing::error!(?act, %error, "cannot undo"),
            }
        }
    }

    /// An act that the lab may make fail.
    fn risk(&mut self, act: &Act) -> Result<()> {
        #[cfg(feature = "lab")]
        if let Some(left) = &mut self.fail_after {
            if *left == 0 {
                self.fail_after = None;
                return Err(Error::Controller(format!("the lab made this step fail: {act:?}")));
            }
            *left -= 1;
        }
        self.act(act)
    }

    fn act(&mut self, act: &Act) -> Result<()> {
        tracing::debug!(?act);
        match act {
            Act::Record(id, record) => Ok(self.tables.set_record(*id, *record)?),
            Act::Forget(id) => self.forget(*id),
            Act::Ipv6(name, on) => Ok(sysctl::set_ipv6_disabled(name, !on)?),
            Act::Feature(name, feature, on) => Ok(offload::set(name, feature, *on)?),
            Act::Promiscuous(name, on) => Ok(self.links.set_promiscuous(self.index(name)?, *on)?),
            Act::Facts(id, port) => self.facts(*id, *port),
            Act::NoFacts(id, ifindex) => self.no_facts(*id, *ifindex),
            Act::Clsact(name, on) => self.set_clsact(name, self.index(name)?, *on),
            Act::Attach(id, slot, name, ifindex) => self.attach(*id, *slot, name, *ifindex).map(drop),
            Act::Detach(id, slot, ifindex) => self.take_out(*id, *slot, *ifindex),
            Act::Enter(id, ifindex) => Ok(self.tables.set_device(*id, Some(*ifindex))?),
            Act::Leave(id) => Ok(self.tables.set_device(*id, None)?),
            Act::Free(name) => self.free(name),
            Act::Up(name) => Ok(self.links.set_up(self.index(name)?)?),
            Act::Down(name) => Ok(self.links.set_down(self.index(name)?)?),
            Act::Destroy(name) => Ok(tap::destroy(&self.links, name)?),
        }
    }

    fn index(&self, name: &InterfaceName) -> Result<u32> {
        let link = self.links.get(name)?;
        link.map(|link| link.index).ok_or_else(|| {
            // In the kernel's words, as if it had been asked.
            link::Error::Get { name: name.clone(), reason: nix::errno::Errno::ENODEV.into() }.into()
        })
    }

    /// Somebody may have taken a device while we were at it. What has a master is not ours to set up.
    fn free(&self, name: &InterfaceName) -> Result<()> {
        match self.links.get(name)? {
            Some(link) if link.master.is_some() => {
                Err(Error::Controller(format!("{name} has got a master meanwhile")))
            }
            _ => Ok(()),
        }
    }

    /// Puts a program into a slot of a device, over our own if it is there.
    pub(super) fn attach(
        &mut self,
        id: PortId,
        slot: Slot,
        name: &InterfaceName,
        ifindex: u32,
    ) -> Result<Attachment> {
        let Some(programs) = &mut self.programs else {
            return Err(Error::Controller(format!("no programs are loaded to attach to {name}")));
        };
        if programs.way() == Way::Clsact && matches!(slot, Slot::Ingress | Slot::Egress) {
            return self.put_filter(id, slot, name, ifindex);
        }
        Ok(programs.attach(id, slot, name.as_str(), ifindex)?)
    }

    fn facts(&mut self, id: PortId, port: Port) -> Result<()> {
        match port.ifindex {
            0 => self.tables.set_port(id, port)?,
            _ => self.tables.set_facts(id, port)?,
        }
        if id != PortId::HOST {
            self.tables.set_port_of(port.ifindex, Some(id))?;
            self.widen(id)?;
        }
        Ok(())
    }

    fn no_facts(&mut self, id: PortId, ifindex: u32) -> Result<()> {
        self.tables.set_port(id, Port::default())?;
        Ok(self.tables.set_port_of(ifindex, None)?)
    }

    /// What tables and pins hold of a port's device, which is gone. What is known of the port stays.
    pub(super) fn forget_device(&mut self, id: PortId, ifindex: u32) -> Result<()> {
        self.no_facts(id, ifindex)?;
        if id == PortId::UPLINK {
            self.tables.set_port(PortId::HOST, Port::default())?;
        }
        for slot in [Slot::Ingress, Slot::Egress, Slot::Xdp] {
            self.pins.unpin(id, slot)?;
        }
        Ok(())
    }

    /// Forgets a port and every station behind it. What it was allowed stays, VLANs included: a device whose return failed may be tried again.
    pub(super) fn forget(&mut self, id: PortId) -> Result<()> {
        self.flush(id)?;
        self.forget_neighbours(id)?;
        Ok(self.tables.set_record(id, PortRecord::default())?)
    }

    /// Begins with a number that no port has.
    pub(super) fn begin(&mut self, id: PortId) -> Result<()> {
        if id.0 < self.untouched {
            self.tables.clear_rules(id)?;
            self.forget_neighbours(id)?;
            self.tables.clear_counters(id)?;
        }
        self.untouched = self.untouched.max(id.0 + 1);
        Ok(self.tables.set_joined(id, clock::monotonic())?)
    }

    /// Deletes every neighbour behind a port.
    fn forget_neighbours(&mut self, id: PortId) -> Result<()> {
        for (key, neighbour) in self.tables.neighbours()? {
            if neighbour.port() == id {
                self.tables.remove_neighbour(&key)?;
            }
        }
        Ok(self.tables.recount_neighbours()?)
    }

    /// Deletes every station behind a port, static ones included.
    pub fn flush(&mut self, id: PortId) -> Result<()> {
        let mut stations = self.tables.entries()?;
        stations.retain(|row| row.entry.port() == id);
        Ok(self.tables.forget_stations(&stations)?)
    }

    /// The programs look at port numbers up to the highest that was ever in use.
    fn widen(&mut self, id: PortId) -> Result<()> {
        let mut config = self.tables.config();
        if config.ports_end <= id.0 {
            config.ports_end = id.0 + 1;
            self.tables.set_config(config)?;
        }
        Ok(())
    }
}
