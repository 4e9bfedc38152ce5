//! All that the participants of a segment can do with one another.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};

use super::ping::{Ping, ping};
use super::tcp::tcp_transfer;
use super::udp::{udp_exchange, udp_segments};
use crate::{Node, Segment, dhcp};

/// The first address that the DHCP server of [`guests_get_addresses`] gives.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

/// From `from` to `to`, without any neighbour known: ARP and neighbour discovery, small pings and such as just fit the MTU, TCP of `bytes`
/// bytes each way, UDP of all sizes each way, and UDP segmentation; over IPv4 and IPv6.
pub fn talk(from: &Node, to: &Node, mtu: u32, bytes: u64) -> Result<()> {
    for node in [from, to] {
        node.ns.ip("neigh flush all");
    }
    ping(&from.ns, to.v4)?;
    ping(&from.ns, to.v6)?;
    let largest = |headers: u32| Ping::from(&from.ns).size(mtu - headers).whole();
    largest(20 + 8).to(to.v4).context("as large as the MTU")?;
    largest(40 + 8).to(to.v6).context("as large as the MTU")?;
    tcp_transfer(&from.ns, &to.ns, to.v4, bytes)?;
    tcp_transfer(&from.ns, &to.ns, to.v6, bytes)?;
    udp_exchange(&from.ns, &to.ns, to.v4)?;
    udp_exchange(&from.ns, &to.ns, to.v6)?;
    udp_segments(&from.ns, &to.ns, to.v4, 1400, 20)?;
    udp_segments(&from.ns, &to.ns, to.v6, 1400, 20)
}

/// [`talk`] for all ordered pairs.
pub fn everyone_talks(segment: &Segment, bytes: u64) -> Result<()> {
    segment.pairs().into_iter().try_for_each(|(from, to)| talk(from, to, segment.mtu(), bytes))
}

/// Every guest gets an address by DHCP from the outside, with answers to everyone and to itself.
pub fn guests_get_addresses(segment: &Segment) -> Result<()> {
    let _server = dhcp::Server::start(segment.outside(), FIRST);
    for (guest, number) in segment.guests().zip(u32::from(FIRST)..) {
        for replies in [dhcp::Replies::Broadcast, dhcp::Replies::Unicast] {
            let (got, wanted) = (dhcp::acquire(guest, replies)?, Ipv4Addr::from(number));
            ensure!(got == wanted, "{} got {got}, not {wanted}", guest.ns.name());
        }
    }
    Ok(())
}
