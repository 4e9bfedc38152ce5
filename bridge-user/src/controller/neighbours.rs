//! The table of neighbours: what operators write into it, and what is to be forgotten. Learning and answering is the programs' work.

use std::net::IpAddr;

use bridge_common::{
    PortFlags, PortId,
    config::ConfigFlags,
    neigh::{Neighbour, NeighbourKey},
    vlan::Membership,
};

use super::{Bridge, fdb::station_key};
use crate::{Refusal, Result, clock};

/// Seconds between two looks for neighbours that have expired.
const PAUSE: u32 = 10;

/// An address as it is in a key.
fn key(address: IpAddr, vlan: u16) -> NeighbourKey {
    match address {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            NeighbourKey { vlan, family: 4, address: bytes }
        }
        IpAddr::V6(v6) => NeighbourKey { vlan, family: 6, address: v6.octets() },
    }
}

impl Bridge {
    /// Has the programs learn neighbours while some port has `neigh_suppress`, and only then.
    pub(super) fn settle_neighbours(&mut self) -> Result<()> {
        let mut on = false;
        for id in self.members.keys() {
            on |= self.hands.tables.policy(*id)?.flags.has(PortFlags::NEIGH_SUPPRESS);
        }
        let mut config = self.hands.tables.config();
        if config.flags.has(ConfigFlags::NEIGH_SUPPRESS) == on {
            return Ok(());
        }
        config.flags = config.flags.with(ConfigFlags::NEIGH_SUPPRESS, on);
        self.hands.tables.set_config(config)?;
        if on {
            return Ok(());
        }
        // Nobody hears any longer who has which address.
        self.forget_neighbours(|_, neighbour| !neighbour.is_static())
    }

    fn forget_neighbours(&mut self, unwanted: impl Fn(&NeighbourKey, &Neighbour) -> bool) -> Result<()> {
        let tables = &mut self.hands.tables;
        for (key, _) in tables.neighbours()?.into_iter().filter(|(key, neighbour)| unwanted(key, neighbour)) {
            tables.remove_neighbour(&key)?;
        }
        Ok(tables.recount_neighbours()?)
    }

    /// Called every second.
    pub(super) fn sweep_neighbours(&mut self) -> Result<()> {
        self.settle_neighbours()?;
        let config = self.hands.tables.config();
        self.neighbours_swept = (self.neighbours_swept + 1) % PAUSE;
        if self.neighbours_swept != 0 || !config.flags.has(ConfigFlags::NEIGH_SUPPRESS) {
            return Ok(());
        }
        let now = clock::monotonic();
        self.forget_neighbours(|key, neighbour| {
            let strange = (key.vlan != 0) != config.filters_vlans();
            neighbour.is_expired(now, config.ageing) || strange && !neighbour.is_static()
        })
    }

    /// `xbr neigh add`.
    pub(super) fn neigh_add(&mut self, address: IpAddr, mac: &str, ifname: &str, vlan: u16) -> Result<()> {
        let id = self.port_or_host(ifname)?;
        let mac = station_key(mac, vlan)?.mac;
        if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
            let hint = "a neighbour has an address of its own: no group's, and not the loopback's";
            return Err(Refusal::new(format!("{address} is no neighbour's address"), hint).into());
        }
        let vlan = self.neighbour_vlan(id, ifname, vlan)?;
        self.hands.tables.set_neighbour(key(address, vlan), Neighbour::fixed(mac, id))?;
        Ok(self.hands.tables.recount_neighbours()?)
    }

    /// The VLAN that is meant: where VLANs are filtered and none is named, the port's own.
    fn neighbour_vlan(&self, id: PortId, ifname: &str, vlan: u16) -> Result<u16> {
        if !self.filters_vlans() {
            return match vlan {
                0 => Ok(0),
                _ => {
                    let hint = "xbr vlan filtering on turns that on; until then leave the VLAN out";
                    Err(Refusal::new("VLANs are not filtered, so a neighbour is in none", hint).into())
                }
            };
        }
        let vlan = if vlan == 0 { self.hands.tables.policy(id)?.flags.pvid() } else { vlan };
        if vlan == 0 || self.hands.tables.vlans().get(vlan)?.membership(id) == Membership::None {
            let what = if vlan == 0 { "a VLAN of its own".into() } else { format!("VLAN {vlan}") };
            let hint = format!("put it there first: xbr vlan add dev {ifname} vid VID");
            return Err(Refusal::new(format!("{ifname} is not in {what}"), hint).into());
        }
        Ok(vlan)
    }

    /// `xbr neigh del`. `vlan` 0 is any.
    pub(super) fn neigh_del(&mut self, address: IpAddr, ifname: Option<&str>, vlan: u16) -> Result<()> {
        let port = ifname.map(|name| self.port_or_host(name)).transpose()?;
        let wanted = key(address, 0);
        let is_meant = |key: &NeighbourKey, neighbour: &Neighbour| {
            (key.family, key.address) == (wanted.family, wanted.address)
                && (vlan == 0 || key.vlan == vlan)
                && port.is_none_or(|port| port == neighbour.port())
        };
        if !self.hands.tables.neighbours()?.iter().any(|(key, neighbour)| is_meant(key, neighbour)) {
            let hint = "xbr neigh show lists them";
            return Err(Refusal::new(format!("there is no neighbour {address}"), hint).into());
        }
        self.forget_neighbours(is_meant)
    }
}
