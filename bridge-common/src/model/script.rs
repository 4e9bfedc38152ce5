//! Sequences of frames and of what an operator does, written as bytes: what a fuzzer finds is a file that the
//! property tests and the differential test replay.

use std::vec::Vec;

use super::{
    Arrival, Model, Program,
    build::{Kind, Shape, frame},
};
use crate::{FdbEntry, FdbFlags, FdbKey, Mac, Port, PortFlags, PortId};

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
    /// The facts of a port change.
    Port(PortId, Port),
    /// The operator writes a static entry.
    Static(FdbKey, PortId),
    /// The operator deletes an entry.
    Delete(FdbKey),
}

impl Step {
    /// What the step does, other than bring a frame.
    pub fn operate(&self, model: &mut Model) {
        match *self {
            Self::Frame(_) => {}
            Self::Clock(index) => model.now = CLOCKS[index],
            Self::Port(id, port) => {
                model.ports.insert(id, port);
            }
            Self::Static(key, port) => {
                // The controller, too, meets a full table.
                if model.stations.len() < model.capacity || model.stations.contains_key(&key) {
                    model.stations.insert(key, FdbEntry::new(port, FdbFlags::STATIC, model.now));
                }
            }
            Self::Delete(key) => {
                model.stations.remove(&key);
            }
        }
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
        let (mut facts, mut clock) = (model.ports.clone(), 0);
        let mut steps = Vec::new();
        while let Some(code) = bytes.next() {
            steps.push(match code % 32 {
                0 if clock + 1 < CLOCKS.len() => {
                    clock += 1;
                    Step::Clock(clock)
                }
                1 => {
                    let id = bytes.port();
                    let mut port = facts.get(&id).copied().unwrap_or_default();
                    port.flags = port.flags.with(PortFlags::UP, !port.is_up());
                    facts.insert(id, port);
                    Step::Port(id, port)
                }
                2 => Step::Static(bytes.station(), bytes.port()),
                3 => Step::Delete(bytes.station()),
                _ => Step::Frame(arrival(&mut bytes, code, devices)),
            });
        }
        Self { model, steps }
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
    model.refusing.insert(devices.absent);
    for (index, ifindex) in devices.ports.into_iter().chain([devices.absent]).enumerate() {
        let facts = bytes.byte();
        let id = PortId(1 + index as u16);
        let flags = PortFlags::default()
            .with(PortFlags::UP, facts & 7 != 0)
            .with(PortFlags::XDP, facts & 8 != 0)
            .with(PortFlags::GUARD, facts & 16 != 0);
        let mtu = if facts & 32 != 0 { 600 } else { 1500 };
        model.set_port(id, Port { ifindex, mtu, flags });
        // A port's facts are there a moment before its device.
        if id != ABSENT && facts & 0xc0 != 0 {
            model.devices.insert(id);
        }
    }
    for _ in 0..bytes.byte() % (CAPACITY as u8 + 1) {
        let (key, port, age) = (bytes.station(), bytes.port(), bytes.byte());
        let flags = if age & 0xc0 == 0 { FdbFlags::STATIC } else { FdbFlags::default() };
        let age = [0, SECOND / 2, SECOND, 2 * SECOND, 2 * SECOND + 1, 5 * SECOND, 300 * SECOND, 301 * SECOND]
            [usize::from(age & 7)];
        model.stations.insert(key, FdbEntry::new(port, flags, model.now - age));
    }
    model
}

fn arrival(bytes: &mut Bytes<'_>, code: u8, devices: &Devices) -> Arrival {
    let program = match code >> 5 {
        0..=2 => Program::Port,
        3 => Program::Wire,
        4 => Program::Host,
        _ => Program::Xdp,
    };
    let [uplink, guests @ ..] = devices.ports;
    let ifindex = match (program, bytes.byte() % 16) {
        (Program::Wire | Program::Host, _) => uplink,
        (_, 0) => devices.stranger,
        (_, 1 | 2) => uplink,
        (_, n) => guests[usize::from(n) % guests.len()],
    };
    let (dst, src) = (bytes.mac(), bytes.mac());
    let (kind, form, extra) = (bytes.byte(), bytes.byte(), bytes.byte());
    let mut shape = Shape {
        kind: Kind::ALL[usize::from(kind) % Kind::ALL.len()],
        tags: [0, 0, 1, 2][usize::from(form & 3)],
        payload: [1, 40, 300, 570, 1400, 1446, 1480, 2400][usize::from(form >> 2 & 7)],
        padding: if form & 32 != 0 { 18 } else { 0 },
        unfinished: form & 64 != 0,
    };
    let xdp = program == Program::Xdp;
    if xdp && extra & 0xf0 == 0 {
        shape.payload = 5_000;
    }
    let mut unfinished = shape.is_unfinished();
    let mut frame = frame(dst, src, &shape);
    if extra & 0xf0 == 0x10 {
        let short = usize::from(extra & 0x0f) * 4;
        unfinished &= short >= frame.len();
        frame.truncate(short);
    }
    let segmented = !xdp && form & 0x80 != 0;
    let gso_size = if segmented { [1, 100, 1000, 1448][usize::from(extra & 3)] } else { 0 };
    // More than fits into one buffer of a page.
    let fragmented = xdp && frame.len() > 4_096;
    Arrival { program, ifindex, bytes: frame, gso_size, fragmented, unfinished }
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next byte, or zero after the end.
    fn byte(&mut self) -> u8 {
        self.next().unwrap_or_default()
    }

    fn port(&mut self) -> PortId {
        PortId(u16::from(self.byte()) % (ABSENT.0 + 1))
    }

    fn station(&mut self) -> FdbKey {
        FdbKey { vlan: 0, mac: station(self.byte() % 24) }
    }

    /// Mostly a station: what is special fills the rest of a sequence with refusals otherwise.
    fn mac(&mut self) -> Mac {
        match self.byte() {
            n @ 0..216 => station(n % 24),
            n => special(n - 216),
        }
    }
}

const fn special(number: u8) -> Mac {
    match number % 20 {
        0..4 => UPLINK_MAC,
        4 => Mac::ZERO,
        5..10 => Mac::BROADCAST,
        10 | 11 => Mac([0x01, 0, 0x5e, 0, 0, 0xfb]),
        12 | 13 => Mac([0x33, 0x33, 0, 0, 0, 1]),
        // The first of the link-local block, two more, the last, and the first after it.
        14 => link_local(0x00),
        15 => link_local(0x02),
        16 => link_local(0x0e),
        17 => link_local(0x0f),
        _ => link_local(0x10),
    }
}

const fn link_local(last: u8) -> Mac {
    Mac([0x01, 0x80, 0xc2, 0, 0, last])
}

const fn station(number: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, number + 1])
}
