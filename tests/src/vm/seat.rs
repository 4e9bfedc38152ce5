//! Where a guest sits on a segment: its addresses, by its number.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Station, Vm, reach};
use crate::{Mac, Node};

/// The addresses of guest number `n`, as those of [`Segment::guest`](crate::Segment::guest): 10.77.0.(10 + n) and fd77::(10 + n).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seat(pub u8);

impl Seat {
    /// For its first card; see [`Nic::mac`](super::Nic::mac).
    pub fn mac(self) -> Mac {
        Mac::numbered(10 + u32::from(self.0))
    }

    /// Its IPv4 address.
    pub fn v4(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, 10 + self.0)
    }

    /// Its IPv6 address.
    pub fn v6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 10 + u16::from(self.0))
    }

    /// Gives the guest's `dev` these addresses and takes it up.
    pub fn address(self, vm: &Vm, dev: &str) -> anyhow::Result<()> {
        vm.sh(&format!(
            "/sbin/ip link set {dev} up && /sbin/ip addr add {}/24 brd + dev {dev} && \
             /sbin/ip addr add {}/64 dev {dev} nodad",
            self.v4(),
            self.v6()
        ))?;
        Ok(())
    }
}

/// A participant with its addresses, whatever it is.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    /// Who.
    pub station: &'a dyn Station,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
}

impl<'a> Member<'a> {
    /// A guest that sits there.
    pub fn guest(vm: &'a Vm, seat: Seat) -> Self {
        Member { station: vm, v4: seat.v4(), v6: seat.v6() }
    }
}

impl<'a> From<&'a Node> for Member<'a> {
    fn from(node: &'a Node) -> Self {
        Member { station: node, v4: node.v4, v6: node.v6 }
    }
}

/// Everyone pings everyone else and sends `bytes` bytes by TCP, by both families.
pub fn all_reach(members: &[Member<'_>], bytes: u64) -> anyhow::Result<()> {
    for (number, from) in members.iter().enumerate() {
        for (_, to) in members.iter().enumerate().filter(|(other, _)| *other != number) {
            for address in [IpAddr::V4(to.v4), IpAddr::V6(to.v6)] {
                reach(from.station, to.station, address, bytes)?;
            }
        }
    }
    Ok(())
}
