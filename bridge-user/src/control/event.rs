//! What the controller tells those who asked for events.

use serde::{Deserialize, Serialize};

use crate::vlan::Vids;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A station was learned.
    Learned(StationEvent),
    /// A station moved.
    Moved(StationEvent),
    /// A station was not learned: the table is full.
    RefusedFull(StationEvent),
    /// A station was not learned: a static or sticky entry has it elsewhere.
    RefusedStatic(StationEvent),
    /// A station was not learned: its port has all that it may have.
    RefusedQuota(StationEvent),
    /// A station was not moved: it has moved too often.
    RefusedFlap(StationEvent),
    /// A guest's port sent a bridge protocol data unit; the station is its sender.
    Bpdu(StationEvent),
    /// A station was silent for longer than the ageing time, or was deleted.
    Gone(StationEvent),
    /// A port is there now.
    PortAdded(PortEvent),
    /// A port is no more.
    PortRemoved(PortEvent),
    /// A port forwards.
    PortUp(PortEvent),
    /// A port does not forward.
    PortDown(PortEvent),
    /// A device that was to be a port cannot be one; the detail says why.
    PortRefused(PortEvent),
    /// Something about a port's device changed; the detail says what.
    PortChanged(PortEvent),
    /// A port is in VLANs, or has another part in them.
    VlanAdded(VlanEvent),
    /// A port is in VLANs no more.
    VlanDeleted(VlanEvent),
    /// VLAN filtering was turned on or off.
    VlanFiltering {
        /// On.
        on: bool,
    },
    /// More happened than was passed on.
    Lost {
        /// How many events.
        count: u64,
    },
}

/// A station's part in an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StationEvent {
    /// Its address.
    pub mac: String,
    /// Its VLAN; absent where untagged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Its port.
    pub ifname: String,
    /// Where it was before, or is for the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// A port's part in an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PortEvent {
    /// Its device.
    pub ifname: String,
    /// In plain words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// A port's part in VLANs, in an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VlanEvent {
    /// The port; `host` for the host.
    pub ifname: String,
    /// Which VLANs, as `10` or `20-30`.
    pub vlan: Vids,
    /// `PVID` and `Egress Untagged`, as in `bridge -j vlan`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}
