//! What operators put into groups, and take out.

use std::net::IpAddr;

use bridge_common::{PortId, vlan::Membership};

use super::Bridge;
use crate::{
    Refusal, Result, clock,
    control::protocol::GroupEntry,
    multicast::{Full, GroupId, Record, RecordKind, Snooping, is_of_link},
};

impl Bridge {
    /// Puts a port into a group.
    pub(super) fn mdb_add(&mut self, entry: &GroupEntry) -> Result<()> {
        let (port, vlans) = self.group_place(entry)?;
        if self.multicast.snooping.is_none() {
            let message = format!("multicast snooping of bridge {} is off", self.settings.bridge);
            return Err(Refusal::new(message, "turn it on first: xbr mdb snooping on").into());
        }
        let now = clock::monotonic();
        let outcome = self.with_groups(|snooping| {
            let ids: Vec<_> = vlans.iter().map(|vlan| GroupId { vlan: *vlan, group: entry.group }).collect();
            let mut added = Vec::new();
            for id in &ids {
                match add(snooping, now, port, *id, entry) {
                    Ok(true) => added.push(*id),
                    Ok(false) => {}
                    Err(Full) => {
                        for id in &added {
                            snooping.groups.remove(*id, port, entry.source);
                        }
                        return Err(full(entry));
                    }
                }
            }
            if added.is_empty() { Err(there_already(entry)) } else { Ok(()) }
        })?;
        Ok(outcome?)
    }

    /// Takes a port out of a group.
    pub(super) fn mdb_del(&mut self, entry: &GroupEntry) -> Result<()> {
        let (port, vlans) = self.group_place(entry)?;
        let removed = self.with_groups(|snooping| {
            let ids = vlans.iter().map(|vlan| GroupId { vlan: *vlan, group: entry.group });
            ids.filter(|id| snooping.groups.remove(*id, port, entry.source)).count()
        })?;
        if removed == 0 {
            let message = format!("{} is not in group {}", entry.ifname, described(entry));
            return Err(Refusal::new(message, "xbr mdb show lists who is").into());
        }
        Ok(())
    }

    /// The port, and the VLANs that are meant: without one, all that the port is in.
    fn group_place(&self, entry: &GroupEntry) -> Result<(PortId, Vec<u16>)> {
        check(entry)?;
        let port = self.port_or_host(&entry.ifname)?;
        if !self.filters_vlans() {
            return match entry.vlan {
                0 => Ok((port, vec![0])),
                vid => {
                    let message = format!("VLANs are not filtered, so no group is one of VLAN {vid}");
                    Err(Refusal::new(
                        message,
                        "leave the VLAN out, or turn filtering on: xbr vlan filtering on",
                    )
                    .into())
                }
            };
        }
        let vlans = self.hands.tables.vlans().all()?;
        let of_port = vlans.into_iter().filter(|(_, vlan)| vlan.membership(port) != Membership::None);
        let wanted = of_port.map(|(vid, _)| vid).filter(|vid| entry.vlan == 0 || *vid == entry.vlan);
        let vlans: Vec<_> = wanted.collect();
        if vlans.is_empty() {
            let message = match entry.vlan {
                0 => format!("{} is in no VLAN", entry.ifname),
                vid => format!("{} is not in VLAN {vid}", entry.ifname),
            };
            return Err(Refusal::new(
                message,
                format!("xbr vlan show dev {} lists those that it is in", entry.ifname),
            )
            .into());
        }
        Ok((port, vlans))
    }
}

/// Refuses what is no group, or no source of one.
fn check(entry: &GroupEntry) -> Result<(), Refusal> {
    let GroupEntry { group, source, .. } = entry;
    if !group.is_multicast() {
        let message = format!("{group} is no group's address");
        return Err(Refusal::new(message, "groups are 224.0.0.0 to 239.255.255.255, and ff00::/8"));
    }
    if is_of_link(*group) {
        let message = format!("frames to {group} reach every port in any case");
        return Err(Refusal::new(message, "224.0.0.0/24 and ff02::1 are always flooded"));
    }
    match source {
        Some(source)
            if source.is_ipv4() != group.is_ipv4() || source.is_multicast() || source.is_unspecified() =>
        {
            let message = format!("{source} cannot be a source of group {group}");
            Err(Refusal::new(message, "name a station's address of the same family"))
        }
        _ => Ok(()),
    }
}

/// False if it is there already.
fn add(
    snooping: &mut Snooping,
    now: u64,
    port: PortId,
    id: GroupId,
    entry: &GroupEntry,
) -> Result<bool, Full> {
    if entry.permanent {
        let most = snooping.most(port);
        return snooping.groups.add(id, port, entry.source, most);
    }
    // As if a host behind the port had said so.
    let (kind, sources) = match entry.source {
        None => (RecordKind::IsEx, Vec::new()),
        Some(source) => (RecordKind::Allow, vec![source]),
    };
    let record = Record { kind, old: None, group: entry.group, sources };
    match snooping.join(now, port, id.vlan, &record) {
        0 => Ok(true),
        _ => Err(Full),
    }
}

fn there_already(entry: &GroupEntry) -> Refusal {
    let message = format!("{} is in group {} already", entry.ifname, described(entry));
    Refusal::new(message, "xbr mdb show lists who is")
}

fn full(entry: &GroupEntry) -> Refusal {
    Refusal::new(
        format!("{} has all the groups that it may have, or the table is full", entry.ifname),
        format!("xbr port set {} mcast_max_groups N gives it more", entry.ifname),
    )
}

fn described(entry: &GroupEntry) -> String {
    let from = entry.source.map(|source: IpAddr| format!(" from source {source}")).unwrap_or_default();
    format!("{}{from}", entry.group)
}
