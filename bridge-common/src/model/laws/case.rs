//! One frame, and what can be said of it without the code under test.

use std::vec::Vec;

use crate::{
    DropReason, FdbEntry, FdbKey, Mac, PortCounters, PortFlags, PortId, Ports as _,
    frame::Segments,
    model::{Arrival, Done, Model, Program},
    policy::{Guards, Policy},
};

/// Reasons of the way in: such a frame goes nowhere and teaches nothing.
const IN: [DropReason; 16] = [
    DropReason::Malformed,
    DropReason::BadSource,
    DropReason::HostSource,
    DropReason::LinkLocal,
    DropReason::Bpdu,
    DropReason::VlanIngress,
    DropReason::Locked,
    DropReason::MacGuard,
    DropReason::IpGuard,
    DropReason::ArpGuard,
    DropReason::NdGuard,
    DropReason::DhcpServer,
    DropReason::Ra,
    DropReason::StormBroadcast,
    DropReason::StormMulticast,
    DropReason::StormUnknown,
];

/// For whom a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    LinkLocal,
    Host,
    Known(PortId),
    Unknown,
    Multicast,
    Broadcast,
}

impl Aim {
    pub const fn is_flood(self) -> bool {
        matches!(self, Self::Unknown | Self::Multicast | Self::Broadcast)
    }
}

/// Neither a group nor zero.
pub fn is_station(mac: Mac) -> bool {
    mac.0[0] & 1 == 0 && mac != Mac::ZERO
}

/// A frame, and the bridge before and after.
pub struct Case<'a> {
    pub before: &'a Model,
    pub arrival: &'a Arrival,
    pub done: &'a Done,
    pub after: &'a Model,
    pub ingress: PortId,
}

impl Case<'_> {
    fn address(&self, at: usize) -> Mac {
        self.arrival.bytes.get(at..at + 6).and_then(|mac| mac.try_into().ok()).map(Mac).unwrap_or_default()
    }

    pub fn dst(&self) -> Mac {
        self.address(0)
    }

    pub fn src(&self) -> Mac {
        self.address(6)
    }

    /// The key of the sender, of a frame that has a VLAN.
    pub fn source(&self) -> FdbKey {
        FdbKey { vlan: self.vlan().unwrap_or_default(), mac: self.src() }
    }

    pub fn frames(&self) -> Segments {
        let gso_size = if self.arrival.program == Program::Xdp { 0 } else { self.arrival.gso_size };
        Segments::of(&self.arrival.bytes.as_slice(), self.arrival.length(), gso_size)
    }

    pub fn filters(&self) -> bool {
        self.before.config.flags.0 & 1 != 0
    }

    /// Priority and VLAN ID of each tag, outermost first; `None` if the frame ends within the first of them.
    pub fn tags(&self) -> Option<Vec<u16>> {
        tags(&self.arrival.bytes)
    }

    /// The frame's VLAN, 0 while nobody asks; `None` if it has none in which its port is.
    pub fn vlan(&self) -> Option<u16> {
        if !self.filters() {
            return Some(0);
        }
        let vid = self.tags()?.first().map_or(0, |tci| tci & 0xfff);
        let vid = if vid == 0 { (self.policy(self.ingress).flags.0 >> 20) as u16 } else { vid };
        ((1..4095).contains(&vid) && self.part(vid, self.ingress).is_some()).then_some(vid)
    }

    /// Whether a VLAN leaves a port without a tag; `None` if the port is not in it.
    pub fn part(&self, vid: u16, id: PortId) -> Option<bool> {
        let vlan = self.before.vlans.get(&vid)?;
        let has = |set: &[u64; 4]| set[usize::from(id.0 / 64)] >> (id.0 % 64) & 1 == 1;
        has(&vlan.members.0).then(|| has(&vlan.untagged.0))
    }

    pub fn policy(&self, id: PortId) -> Policy {
        self.before.policies.get(&id).copied().unwrap_or_default()
    }

    pub fn has(&self, id: PortId, flag: PortFlags) -> bool {
        self.policy(id).flags.0 & flag.0 != 0
    }

    pub fn guards(&self, guard: Guards) -> bool {
        self.policy(self.ingress).guards.0 & guard.0 != 0
    }

    pub fn is_up(&self, id: PortId) -> bool {
        self.before.port(id).is_some_and(|port| port.flags.0 & 1 != 0)
    }

    pub fn aim(&self) -> Aim {
        let dst = self.dst();
        match dst.0 {
            [1, 0x80, 0xc2, 0, 0, 0..16] => Aim::LinkLocal,
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => Aim::Broadcast,
            [first, ..] if first & 1 != 0 => Aim::Multicast,
            _ if dst == self.before.config.uplink.mac() => Aim::Host,
            // It tells itself where its destination is.
            _ if dst == self.src()
                && !self.has(self.ingress, PortFlags::NO_LEARNING)
                && self.counted(self.ingress, |c| c.refused_static) == 0 =>
            {
                Aim::Known(self.ingress)
            }
            _ => {
                let key = FdbKey { vlan: self.vlan().unwrap_or_default(), mac: dst };
                self.before.live(&key).map_or(Aim::Unknown, |entry| Aim::Known(entry.port()))
            }
        }
    }

    /// Refused before any policy was asked.
    pub fn is_refused(&self) -> bool {
        let cut = self.filters() && self.tags().is_none();
        let host = self.src() == self.before.config.uplink.mac() && self.ingress != PortId::HOST;
        self.arrival.bytes.len() < 14
            || cut
            || !is_station(self.src())
            || host
            || !self.is_up(self.ingress)
            || self.aim() == Aim::LinkLocal && self.ingress.is_guest()
            || self.aim() != Aim::LinkLocal && self.vlan().is_none()
    }

    /// Dropped on its way in, for whatever reason.
    pub fn is_dropped_in(&self) -> bool {
        let limited = self.counted(self.ingress, |c| c.drops[DropReason::RateIn as usize]);
        let counted = |reason: &DropReason| self.counted(self.ingress, |c| c.drops[*reason as usize]) > 0;
        self.is_refused() || limited > 0 || IN.iter().any(counted)
    }

    /// Counted by this frame.
    pub fn counted(&self, id: PortId, what: impl Fn(&PortCounters) -> u64) -> u64 {
        what(&self.after.counted(id)) - what(&self.before.counted(id))
    }

    pub fn dropped(&self, id: PortId) -> u64 {
        self.counted(id, |c| c.drops.iter().sum())
    }

    pub fn ports(&self) -> impl Iterator<Item = PortId> {
        (0..self.before.config.ports_end).map(PortId)
    }

    /// The sender's live entry.
    pub fn known(&self) -> Option<FdbEntry> {
        self.before.live(&self.source())
    }
}

/// Priority and VLAN ID of each tag of a frame, 0 of one that is cut; `None` if the frame ends within the first of them.
pub fn tags(frame: &[u8]) -> Option<Vec<u16>> {
    let mut tags = Vec::new();
    let mut rest = frame.get(12..)?;
    while let [0x81, 0x00, behind @ ..] | [0x88, 0xa8, behind @ ..] = rest {
        let (tci, behind) = behind.split_at_checked(2).unwrap_or_default();
        tags.push(tci.try_into().map_or(0, u16::from_be_bytes));
        rest = behind;
    }
    // An EtherType is behind the first tag, or there instead.
    (rest.len() >= 2 || tags.len() > 1).then_some(tags)
}
