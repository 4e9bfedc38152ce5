//! A bridge with one station of each sort, for the tables of cases.

use crate::{
    Decision, DropReason, FdbEntry, FdbFlags, FdbKey, Frame, Mac, Port, PortFlags, PortId, Ports as _,
    Question, decide,
    fdb::{REFRESH_INTERVAL, REFRESH_STEP},
    frame::Segments,
    model::Model,
    policy::Guards,
    vlan::Tag,
};

pub const HOST: PortId = PortId::HOST;
pub const UPLINK: PortId = PortId::UPLINK;
pub const VM1: PortId = PortId(2);
pub const VM2: PortId = PortId(3);
/// A guest's port that is down.
pub const DOWN: PortId = PortId(4);
/// A number that no port has.
pub const FREE: PortId = PortId(9);
/// A number that none can have.
pub const BEYOND: PortId = PortId(999);

pub const SECOND: u64 = 1_000_000_000;
pub const NOW: u64 = 1_000 * SECOND;
pub const AGEING: u64 = 300 * SECOND;

pub const OWN: Mac = Mac([2, 0, 0, 0, 0xff, 1]);
pub const fn mac(number: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, number])
}
/// Behind [`VM1`], [`VM2`], the uplink, [`HOST`] and [`DOWN`].
pub const A: Mac = mac(1);
pub const B: Mac = mac(2);
pub const OUT: Mac = mac(3);
pub const MACVLAN: Mac = mac(4);
pub const MUTE: Mac = mac(5);
/// Static behind [`VM2`].
pub const FIXED: Mac = mac(6);
/// Behind [`VM2`], silent for exactly the ageing time, and for a nanosecond more.
pub const OLD: Mac = mac(7);
pub const EXPIRED: Mac = mac(8);
/// Behind [`VM1`], silent for just less than the refresh interval.
pub const FRESH: Mac = mac(9);
pub const NOBODY: Mac = mac(99);
pub const GROUP: Mac = Mac([1, 0, 0x5e, 0, 0, 1]);
pub const LLDP: Mac = Mac([1, 0x80, 0xc2, 0, 0, 0x0e]);

/// Spanning tree's.
pub const STP: Mac = Mac([1, 0x80, 0xc2, 0, 0, 0]);

pub const fn key(mac: Mac) -> FdbKey {
    FdbKey { vlan: 0, mac }
}

pub fn bridge() -> Model {
    let mut model = Model::new(NOW, 16, 1, OWN);
    model.config.ageing = AGEING;
    for (id, flags) in [(VM1, PortFlags::UP), (VM2, PortFlags::UP), (DOWN, PortFlags::default())] {
        model.set_port(id, Port { ifindex: 10 + id.index(), mtu: 1500, flags });
    }
    let mut station = |mac, port, flags, age| {
        model.stations.insert(key(mac), FdbEntry::new(port, flags, NOW - age));
    };
    let learned = FdbFlags::default();
    station(A, VM1, learned, REFRESH_INTERVAL);
    station(B, VM2, learned, REFRESH_INTERVAL);
    station(OUT, UPLINK, learned, REFRESH_INTERVAL);
    station(MACVLAN, HOST, learned, REFRESH_INTERVAL);
    station(MUTE, DOWN, learned, REFRESH_INTERVAL);
    station(FIXED, VM2, FdbFlags::STATIC, 2 * AGEING);
    station(OLD, VM2, learned, AGEING);
    station(EXPIRED, VM2, learned, AGEING + 1);
    station(FRESH, VM1, learned, REFRESH_INTERVAL - REFRESH_STEP);
    model
}

/// A frame of 100 bytes without a tag.
pub const fn frame(src: Mac, dst: Mac) -> Frame {
    Frame { dst: dst.address(), src: src.address(), tag: Tag::NONE, frames: Segments::one(100) }
}

/// What the model says of a frame; nobody looks into it.
pub fn ask(model: &Model, frame: Frame, ingress: PortId) -> Decision {
    judge(model, frame, ingress, |guards| panic!("{guards:?} were asked at a port without"))
}

/// The same, of a frame into which `inspect` looks.
pub fn judge(
    model: &Model,
    frame: Frame,
    ingress: PortId,
    inspect: impl FnOnce(Guards) -> Option<DropReason>,
) -> Decision {
    decide(&question(model, frame, ingress), model.port(ingress).as_ref(), model, model, inspect)
}

/// The question that a frame is, now.
pub const fn question(model: &Model, frame: Frame, ingress: PortId) -> Question<'_> {
    Question { frame, ingress, now: model.now, config: &model.config }
}
