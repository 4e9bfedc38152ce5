//! From the kernel's answers to plain facts.

use std::net::IpAddr;

use bridge_common::mac::Mac;

use super::channel::{Message, attributes, text, u16_at, u32_at};
use super::{Address, Link, OtherEnd, Statistics, Tun, XdpMode, XdpProgram};

/// `struct ifinfomsg`: family, padding, hardware type, index, flags, change mask.
const IFINFOMSG: usize = 16;

// <linux/if_link.h>; libc has no IFLA_TUN_* and IFLA_XDP_*.
const IFLA_XDP_PROGRAM_IDS: [(u16, XdpMode); 3] =
    [(5, XdpMode::Native), (6, XdpMode::Generic), (7, XdpMode::Offload)];
const IFLA_TUN_OWNER: u16 = 1;
const IFLA_TUN_GROUP: u16 = 2;
const IFLA_TUN_TYPE: u16 = 3;
const IFLA_TUN_PI: u16 = 4;
const IFLA_TUN_VNET_HDR: u16 = 5;
const IFLA_TUN_PERSIST: u16 = 6;
const IFLA_TUN_MULTI_QUEUE: u16 = 7;

/// Whether an `RTM_NEWLINK` or `RTM_DELLINK` is about the interface itself. A bridge speaks of its ports with
/// the same types and family AF_BRIDGE (`br_ifinfo_notify`): a port that leaves a bridge is not gone.
pub fn is_about_link(body: &[u8]) -> bool {
    body.first() == Some(&(libc::AF_UNSPEC as u8))
}

/// The index and name in an `RTM_NEWLINK` or `RTM_DELLINK`.
pub fn index_and_name(body: &[u8]) -> Option<(u32, super::InterfaceName)> {
    let named = attributes(body.get(IFINFOMSG..)?).find(|(kind, _)| *kind == libc::IFLA_IFNAME)?;
    Some((u32_at(body, 4)?, text(named.1)?.parse().ok()?))
}

/// The interface that an `RTM_NEWLINK` describes. None where it lacks its name or MTU: such are the
/// wireless events (`wireless_nlevent_flush`), which share the type and say nothing of interest.
pub fn link(body: &[u8]) -> Option<Link> {
    let flags = u32_at(body, 8)?;
    let flag = |bit: i32| flags & bit as u32 != 0;
    let (index, name) = index_and_name(body)?;
    let mut link = Link {
        index,
        name,
        mac: None,
        mtu: 0,
        min_mtu: 0,
        max_mtu: 0,
        up: flag(libc::IFF_UP),
        carrier: flag(libc::IFF_LOWER_UP),
        // What user space asked for, not the sum of all wishes: netif_get_flags takes it from dev->gflags.
        promiscuous: flag(libc::IFF_PROMISC),
        promiscuity: 0,
        hardware: u16_at(body, 2)?,
        kind: None,
        tun: None,
        master: None,
        slave_kind: None,
        other_end: None,
        xdp: Vec::new(),
        rx_queues: 0,
        tx_queues: 0,
        statistics: Statistics::default(),
        wireless: false,
    };
    let attributes_of = || attributes(&body[IFINFOMSG..]);
    attributes_of().for_each(|(kind, value)| apply(&mut link, kind, value));
    attributes_of().any(|(kind, _)| kind == libc::IFLA_MTU).then_some(link)
}

fn apply(link: &mut Link, kind: u16, value: &[u8]) {
    let number = u32_at(value, 0);
    match kind {
        libc::IFLA_ADDRESS => link.mac = value.try_into().ok().map(Mac),
        libc::IFLA_MTU => link.mtu = number.unwrap_or(0),
        libc::IFLA_MIN_MTU => link.min_mtu = number.unwrap_or(0),
        libc::IFLA_MAX_MTU => link.max_mtu = number.unwrap_or(0),
        libc::IFLA_PROMISCUITY => link.promiscuity = number.unwrap_or(0),
        libc::IFLA_NUM_RX_QUEUES => link.rx_queues = number.unwrap_or(0),
        libc::IFLA_NUM_TX_QUEUES => link.tx_queues = number.unwrap_or(0),
        libc::IFLA_MASTER => link.master = number,
        // Only a device with another end has IFLA_LINK (nla_put_iflink); 0 is an end that is not to be named.
        libc::IFLA_LINK => {
            let namespace = link.other_end.and_then(|end| end.namespace);
            link.other_end = number.map(|index| OtherEnd { index, namespace });
        }
        libc::IFLA_LINK_NETNSID => {
            let index = link.other_end.map_or(0, |end| end.index);
            link.other_end = Some(OtherEnd { index, namespace: number.map(|id| id as i32) });
        }
        libc::IFLA_LINKINFO => apply_info(link, value),
        libc::IFLA_XDP => link.xdp = xdp(value),
        libc::IFLA_STATS64 => link.statistics = statistics(value),
        _ => {}
    }
}

fn apply_info(link: &mut Link, info: &[u8]) {
    let find = |wanted: u16| attributes(info).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    link.kind = find(libc::IFLA_INFO_KIND).and_then(text);
    link.slave_kind = find(libc::IFLA_INFO_SLAVE_KIND).and_then(text);
    if link.is_kind("tun") {
        link.tun = find(libc::IFLA_INFO_DATA).map(tun);
    }
}

/// What `tun_fill_info` says.
fn tun(data: &[u8]) -> Tun {
    let find = |wanted: u16| attributes(data).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let byte = |wanted: u16| find(wanted).and_then(|value| value.first().copied());
    let yes = |wanted: u16| byte(wanted).is_some_and(|value| value != 0);
    Tun {
        tap: byte(IFLA_TUN_TYPE) == Some(libc::IFF_TAP as u8),
        vnet_hdr: yes(IFLA_TUN_VNET_HDR),
        packet_information: yes(IFLA_TUN_PI),
        multi_queue: yes(IFLA_TUN_MULTI_QUEUE),
        persist: yes(IFLA_TUN_PERSIST),
        owner: find(IFLA_TUN_OWNER).and_then(|value| u32_at(value, 0)),
        group: find(IFLA_TUN_GROUP).and_then(|value| u32_at(value, 0)),
    }
}

/// Each mode has an attribute of its own for its program (`rtnl_xdp_report_one`).
fn xdp(nested: &[u8]) -> Vec<XdpProgram> {
    let program = |(kind, value): (u16, &[u8])| {
        let (_, mode) = IFLA_XDP_PROGRAM_IDS.into_iter().find(|(attribute, _)| *attribute == kind)?;
        Some(XdpProgram { mode, id: u32_at(value, 0)? })
    };
    attributes(nested).filter_map(program).collect()
}

/// `struct rtnl_link_stats64`.
fn statistics(value: &[u8]) -> Statistics {
    let counter = |at: usize| {
        value.get(8 * at..).and_then(|rest| rest.first_chunk()).map_or(0, |n| u64::from_ne_bytes(*n))
    };
    Statistics {
        rx_packets: counter(0),
        tx_packets: counter(1),
        rx_bytes: counter(2),
        tx_bytes: counter(3),
        rx_errors: counter(4),
        tx_errors: counter(5),
        rx_dropped: counter(6),
        tx_dropped: counter(7),
    }
}

/// The address in an `RTM_NEWADDR`, if it is on the interface of this index.
pub fn address(message: Message<'_>, index: u32) -> Option<Address> {
    // struct ifaddrmsg: family, prefix length, flags, scope, index.
    let prefix = *message.body.get(1)?;
    if u32_at(message.body, 4)? != index {
        return None;
    }
    let find = |wanted: u16| {
        attributes(&message.body[8..]).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
    };
    // With a point-to-point peer IFA_ADDRESS is the peer's (inet_fill_ifaddr); IPv6 has IFA_LOCAL only then.
    let value = find(libc::IFA_LOCAL).or_else(|| find(libc::IFA_ADDRESS))?;
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    let address = v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok()?;
    Some(Address { address, prefix })
}
