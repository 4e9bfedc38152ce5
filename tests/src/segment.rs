//! One Ethernet segment around a switch under test.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::{
    Crossed, Direction, GuestKind, Mac, Namespace, Offloads, SegmentBuilder, TapGuest, device, is_running,
    wait_until,
};

/// A participant of a segment.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its namespace, whose name is the participant's.
    pub ns: Namespace,
    /// The address of its `eth0`.
    pub mac: Mac,
    /// Its IPv4 address, in 10.77.0.0/24.
    pub v4: Ipv4Addr,
    /// Its IPv6 address, in fd77::/64.
    pub v6: Ipv6Addr,
    pub(crate) addressing: Addressing,
}

/// Whether a participant has its addresses, and how IPv6 begins to use them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Addressing {
    Quiet,
    AtOnce,
    Dad,
}

impl Node {
    /// The device that holds the IPv4 address now: `eth0`, or what a Linux bridge moved the host's address to.
    pub fn device(&self) -> String {
        let holds = |address: &nix::ifaddrs::InterfaceAddress| {
            address.address.and_then(|a| a.as_sockaddr_in().map(|a| a.ip())) == Some(self.v4)
        };
        let found = self.ns.run(|| nix::ifaddrs::getifaddrs().ok()?.find(holds).map(|a| a.interface_name));
        found.unwrap_or_else(|| "eth0".into())
    }

    /// The `ip` commands that give a device this participant's addresses.
    pub(crate) fn address_lines(&self, dev: &str) -> Vec<String> {
        let nodad = match self.addressing {
            Addressing::Quiet => return Vec::new(),
            Addressing::AtOnce => "nodad",
            Addressing::Dad => "",
        };
        vec![
            format!("addr add {}/24 brd + dev {dev}", self.v4),
            format!("addr add {}/64 dev {dev} {nodad}", self.v6),
        ]
    }
}

/// Who makes the guests' TAPs in the switch's namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TapsBy {
    /// The lab, persistent ones, before the switch starts.
    Lab,
    /// The switch itself, as `xbr run --tap vm1` does.
    Switch,
}

pub(crate) struct Guest {
    pub(crate) node: Node,
    pub(crate) port: String,
    pub(crate) kind: GuestKind,
    pub(crate) tap: Option<TapGuest>,
}

/// One Ethernet segment: the switch's namespace `host` with the uplink `eth0`, `outside` at the other end of that, and guests
/// with an `eth0` each, behind the host's devices `vm1`, `vm2` and so on.
///
/// Everything is there except the switch: see [`Segment::start`].
pub struct Segment {
    pub(crate) host: Node,
    pub(crate) outside: Node,
    pub(crate) guests: Vec<Guest>,
    pub(crate) mtu: u32,
    pub(crate) offloads: Offloads,
}

impl Segment {
    /// A segment to be configured.
    pub fn builder() -> SegmentBuilder {
        SegmentBuilder::default()
    }

    /// The switch's machine.
    pub fn host(&self) -> &Node {
        &self.host
    }

    /// The station beyond the uplink.
    pub fn outside(&self) -> &Node {
        &self.outside
    }

    /// Guest `number`, counted from 1 as its port's name is.
    pub fn guest(&self, number: usize) -> &Node {
        &self.guests[number - 1].node
    }

    /// All guests.
    pub fn guests(&self) -> impl Iterator<Item = &Node> {
        self.guests.iter().map(|guest| &guest.node)
    }

    /// The names of the guests' devices in the host's namespace, in order.
    pub fn ports(&self) -> impl Iterator<Item = &str> {
        self.guests.iter().map(|guest| guest.port.as_str())
    }

    /// The names of those among the ports that are TAPs.
    pub fn taps(&self) -> impl Iterator<Item = &str> {
        self.guests.iter().filter(|guest| guest.kind != GuestKind::Veth).map(|guest| guest.port.as_str())
    }

    /// The MTU of all devices.
    pub fn mtu(&self) -> u32 {
        self.mtu
    }

    /// The guests, the host and the outside.
    pub fn nodes(&self) -> Vec<&Node> {
        self.guests().chain([&self.host, &self.outside]).collect()
    }

    /// All ordered pairs of participants.
    pub fn pairs(&self) -> Vec<(&Node, &Node)> {
        let nodes = self.nodes();
        let others = |a: usize| nodes.iter().enumerate().filter(move |(b, _)| *b != a).map(|(_, node)| *node);
        nodes.iter().enumerate().flat_map(|(a, from)| others(a).map(move |to| (*from, to))).collect()
    }

    /// Starts the switch, plugs the guests in and waits until they have a carrier. What `switch` returns
    /// is the running switch, which the caller keeps:
    /// `let xbr = segment.start(TapsBy::Switch, |segment| Process::spawn(…))`.
    #[track_caller]
    pub fn start<T>(&mut self, taps: TapsBy, switch: impl FnOnce(&Segment) -> T) -> T {
        if taps == TapsBy::Lab {
            self.make_taps();
        }
        let running = switch(self);
        for number in 1..=self.guests.len() {
            self.plug(number);
        }
        self.settle();
        running
    }

    /// Gives the participants of a quiet segment IPv4 addresses, and tells each of them who is where, so that sockets can talk and
    /// no frame is on the segment but theirs.
    #[track_caller]
    pub fn address_quietly(&self) {
        for node in self.nodes() {
            let mut lines = vec![format!("addr add {}/24 dev eth0", node.v4)];
            for other in self.nodes().into_iter().filter(|other| other.v4 != node.v4) {
                lines.push(format!("neigh replace {} lladdr {} dev eth0 nud permanent", other.v4, other.mac));
            }
            node.ns.ip_batch(&lines);
        }
    }

    /// Makes the guests' TAPs in the host's namespace, persistent and down.
    #[track_caller]
    pub fn make_taps(&self) {
        let mut lines = Vec::new();
        for guest in &self.guests {
            let header = match guest.kind {
                GuestKind::Veth => continue,
                GuestKind::Tap => "",
                GuestKind::TapVnetHdr => "vnet_hdr",
            };
            lines.push(format!("tuntap add dev {} mode tap {header}", guest.port));
            lines.push(format!("link set {} mtu {}", guest.port, self.mtu));
        }
        self.host.ns.ip_batch(&lines);
    }

    /// Guest `number` starts: its TAP is opened, or the host's end of its veth is taken up.
    #[track_caller]
    pub fn plug(&mut self, number: usize) {
        let guest = &mut self.guests[number - 1];
        let host = &self.host.ns;
        match &mut guest.tap {
            Some(tap) => {
                tap.plug(host, &guest.port);
                if self.offloads == Offloads::Off {
                    crate::ethtool(host, &guest.port, device::OFF);
                }
            }
            None => guest.node.ns.ip("link set eth0 up"),
        }
    }

    /// Guest `number` ends: its TAP is closed, or its end of the veth is taken down. Its port loses the carrier.
    #[track_caller]
    pub fn unplug(&mut self, number: usize) {
        let guest = &mut self.guests[number - 1];
        match &mut guest.tap {
            Some(tap) => tap.unplug(),
            None => guest.node.ns.ip("link set eth0 down"),
        }
    }

    /// Waits until every guest's device and port has a carrier.
    #[track_caller]
    pub fn settle(&self) {
        for guest in &self.guests {
            for (ns, dev) in [(&guest.node.ns, "eth0"), (&self.host.ns, guest.port.as_str())] {
                let ready = wait_until(Duration::from_secs(3), || is_running(ns, dev));
                assert!(
                    ready,
                    "{dev} of {} has no carrier or is not up:\n{}",
                    ns.name(),
                    ns.output("ip -d link")
                );
            }
        }
    }

    /// What crossed the relay of guest `number`; zeroes for a guest behind a veth.
    pub fn crossed(&self, number: usize, direction: Direction) -> Crossed {
        self.guests[number - 1].tap.as_ref().map(|tap| tap.crossed(direction)).unwrap_or_default()
    }
}
