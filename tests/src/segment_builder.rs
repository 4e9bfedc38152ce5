//! The making of a segment.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::segment::{Addressing, Guest};
use crate::{Mac, Namespace, Node, Offloads, Segment, TapGuest, TapMode, Veth};

/// How a guest is connected to the switch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GuestKind {
    /// A veth pair, as containers have.
    Veth,
    /// A TAP without virtio header: every frame is whole.
    Tap,
    /// A TAP with virtio header: unfinished checksums and long segments, as QEMU does by default.
    TapVnetHdr,
}

impl GuestKind {
    /// All of them.
    pub const ALL: [GuestKind; 3] = [GuestKind::Veth, GuestKind::Tap, GuestKind::TapVnetHdr];

    fn tap_mode(self) -> Option<TapMode> {
        match self {
            GuestKind::Veth => None,
            GuestKind::Tap => Some(TapMode::Plain),
            GuestKind::TapVnetHdr => Some(TapMode::VnetHdr),
        }
    }
}

/// What a segment shall be; see [`Segment::builder`].
pub struct SegmentBuilder {
    guests: Vec<GuestKind>,
    mtu: u32,
    offloads: Offloads,
    addressing: Addressing,
}

impl Default for SegmentBuilder {
    fn default() -> Self {
        SegmentBuilder {
            guests: Vec::new(),
            mtu: 1500,
            offloads: Offloads::Default,
            addressing: Addressing::AtOnce,
        }
    }
}

impl SegmentBuilder {
    /// Adds guests of one kind; may be called again for others.
    pub fn guests(mut self, count: usize, kind: GuestKind) -> Self {
        self.guests.extend(std::iter::repeat_n(kind, count));
        self
    }

    /// The MTU of all devices; 1500 unless told.
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = mtu;
        self
    }

    /// The offloads of all devices.
    pub fn offloads(mut self, offloads: Offloads) -> Self {
        self.offloads = offloads;
        self
    }

    /// IPv6 duplicate address detection as the kernel does it by default. Without this call there is none, and addresses serve at once.
    pub fn dad(mut self) -> Self {
        self.addressing = Addressing::Dad;
        self
    }

    /// No addresses and no IPv6, so that no frame is on the segment but those that a test sends. For counting to the frame.
    pub fn quiet(mut self) -> Self {
        self.addressing = Addressing::Quiet;
        self
    }

    /// Makes all of the segment but the switch.
    #[track_caller]
    pub fn build(self) -> Segment {
        let host = self.node("host", 1);
        let outside = self.node("outside", 2);
        self.wire(&outside, "eth0", &host);
        let mut guests = Vec::new();
        for (kind, number) in self.guests.iter().zip(1u8..) {
            let node = self.node(&format!("guest{number}"), 10 + number);
            let port = format!("vm{number}");
            let tap = match kind.tap_mode() {
                None => {
                    self.wire(&node, &port, &host);
                    None
                }
                Some(mode) => {
                    let tap = TapGuest::new(&node.ns, "eth0", mode, self.offloads);
                    node.ns.ip_batch(&[format!("link set eth0 address {} mtu {}", node.mac, self.mtu)]);
                    Some(tap)
                }
            };
            self.address(&node);
            guests.push(Guest { node, port, kind: *kind, tap });
        }
        self.address(&host);
        self.address(&outside);
        Segment { host, outside, guests, mtu: self.mtu, offloads: self.offloads }
    }

    #[track_caller]
    fn node(&self, name: &str, number: u8) -> Node {
        let ns = Namespace::new(name);
        // "all" would not reach the devices that are yet to come; "default" is what they inherit.
        match self.addressing {
            Addressing::Quiet => ns.sysctl("net/ipv6/conf/default/disable_ipv6", "1"),
            Addressing::AtOnce => ns.sysctl("net/ipv6/conf/default/accept_dad", "0"),
            Addressing::Dad => {}
        }
        Node {
            ns,
            mac: Mac::numbered(number.into()),
            v4: Ipv4Addr::new(10, 77, 0, number),
            v6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number.into()),
            addressing: self.addressing,
        }
    }

    /// Connects a station's `eth0` with the host's device `port`.
    #[track_caller]
    fn wire(&self, station: &Node, port: &str, host: &Node) {
        let pair = Veth::between(&station.ns, "eth0", &host.ns, port).mtu(self.mtu).mac(station.mac);
        let switch_mac =
            if port == "eth0" { host.mac } else { Mac::numbered(0x100 + u32::from(station.mac.0[5])) };
        pair.switch_mac(switch_mac).offloads(self.offloads).create();
    }

    #[track_caller]
    fn address(&self, node: &Node) {
        let mut lines = vec!["link set eth0 up".to_owned()];
        lines.extend(node.address_lines("eth0"));
        node.ns.ip_batch(&lines);
    }
}
