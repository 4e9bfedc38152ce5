//! Sequences of frames and of what an operator does, written as bytes: what a fuzzer finds is a file that the
//! property tests and the differential test replay.

mod arrival;
mod bytes;
mod groups;
mod rules;

use std::vec::Vec;

use super::{Arrival, Model};
use crate::{
    FdbEntry, FdbFlags, FdbKey, Mac, Policy, Port, PortFlags, PortId,
    config::ConfigFlags,
    multicast::GroupKey,
    policy::Source,
    vlan::{Membership, PortSet},
};
use bytes::Bytes;
pub use rules::VIDS;

/// How many stations the table of a script holds: few, so that it fills up.
pub const CAPACITY: usize = 16;

const SECOND: u64 = 1_000_000_000;

/// The times through which a script goes, in nanoseconds: less than a second later, more, past the shortest
/// ageing time, and past every one.
pub const CLOCKS: [u64; 6] = [
    5_000 * SECOND,
    5_000 * SECOND + 400_000_000,
    5_001 * SECOND + 300_000_000,
    5_003 * SECOND,
    5_010 * SECOND,
    5_400 * SECOND,
];

/// The uplink's own address.
pub const UPLINK_MAC: Mac = Mac([2, 0, 0, 0, 0xff, 1]);

/// How many guests' ports there are, beside [`ABSENT`].
pub const GUESTS: u16 = 4;
/// A port whose device the kernel does not have.
pub const ABSENT: PortId = PortId(PortId::FIRST_GUEST.0 + GUESTS);

/// The devices of a script.
#[derive(Clone, Copy, Debug)]
pub struct Devices {
    /// The uplink's and the guests', by port number from 1.
    pub ports: [u32; 1 + GUESTS as usize],
    /// One that does not exist.
    pub absent: u32,
    /// One that exists and is no port.
    pub stranger: u32,
}

impl Default for Devices {
    fn default() -> Self {
        Self { ports: [11, 12, 13, 14, 15], absent: 99, stranger: 98 }
    }
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A frame comes.
    Frame(Arrival),
    /// The time is now this one of [`CLOCKS`].
    Clock(usize),
    /// A port's device goes up or down.
    Device(PortId, bool),
    /// The operator writes an entry that is static, or sticky.
    Fix(FdbKey, PortId, FdbFlags),
    /// The operator deletes an entry.
    Delete(FdbKey),
    /// The operator turns VLAN filtering on or off.
    Filtering(bool),
    /// The operator gives a port a part in a VLAN.
    Member(u16, PortId, Membership),
    /// The operator gives a port another policy.
    Policy(PortId, Policy),
    /// The operator allows a port an address, or does no longer.
    Source(Source, bool),
    /// The controller writes which ports a group is for, or forgets it.
    Group(GroupKey, Option<PortSet>),
}

/// So many entries are written by the operator at most; each may need a second one for all VLANs.
const MAX_FIXED: usize = 6;

impl Step {
    /// What the step does, other than bring a frame.
    pub fn operate(&self, model: &mut Model) {
        match *self {
            Self::Frame(_) => {}
            Self::Clock(index) => model.now = CLOCKS[index],
            Self::Device(id, up) => {
                let port = model.ports.entry(id).or_default();
                port.flags = port.flags.with(PortFlags::UP, up);
            }
            Self::Fix(key, port, flags) => fix(model, key, FdbEntry::new(port, flags, model.now)),
            Self::Delete(key) => {
                model.drop_station(&key);
                model.own(key.mac);
            }
            Self::Filtering(on) => {
                model.config.flags = model.config.flags.with(ConfigFlags::VLAN_FILTERING, on);
                let macs: Vec<_> = model.stations.keys().map(|key| key.mac).collect();
                macs.into_iter().for_each(|mac| model.own(mac));
            }
            Self::Member(vid, id, membership) => model.set_member(vid, id, membership),
            Self::Policy(id, policy) => model.set_policy(id, policy),
            Self::Source(source, true) => {
                model.sources.insert(source);
            }
            Self::Source(source, false) => {
                model.sources.remove(&source);
            }
            Self::Group(key, ports) => model.set_group(key, ports),
        }
    }
}

/// Writes an entry as the operator, unless there are many already.
fn fix(model: &mut Model, key: FdbKey, entry: FdbEntry) {
    let fixed = model.stations.values().filter(|entry| entry.is_static()).count();
    if fixed < MAX_FIXED || !entry.is_static() {
        model.make_way(&key);
        model.put(key, entry);
        model.own(key.mac);
    }
}

/// A bridge and what happens to it.
#[derive(Clone, Debug)]
pub struct Script {
    /// The bridge at the start, at the first of [`CLOCKS`].
    pub model: Model,
    /// The steps.
    pub steps: Vec<Step>,
}

impl Script {
    /// Reads a script; every sequence of bytes is one.
    pub fn decode(bytes: &[u8], devices: &Devices) -> Self {
        let mut bytes = Bytes(bytes);
        let model = bridge(&mut bytes, devices);
        let (mut facts, mut clock) = (model.clone(), 0);
        let mut steps = Vec::new();
        while let Some(code) = bytes.next() {
            let step = match code % 32 {
                0 if clock + 1 < CLOCKS.len() => {
                    clock += 1;
                    Step::Clock(clock)
                }
                1 => {
                    let id = bytes.port();
                    // Up three times as long as down.
                    Step::Device(id, !facts.ports[&id].is_up() || code >> 5 > 2)
                }
                2 => Step::Fix(bytes.station(&facts), bytes.port(), bytes.fixed()),
                3 => Step::Delete(bytes.station(&facts)),
                4 if facts.has_rules() => rules::step(&mut bytes, &facts),
                _ => Step::Frame(arrival::read(&mut bytes, code, devices)),
            };
            if !matches!(step, Step::Fix(..) | Step::Delete(_)) {
                step.operate(&mut facts);
            }
            steps.push(step);
        }
        Self { model, steps }
    }

    /// The same on a bridge where XDP copies floods: every port that there is takes it, and behind the host is nobody. By chance that is rare.
    pub fn where_xdp_floods(mut self) -> Self {
        for (id, port) in &mut self.model.ports {
            port.flags =
                port.flags.with(PortFlags::XDP, *id != PortId::HOST).with(PortFlags::UP, *id != ABSENT);
        }
        self.model.config.flags = self.model.config.flags.with(ConfigFlags::HOST_ALONE, true);
        self
    }
}

impl Model {
    /// Whether there is anything in it that an operator has to allow or forbid.
    fn has_rules(&self) -> bool {
        !self.vlans.is_empty() || !self.policies.is_empty()
    }
}

/// Bytes for a script, the same for the same seed (SplitMix64).
pub fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn bridge(bytes: &mut Bytes<'_>, devices: &Devices) -> Model {
    let mut model = Model::new(CLOCKS[0], CAPACITY, devices.ports[0], UPLINK_MAC);
    let settings = bytes.byte();
    model.config.ageing = [0, 2, 5, 300][usize::from(settings & 3)] * SECOND;
    model.guard = settings & 0x1c != 0;
    // Of every two bridges, one has other stations behind the host.
    model.config.flags = model.config.flags.with(ConfigFlags::HOST_ALONE, settings & 0x80 != 0);
    model.refusing.insert(devices.absent);
    for (index, ifindex) in devices.ports.into_iter().chain([devices.absent]).enumerate() {
        let facts = bytes.byte();
        let id = PortId(1 + index as u16);
        let flags = PortFlags::default()
            .with(PortFlags::UP, facts & 7 != 0)
            .with(PortFlags::XDP, facts & 10 != 0)
            .with(PortFlags::GUARD, facts & 16 != 0);
        let mtu = if facts & 32 != 0 { 600 } else { 1500 };
        model.set_port(id, Port { ifindex, mtu, flags });
        // A port's facts are there a moment before its device.
        if id != ABSENT && facts & 0xc0 != 0 {
            model.devices.insert(id);
        }
    }
    if settings & 0x20 != 0 {
        rules::vlans(bytes, &mut model);
    }
    if settings & 0x40 != 0 {
        rules::policies(bytes, &mut model);
    }
    for _ in 0..bytes.byte() % (CAPACITY as u8 + 1) {
        let (key, port, age) = (bytes.station(&model), bytes.port(), bytes.byte());
        let flags = match age & 0xe0 {
            0x00 | 0x20 => FdbFlags::STATIC,
            0x40 => FdbFlags::STICKY,
            _ => FdbFlags::default(),
        };
        let age = [0, SECOND / 2, SECOND, 2 * SECOND, 2 * SECOND + 1, 5 * SECOND, 300 * SECOND, 301 * SECOND]
            [usize::from(age & 7)];
        fix(&mut model, key, FdbEntry::new(port, flags, CLOCKS[0] - age));
    }
    model
}
