//! What is said over the control socket.
//!
//! Each message is JSON behind its length in four bytes, big-endian, of at most [`MAX_MESSAGE`] bytes. A client
//! sends one [`Envelope`] of a [`Request`] and gets one of a [`Reply`]; after [`Request::Monitor`] and
//! [`Request::Capture`] replies go on until either side hangs up.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use super::{
    Macs,
    event::{Event, PortEvent, StationEvent, VlanEvent},
    loan::Loan,
};
use crate::{
    link::InterfaceName,
    policy::PortOptions,
    settings::MulticastSettings,
    vlan::{PortVlan, Vids},
};

/// The version of this protocol. Both sides refuse another one.
pub const VERSION: u32 = 3;

/// The most bytes that a message has.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// A message with the version of its sender. `version` is read before the rest is understood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// The sender's [`VERSION`].
    pub version: u32,
    /// What it says.
    pub body: T,
}

/// The hook that a port is to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum HookChoice {
    /// xbr chooses by what the device is.
    #[default]
    Auto,
    /// Native XDP.
    Xdp,
    /// TC only.
    Tc,
}

/// How a TAP is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapOptions {
    /// The user who may open it.
    pub owner: Option<u32>,
    /// With several queues.
    pub multi_queue: bool,
    /// Without the virtio header: for guests that do no offloads, such as packet-rate ones.
    pub no_vnet_hdr: bool,
    /// Its MTU, in bytes; the uplink's if `None`.
    pub mtu: Option<u32>,
}

/// What is captured. What is `None` is no filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureOptions {
    /// The ports; `host` for the host.
    pub ports: Vec<String>,
    /// Bytes that are kept of each frame.
    pub snaplen: u32,
    /// Source or destination address, as text.
    pub mac: Option<String>,
    /// The VLAN; 0 for untagged.
    pub vlan: Option<u16>,
    /// The EtherType after tags.
    pub ether_type: Option<u16>,
}

/// A port in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupEntry {
    /// The port; `host` for the host.
    pub ifname: String,
    /// The group.
    pub group: IpAddr,
    /// Only what this source sends.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// The VLAN; 0 for every VLAN of the port, and for none where VLANs are not filtered.
    #[serde(default)]
    pub vlan: u16,
    /// For good; otherwise as if a host behind the port had just said so.
    #[serde(default)]
    pub permanent: bool,
}

/// A part of what is to be written at once. Nothing is written, and no answer given, before the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdbPart {
    /// In the order of the operator's lines: of two about one station, the later counts.
    pub runs: Vec<FdbRun>,
    /// Another part follows on this connection.
    #[serde(default)]
    pub more: bool,
}

/// Stations that have all but the address in common; the rest is as of [`Request::FdbAdd`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdbRun {
    /// Their addresses.
    pub macs: Macs,
    /// Their VLAN.
    pub vlan: u16,
    /// The port they are behind.
    pub ifname: String,
    /// They age.
    #[serde(default)]
    pub sticky: bool,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    /// Attach a device that exists.
    PortAdd {
        /// Which.
        ifname: InterfaceName,
        /// By which hook.
        hook: HookChoice,
        /// Also where its frames go past rules, filters or queueing disciplines of others.
        #[serde(default)]
        allow_bypass: bool,
        /// For as long as the device is there; one that is a port already stays what it is.
        #[serde(default)]
        transient: bool,
        /// What it is allowed, beside the defaults.
        #[serde(default)]
        policy: Box<PortOptions>,
    },
    /// Change what a port is allowed.
    PortSet {
        /// Which; `host` for the host.
        ifname: String,
        /// What is `None` stays.
        #[serde(default)]
        options: Box<PortOptions>,
        /// Let it forward, or stop it.
        #[serde(default)]
        up: Option<bool>,
    },
    /// Let a port go and leave its device as it was found.
    PortDel {
        /// Which.
        ifname: InterfaceName,
    },
    /// Make a TAP and attach it.
    TapAdd {
        /// Its name.
        ifname: InterfaceName,
        /// By which hook.
        hook: HookChoice,
        /// How to make it.
        options: TapOptions,
        /// Also where its frames go past rules of others.
        #[serde(default)]
        allow_bypass: bool,
        /// What it is allowed, beside the defaults.
        #[serde(default)]
        policy: Box<PortOptions>,
    },
    /// Let a TAP go and delete it; only one that xbr made.
    TapDel {
        /// Which.
        ifname: InterfaceName,
    },
    /// Attach a TAP that the bridge helper has made, until its guest ends. All that a user other than root can ask for.
    Lend(Loan),
    /// Write a static station, or a sticky one.
    FdbAdd {
        /// Its address, as text.
        mac: String,
        /// Its VLAN; 0 for every VLAN of its port, and for none where VLANs are not filtered.
        vlan: u16,
        /// The port it is behind; `host` for the host.
        ifname: String,
        /// It ages, and does not move; otherwise it does neither.
        #[serde(default)]
        sticky: bool,
    },
    /// Write many stations, each as [`Request::FdbAdd`] does: all of them, or none.
    FdbLoad(FdbPart),
    /// Delete a station, learned or static.
    FdbDel {
        /// Its address, as text.
        mac: String,
        /// Its VLAN; 0 for any, and for none where VLANs are not filtered.
        vlan: u16,
        /// Only if it is behind this port.
        ifname: Option<String>,
    },
    /// Delete learned stations.
    FdbFlush {
        /// Only those behind this port.
        ifname: Option<String>,
        /// Only those of this VLAN.
        vlan: Option<u16>,
    },
    /// Write a neighbour, which neither ages nor moves.
    NeighAdd {
        /// Its IP address.
        address: IpAddr,
        /// Its MAC address, as text.
        mac: String,
        /// The port it is behind; `host` for the host.
        ifname: String,
        /// Its VLAN; 0 for the port's own, and for none where VLANs are not filtered.
        #[serde(default)]
        vlan: u16,
    },
    /// Delete a neighbour, learned or written.
    NeighDel {
        /// Its IP address.
        address: IpAddr,
        /// Only if it is behind this port.
        #[serde(default)]
        ifname: Option<String>,
        /// Its VLAN; 0 for any.
        #[serde(default)]
        vlan: u16,
    },
    /// Put a port into VLANs; the first of a bridge turns filtering on.
    VlanAdd {
        /// The port; `host` for the host.
        ifname: String,
        /// Which, and its part in them.
        vlan: PortVlan,
    },
    /// Take a port out of VLANs.
    VlanDel {
        /// The port; `host` for the host.
        ifname: String,
        /// Which.
        vids: Vids,
    },
    /// Turn VLAN filtering on or off.
    VlanFiltering {
        /// On.
        on: bool,
    },
    /// Change whether and how groups are snooped; what is `None` stays.
    Multicast(MulticastSettings),
    /// Put a port into a group.
    MdbAdd(GroupEntry),
    /// Take a port out of a group.
    MdbDel(GroupEntry),
    /// Send events as they happen.
    Monitor,
    /// Show what passes ports, until the client hangs up: the reply says that it is on.
    Capture(CaptureOptions),
    /// Take the bridge down, as SIGTERM does.
    Down,
}

/// What the controller answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// Done; what there is to say about it, a line each.
    Done {
        /// For the user.
        notes: Vec<String>,
    },
    /// The request was bad; nothing was changed. The client exits with 2.
    Refused {
        /// One sentence.
        message: String,
        /// What to do instead.
        hint: Option<String>,
    },
    /// The request was good and the kernel said no; what was begun is undone. The client exits with 1.
    Failed {
        /// One sentence, with the kernel's own words.
        message: String,
    },
    /// Something happened (after [`Request::Monitor`]).
    Event(Event),
}
