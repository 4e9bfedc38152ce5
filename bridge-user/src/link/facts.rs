//! What an interface is, as plain data: enough for a pure validator, and fit to be recorded for tests.

use std::fmt;
use std::net::IpAddr;

use bridge_common::mac::Mac;
use serde::{Deserialize, Serialize};

use super::InterfaceName;

/// An interface as the kernel described it at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The index, unique within the network namespace.
    pub index: u32,
    /// The name, which others may change at any time.
    pub name: InterfaceName,
    /// The MAC address; none where addresses are not six bytes long.
    #[serde(with = "mac_text")]
    pub mac: Option<Mac>,
    /// The longest payload of a frame, in bytes, without Ethernet header and VLAN tag.
    pub mtu: u32,
    /// The smallest MTU that the driver takes, in bytes; 0 where it does not say.
    pub min_mtu: u32,
    /// The largest MTU that the driver takes, in bytes; 0 where it does not say.
    pub max_mtu: u32,
    /// Whether it was set up (`IFF_UP`).
    pub up: bool,
    /// Whether it is up and has a carrier (`IFF_LOWER_UP`). A TAP has one while somebody has it open.
    pub carrier: bool,
    /// Whether user space has set `IFF_PROMISC` through netlink or ioctl. It is a flag, not counted:
    /// on, on, off leaves it off. What packet sockets and the kernel ask for shows in `promiscuity` only.
    pub promiscuous: bool,
    /// How many want it promiscuous, packet sockets and the kernel included.
    pub promiscuity: u32,
    /// The hardware type (`ARPHRD_*`): [`Link::ETHERNET`], [`Link::LOOPBACK`], …
    pub hardware: u16,
    /// The kind of a virtual device, such as `veth`, `tun` or `bridge`; none for a physical one and for `lo`.
    pub kind: Option<String>,
    /// More about a TUN or TAP.
    pub tun: Option<Tun>,
    /// The index of the bridge, bond or other device that it is a member of.
    pub master: Option<u32>,
    /// What that device is, such as `bridge` or `bond`.
    pub slave_kind: Option<String>,
    /// The interface that it hangs on: the peer of a veth, the lower device of a VLAN or macvlan.
    pub other_end: Option<OtherEnd>,
    /// The XDP programs on it: none, one, or in multi mode one for each mode.
    pub xdp: Vec<XdpProgram>,
    /// How many receive queues it was made with.
    pub rx_queues: u32,
    /// How many transmit queues it was made with.
    pub tx_queues: u32,
    /// Counters since it was made.
    pub statistics: Statistics,
    /// Whether it is a Wi-Fi device, which sends frames from its own MAC address only.
    pub wireless: bool,
}

impl Link {
    /// [`Link::hardware`] of whatever carries Ethernet frames (`ARPHRD_ETHER`).
    pub const ETHERNET: u16 = 1;
    /// [`Link::hardware`] of `lo` (`ARPHRD_LOOPBACK`).
    pub const LOOPBACK: u16 = 772;

    /// Whether it is of this kind, such as `veth`.
    pub fn is_kind(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    /// Whether it is a TAP: a tun device that carries Ethernet frames.
    pub fn is_tap(&self) -> bool {
        self.tun.as_ref().is_some_and(|tun| tun.tap)
    }
}

/// A TUN or TAP. The kernel keeps what the last open of it asked for, also after it was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tun {
    /// Whether it is a TAP (Ethernet frames) rather than a TUN (IP packets).
    pub tap: bool,
    /// Whether frames cross with a `virtio_net_hdr`, so with segments longer than the MTU and unfinished checksums.
    pub vnet_hdr: bool,
    /// Whether frames cross with the four bytes of `tun_pi`.
    pub packet_information: bool,
    /// Whether several may have it open, each a queue.
    pub multi_queue: bool,
    /// Whether it stays when nobody has it open.
    pub persist: bool,
    /// The user who may open it without CAP_NET_ADMIN.
    pub owner: Option<u32>,
    /// The group that may open it without CAP_NET_ADMIN.
    pub group: Option<u32>,
}

/// The interface that another hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherEnd {
    /// Its index in its own network namespace.
    pub index: u32,
    /// This namespace's number for the other one (`IFLA_LINK_NETNSID`); none where both are in the same.
    pub namespace: Option<i32>,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct XdpProgram {
    /// Where it runs.
    pub mode: XdpMode,
    /// Its program id.
    pub id: u32,
}

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the stack, after the driver made an skb.
    Generic,
    /// On the device.
    Offload,
}

/// Counters of an interface, as the kernel and the driver keep them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets received broken.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets received and dropped. A frame that a guest sends is *received* by its TAP.
    pub rx_dropped: u64,
    /// Packets dropped instead of sent. A TAP counts here what its reader was too slow for.
    pub tx_dropped: u64,
}

/// An IP address on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The address itself.
    pub address: IpAddr,
    /// The length of its network's prefix, in bits.
    pub prefix: u8,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

/// A MAC address in JSON is its usual text.
mod mac_text {
    use bridge_common::mac::Mac;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(mac: &Option<Mac>, serializer: S) -> Result<S::Ok, S::Error> {
        mac.map(|mac| mac.to_string()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Mac>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let parse =
            |text: String| text.parse().map_err(|_| D::Error::custom(format!("{text:?} is no MAC address")));
        text.map(parse).transpose()
    }
}
