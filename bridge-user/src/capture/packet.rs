//! One record in the words of whoever reads it.

use std::{collections::BTreeMap, time::Duration};

use bridge_common::{
    PortId,
    capture::{Direction, Outcome, Path, Sight},
    frame::Segments,
};

use crate::datapath::Record;

/// A frame that was seen at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Since 1970-01-01 00:00:00 UTC.
    pub time: Duration,
    /// The port's place among those that are captured.
    pub interface: u32,
    /// The port's name.
    pub ifname: String,
    /// Which way it went there.
    pub direction: Direction,
    /// Bytes of the frame with all of its tags, without FCS.
    pub length: u32,
    /// Its bytes, or the first of them.
    pub bytes: Vec<u8>,
    /// What became of it, in words.
    pub verdict: String,
}

/// The ports by number and name.
#[derive(Clone, Debug, Default)]
pub struct Interfaces {
    /// Those that are captured, in the order of the command line.
    captured: Vec<String>,
    names: BTreeMap<PortId, String>,
}

impl Interfaces {
    /// The ports that are captured, and the names of all.
    pub fn new(captured: Vec<String>, names: BTreeMap<PortId, String>) -> Self {
        Self { captured, names }
    }

    /// Whether a port has a name that is known here.
    pub fn knows(&self, record: &Record) -> bool {
        let Sight { port, peer, .. } = record.sighting.sight;
        self.names.contains_key(&port) && self.names.contains_key(&peer)
    }

    /// Learns the ports that came. One that is captured keeps the name under which it is.
    pub fn learn(&mut self, names: BTreeMap<PortId, String>) {
        for (id, name) in names {
            let captured = self.names.get(&id).is_some_and(|name| self.captured.contains(name));
            if !captured {
                self.names.insert(id, name);
            }
        }
    }

    fn name(&self, id: PortId) -> String {
        self.names.get(&id).cloned().unwrap_or_else(|| format!("#{}", id.0))
    }

    /// Puts a record into words; `epoch` is what to add to its time to have that since 1970. `None` for one of a port that
    /// nobody asked for, or of a shape that this version does not know.
    pub fn packet(&self, record: Record, epoch: Duration) -> Option<Packet> {
        let Record { sighting, bytes } = record;
        let ifname = self.name(sighting.sight.port);
        let interface = self.captured.iter().position(|name| *name == ifname)? as u32;
        let mut verdict = self.verdict(&sighting.sight)?;
        if sighting.gso_size != 0 {
            let segments = Segments::of(&&bytes[..], sighting.length, sighting.gso_size).packets;
            verdict += &format!(", {segments} segments of {} bytes", sighting.gso_size);
        }
        let (mut bytes, mut length) = (bytes, sighting.length);
        let tag = sighting.tag;
        if tag.protocol != 0 && bytes.len() >= 12 {
            // It goes to the wire there, and readers want to see it there.
            let tag = [tag.protocol.to_be_bytes(), tag.tci.to_be_bytes()].concat();
            bytes.splice(12..12, tag);
            length += 4;
        }
        let time = epoch.saturating_add(Duration::from_nanos(sighting.time));
        let direction = sighting.sight.direction()?;
        Some(Packet { time, interface, ifname, direction, length, bytes, verdict })
    }

    fn verdict(&self, sight: &Sight) -> Option<String> {
        let path = match sight.path()? {
            Path::Xdp => "xdp",
            Path::Tc => "tc",
        };
        let reason = sight.reason().map_or("unknown", |reason| reason.name());
        let (peer, elsewhere) = (self.name(sight.peer), sight.peer != sight.port);
        let words = match (sight.direction()?, sight.outcome()?) {
            (Direction::In, Outcome::Forwarded) => format!("forwarded to {peer}"),
            (Direction::In, Outcome::Flooded) => "flooded".into(),
            (Direction::In, Outcome::Dropped) if elsewhere => format!("dropped at {peer}: {reason}"),
            (_, Outcome::Dropped) if !elsewhere => format!("dropped: {reason}"),
            (_, Outcome::Dropped) => format!("dropped: {reason}, from {peer}"),
            (Direction::Out, Outcome::Forwarded) => format!("forwarded from {peer}"),
            (Direction::Out, Outcome::Flooded) => format!("flooded from {peer}"),
        };
        Some(format!("{words} ({path})"))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use bridge_common::{
        DropReason,
        capture::{Sighting, Tag},
    };
    use std::{string::String, vec::Vec};

    pub const EPOCH: Duration = Duration::from_secs(1_700_000_000);

    /// The host, `eth0`, `vm1` and `vm2`, of which these are captured.
    pub fn interfaces(captured: &[&str]) -> Interfaces {
        let names = ["host", "eth0", "vm1", "vm2"].into_iter().zip(0..);
        let names = names.map(|(name, id)| (PortId(id), name.to_string())).collect();
        Interfaces::new(captured.iter().map(|name| name.to_string()).collect(), names)
    }

    pub fn record(sight: Sight, bytes: &[u8]) -> Record {
        let kept = bytes.len() as u32;
        let sighting = Sighting { time: 5, sight, length: kept, kept, ..Sighting::default() };
        Record { sighting, bytes: bytes.to_vec() }
    }

    #[test]
    fn verdicts_read_as_words() {
        let (vm1, vm2) = (PortId(2), PortId(3));
        let sights = [
            Sight::forwarded(vm1, vm2, Path::Xdp),
            Sight::forwarded(vm1, vm2, Path::Xdp).at_peer(),
            Sight::flooded(vm1, Path::Tc),
            Sight::copy(vm1, vm2, Path::Tc, Ok(())),
            Sight::copy(vm1, vm2, Path::Tc, Err(DropReason::TooBig)),
            Sight::dropped(vm1, vm1, Path::Xdp, DropReason::LinkLocal),
            Sight::dropped(vm1, vm2, Path::Tc, DropReason::PortDown),
            Sight::dropped(vm1, vm2, Path::Tc, DropReason::PortDown).at_peer(),
            Sight::forwarded(vm1, PortId(9), Path::Tc),
        ];
        let interfaces = interfaces(&["vm1", "vm2"]);
        let words = |sight: &Sight| interfaces.packet(record(*sight, &[0; 14]), EPOCH).unwrap().verdict;
        insta::assert_snapshot!(sights.iter().map(words).collect::<Vec<String>>().join("\n"), @r"
        forwarded to vm2 (xdp)
        forwarded from vm1 (xdp)
        flooded (tc)
        flooded from vm1 (tc)
        dropped: too_big, from vm1 (tc)
        dropped: link_local (xdp)
        dropped at vm2: port_down (tc)
        dropped: port_down, from vm1 (tc)
        forwarded to #9 (tc)
        ");
    }

    #[test]
    fn a_tag_beside_the_frame_goes_into_it() {
        let sight = Sight::flooded(PortId(2), Path::Tc);
        let mut tagged = record(sight, &[7; 60]);
        tagged.sighting.tag = Tag { protocol: 0x88a8, tci: 0x200a };
        tagged.sighting.length = 100;
        let packet = interfaces(&["eth0", "vm1"]).packet(tagged, EPOCH).unwrap();
        assert_eq!((packet.bytes.len(), packet.length, packet.interface), (64, 104, 1));
        assert_eq!(packet.bytes[10..18], [7, 7, 0x88, 0xa8, 0x20, 0x0a, 7, 7]);
        assert_eq!(packet.time, EPOCH + Duration::from_nanos(5));
    }

    #[test]
    fn what_nobody_asked_for_is_no_packet() {
        let record = record(Sight::flooded(PortId(2), Path::Tc), &[0; 14]);
        assert!(interfaces(&["vm2"]).packet(record.clone(), EPOCH).is_none());
        let mut odd = record;
        odd.sighting.sight.outcome = 9;
        assert!(interfaces(&["vm1"]).packet(odd, EPOCH).is_none());
    }
}
