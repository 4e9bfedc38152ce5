//! Scripts on a bridge that snoops: the same frames, some of them for groups, and a controller that changes who is where.

use std::vec::Vec;

use super::{Bytes, Script, Step, VIDS, random};
use crate::{
    PortId,
    config::ConfigFlags,
    model::{Arrival, Model, build::Speaker},
    multicast::{GroupKey, V4, V6},
    vlan::PortSet,
};

/// Groups of each family.
const GROUPS: u8 = 3;

impl Script {
    /// The same where groups are snooped. What is asked, and by whom, comes from the seed: a script's own bytes stay what they are.
    pub fn where_groups_are_snooped(mut self, seed: u64) -> Self {
        let bytes = random(seed, 16 * self.steps.len() + 1024);
        let bytes = &mut Bytes(&bytes);
        let flags = [
            (ConfigFlags::MCAST_SNOOPING, true),
            (ConfigFlags::MCAST_QUERIER_V4, bytes.byte() & 7 != 0),
            (ConfigFlags::MCAST_QUERIER_V6, bytes.byte() & 7 != 0),
            (ConfigFlags::MCAST_UNREGISTERED, bytes.byte() & 3 == 0),
        ];
        let config = &mut self.model.config;
        config.flags = flags.into_iter().fold(config.flags, |flags, (flag, on)| flags.with(flag, on));
        for _ in 0..48 {
            Step::Group(key(bytes), Some(ports(bytes))).operate(&mut self.model);
        }
        // Groups are trusted in most VLANs.
        for (vlan, family) in [0].into_iter().chain(VIDS).flat_map(|vlan| [(vlan, V4), (vlan, V6)]) {
            if bytes.byte() & 3 != 0 {
                let asked = GroupKey::asked(vlan, family);
                Step::Group(asked, Some(ports(bytes))).operate(&mut self.model);
            }
        }
        let mut steps = Vec::new();
        for mut step in self.steps {
            match &mut step {
                Step::Frame(arrival) if bytes.byte() & 1 == 0 => address(arrival, bytes),
                _ => {}
            }
            steps.push(step);
            if bytes.byte() & 15 == 0 {
                steps.push(Step::Group(key(bytes), (bytes.byte() & 1 != 0).then(|| ports(bytes))));
            }
        }
        Self { steps, ..self }
    }
}

fn ports(bytes: &mut Bytes<'_>) -> PortSet {
    let members = bytes.byte();
    let ids = (0..8).map(PortId).filter(|id| members >> id.0 & 1 != 0);
    ids.fold(PortSet::default(), |set, id| set.with(id, true))
}

/// The key of a group, of what a source sends to it, or of the routers in a VLAN.
fn key(bytes: &mut Bytes<'_>) -> GroupKey {
    let (what, of) = (bytes.byte(), bytes.byte());
    let vlan = if what & 1 == 0 { 0 } else { VIDS[usize::from(what >> 1) % VIDS.len()] };
    let (family, speaker) = (if what & 0x80 == 0 { V4 } else { V6 }, Speaker::Address(1 + (of >> 4) % 4));
    if of & 15 == 15 {
        return GroupKey::asked(vlan, family);
    }
    let source = match family {
        _ if of & 4 != 0 => [0; 4],
        V4 => [u32::from_ne_bytes(speaker.v4()), 0, 0, 0],
        _ => words(speaker.v6(crate::Mac::ZERO)),
    };
    GroupKey { vlan, family, group: group(of % GROUPS, family), source }
}

fn group(number: u8, family: u16) -> [u32; 4] {
    if family == V4 { [u32::from_ne_bytes([239, 0, 0, number]), 0, 0, 0] } else { words(group6(number)) }
}

const fn group6(number: u8) -> [u8; 16] {
    [0xff, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number]
}

fn words(bytes: [u8; 16]) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    words
}

/// Makes a frame of IP one for a group, or one that speaks of groups. Its checksums are what they were.
fn address(arrival: &mut Arrival, bytes: &mut Bytes<'_>) {
    let (number, kind) = (bytes.byte(), bytes.byte());
    let frame = &mut arrival.bytes;
    let is_tag = |at: usize| matches!(frame.get(at..at + 2), Some([0x81, 0x00] | [0x88, 0xa8]));
    let at = 14 + [12, 16].into_iter().take_while(|at| is_tag(*at)).count() * 4;
    match frame.get(at - 2..at) {
        Some([0x08, 0x00]) if frame.len() >= at + 24 => {
            frame[at + 16..at + 20].copy_from_slice(&[239, 0, 0, number % GROUPS]);
            frame[..6].copy_from_slice(&[1, 0, 0x5e, 0, 0, number % GROUPS]);
            if kind & 7 == 0 {
                frame[at + 9] = 2;
                frame[at + 20] = [0x11, 0x12, 0x16, 0x17, 0x22][usize::from(kind >> 3) % 5];
            }
        }
        Some([0x86, 0xdd]) if frame.len() >= at + 40 => {
            frame[at + 24..at + 40].copy_from_slice(&group6(number % GROUPS));
            frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, number % GROUPS]);
            // Behind a hop-by-hop header.
            if frame[at + 6] == 0 && frame.len() > at + 48 {
                frame[at + 48] = [130, 131, 132, 143, 135][usize::from(kind) % 5];
            }
        }
        _ => {}
    }
}

impl Model {
    /// Writes, or forgets, which ports a group is for.
    pub(super) fn set_group(&mut self, key: GroupKey, ports: Option<PortSet>) {
        match ports {
            Some(ports) => drop(self.groups.insert(key, ports)),
            None => drop(self.groups.remove(&key)),
        }
    }
}
