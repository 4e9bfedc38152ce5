//! A segment with VLANs, and what is to be heard on it.

use xbr_lab::{Ears, GuestKind, Mac, Node, Segment, Xbr, frames, wait_until};

pub const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");

const SOON: std::time::Duration = std::time::Duration::from_secs(3);

/// Kinds of guests, and the hooks that they are asked to have. The last has ports of either hook on one bridge.
pub const KINDS: [(&[GuestKind], &str); 5] = [
    (&[GuestKind::Veth; 4], "tc"),
    (&[GuestKind::Veth; 4], "xdp"),
    (&[GuestKind::Tap; 4], "auto"),
    (&[GuestKind::TapVnetHdr; 4], "auto"),
    (&[GuestKind::Tap, GuestKind::TapVnetHdr, GuestKind::TapVnetHdr, GuestKind::Tap], "auto"),
];

/// The port and its part in VLANs, as said to xbr; host and uplink are left in VLAN 1.
pub const VLANS: [&str; 7] = [
    "dev vm1 vid 10 pvid untagged",
    "dev vm2 vid 10 pvid untagged",
    "dev vm3 vid 20 pvid untagged",
    "dev vm4 vid 10",
    "dev vm4 vid 20",
    "dev eth0 vid 10",
    "dev eth0 vid 20",
];

/// The same once more, as it is to be: participant, VLAN, whether frames leave there without a tag.
const PARTS: [(&str, u16, bool); 10] = [
    ("host", 1, true),
    ("outside", 1, true),
    ("guest4", 1, true),
    ("guest1", 10, true),
    ("guest2", 10, true),
    ("guest4", 10, false),
    ("outside", 10, false),
    ("guest3", 20, true),
    ("guest4", 20, false),
    ("outside", 20, false),
];

/// Whether a participant's frames of this VLAN leave without a tag, if it is in it.
pub fn untagged(node: &Node, vid: u16) -> Option<bool> {
    PARTS.iter().find(|(name, of, _)| *name == node.ns.name() && *of == vid).map(|(.., untagged)| *untagged)
}

/// The VLAN of what a participant sends without a tag.
pub fn pvid(node: &Node) -> u16 {
    match node.ns.name() {
        "guest1" | "guest2" => 10,
        "guest3" => 20,
        _ => 1,
    }
}

/// The hook that a guest of this kind gets where `hook` was asked for.
pub fn expected(kind: GuestKind, hook: &str) -> &str {
    match (hook, kind) {
        ("auto", GuestKind::Tap) => "xdp",
        ("auto", _) => "tc",
        (hook, _) => hook,
    }
}

pub fn port_of(node: &Node) -> String {
    match node.ns.name() {
        "host" => "host".into(),
        "outside" => "eth0".into(),
        guest => guest.replace("guest", "vm"),
    }
}

/// A quiet segment with the VLANs above.
pub fn with_vlans(kinds: &[GuestKind], hook: &str) -> (Segment, Xbr) {
    let mut builder = Segment::builder().quiet();
    for kind in kinds {
        builder = builder.guests(1, *kind);
    }
    let mut segment = builder.build();
    let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook}"));
    for (kind, number) in kinds.iter().zip(1..) {
        // A TAP is made with vnet_hdr and may be opened without, which the controller hears of a moment later.
        let wanted = expected(*kind, hook);
        let there = || bridge.port(&format!("vm{number}"))["hook"] == wanted;
        assert!(wait_until(SOON, there), "vm{number} has no {wanted}");
    }
    for vlan in VLANS {
        bridge.text(&format!("vlan add {vlan}"));
    }
    (segment, bridge)
}

/// A frame whose checksums are finished, `number` in its length, behind these tags.
pub fn numbered(to: Mac, from: Mac, tags: &[(u16, u16)], number: usize) -> Vec<u8> {
    let mut frame = frames::finished(to, from, 60 + number);
    let tags: Vec<u8> =
        tags.iter().flat_map(|(tpid, tci)| [tpid.to_be_bytes(), tci.to_be_bytes()].concat()).collect();
    frame.splice(12..12, tags);
    frame
}

/// What is to be heard of a batch of frames, and what is to be counted.
pub struct Batch<'a> {
    segment: &'a Segment,
    heard: Vec<(&'a Node, Vec<Vec<u8>>)>,
    number: usize,
    pub refused: u64,
}

impl<'a> Batch<'a> {
    pub fn new(segment: &'a Segment) -> Self {
        let heard = segment.nodes().into_iter().map(|node| (node, Vec::new())).collect();
        Self { segment, heard, number: 0, refused: 0 }
    }

    /// Sends a frame with this TCI, or without a tag, and notes who is to hear it.
    #[track_caller]
    pub fn send(&mut self, ears: &Ears, from: &Node, to: Mac, tci: Option<u16>) {
        let tag = tci.map(|tci| (0x8100, tci));
        let frame = |tag: Option<(u16, u16)>| numbered(to, from.mac, tag.as_slice(), self.number);
        let vid = match tci.map_or(0, |tci| tci & 0xfff) {
            0 => pvid(from),
            vid => vid,
        };
        let hearers: Vec<_> = match untagged(from, vid) {
            Some(_) => hearers(self.segment, from, to, vid),
            None => {
                self.refused += 1;
                Vec::new()
            }
        };
        let sent = ears.of(from).send(&frame(tag));
        if !hearers.is_empty() {
            sent.unwrap();
        }
        for (node, frames) in &mut self.heard {
            if !hearers.contains(&node.mac) {
                continue;
            }
            let out = match untagged(node, vid) {
                Some(true) => None,
                // The priority stays; a tag that is put on has none.
                _ => Some((0x8100, tci.unwrap_or(0) & 0xf000 | vid)),
            };
            frames.push(frame(out));
        }
        self.number += 1;
    }

    #[track_caller]
    pub fn hear(self, ears: &Ears, told: &str) {
        ears.hear_each(&self.heard).unwrap_or_else(|e| panic!("{told}: {e}"));
    }
}

/// Who hears what `from` sends in a VLAN that it is in. Everyone is known in every VLAN that they are in.
fn hearers(segment: &Segment, from: &Node, to: Mac, vid: u16) -> Vec<Mac> {
    let nodes = segment.nodes().into_iter().filter(|node| node.mac != from.mac);
    let members: Vec<_> = nodes.filter(|node| untagged(node, vid).is_some()).map(|node| node.mac).collect();
    if members.contains(&to) {
        vec![to]
    } else if to == segment.host().mac {
        // It is known to be the host's, in every VLAN.
        Vec::new()
    } else if to == Mac::BROADCAST {
        members
    } else {
        // To nobody known: not for a host that is alone behind its port.
        members.into_iter().filter(|mac| *mac != segment.host().mac).collect()
    }
}

/// Everyone says something in every VLAN that they are in.
pub fn introduce(ears: &Ears, segment: &Segment) {
    for node in segment.nodes() {
        for vid in [1, 10, 20] {
            if untagged(node, vid).is_some() {
                ears.of(node).send(&numbered(Mac::BROADCAST, node.mac, &[(0x8100, vid)], 0)).unwrap();
            }
        }
    }
    ears.forget().unwrap();
}
