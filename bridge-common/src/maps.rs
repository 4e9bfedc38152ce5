//! The names of the maps, so that they are written once. `bridge-ebpf` declares statics of these names
//! (the kernel keeps at most 15 bytes of one).

/// `[u32 ifindex] -> u32 port number`.
pub const PORT_OF: &str = "PORT_OF";
/// `[port number] -> `[`crate::Port`].
pub const PORTS: &str = "PORTS";
/// `[0] -> `[`crate::state::State`], which user space maps into its memory.
pub const STATE: &str = "STATE";
/// [`crate::FdbKey`]` -> `[`crate::FdbEntry`].
pub const FDB: &str = "FDB";
/// `[port number] -> `[`crate::PortCounters`] for each CPU.
pub const COUNTERS: &str = "COUNTERS";
/// `[port number] -> device`, for redirects in XDP.
pub const DEVICES: &str = "DEVICES";
/// Ring buffer of [`crate::FdbEvent`].
pub const EVENTS: &str = "EVENTS";
/// `[port number] -> ` what is left of the port's budget of events.
pub const EVENT_BUDGET: &str = "EVENT_BUDGET";
/// `[0] -> ` when expired entries were last thrown out to make room.
pub const RECLAIM: &str = "RECLAIM";

/// `[port number] -> `[`crate::record::PortRecord`]; for the controller only.
pub const RECORDS: &str = "RECORDS";
/// `[0] -> `[`crate::record::BridgeRecord`]; for the controller only.
pub const BRIDGE: &str = "BRIDGE";

/// `[CPU] -> ` the perf ring of who captures. Each record is a [`crate::capture::Sighting`] and bytes of the frame.
pub const SIGHTINGS: &str = "SIGHTINGS";
/// `[0] -> u64` for each CPU: records for which there was no room.
pub const UNSEEN: &str = "UNSEEN";

/// `[VLAN ID] -> `[`crate::vlan::Vlan`].
pub const VLANS: &str = "VLANS";
/// `u32 VLAN ID -> `[`crate::vlan::VlanCounters`] for each CPU, of the VLANs that have members.
pub const VLAN_COUNTERS: &str = "VLAN_COUNTERS";
/// `[port number] -> `[`crate::policy::Policy`].
pub const POLICIES: &str = "POLICIES";
/// [`crate::policy::Source`]` -> u32`, of those that are allowed.
pub const SOURCES: &str = "SOURCES";
/// `[port number] -> ` a `u64` for each [`crate::policy::Meter`].
pub const METERS: &str = "METERS";
/// `[port number] -> u64`: stations learned here since the bridge was made, less those that moved away. The programs count.
pub const LEARNED: &str = "LEARNED";
/// `[port number] -> u64`: those of [`LEARNED`] that are no more. The controller counts.
pub const FORGOTTEN: &str = "FORGOTTEN";

/// `[0] -> u64`: the number of the probe for loops that is under way ([`crate::probe`]); 0 for none.
pub const PROBE: &str = "PROBE";
/// `[port number] -> u64`: the number of the last probe that came back there.
pub const PROBED: &str = "PROBED";
/// `[port number] -> u64`: when the port was taken in, in nanoseconds of `CLOCK_MONOTONIC`; for the controller only.
pub const JOINED: &str = "JOINED";

/// [`crate::neigh::NeighbourKey`]` -> `[`crate::neigh::Neighbour`].
pub const NEIGHBOURS: &str = "NEIGHBOURS";
/// `[port number] -> u64`: how many of [`NEIGHBOURS`] are there. The programs count, and the controller sets it right.
pub const NEIGH_USED: &str = "NEIGH_USED";
/// `[0] -> ` the program [`programs::NEIGHBOURS`].
pub const ANSWERING: &str = "ANSWERING";
/// [`crate::multicast::GroupKey`]` -> u32`, the number of its set.
pub const GROUPS: &str = "GROUPS";
/// `[number] -> `[`crate::multicast::GroupSet`].
pub const GROUP_SETS: &str = "GROUP_SETS";
/// `[port number] -> `[`crate::multicast::GroupPolicy`]; for the controller only.
pub const GROUP_POLICIES: &str = "GROUP_POLICIES";
/// `[port number] -> `[`crate::multicast::GroupCounters`]; for the controller only.
pub const GROUP_COUNTERS: &str = "GROUP_COUNTERS";

/// Ring buffer of [`crate::snoop::Snoop`].
pub const SNOOPED: &str = "SNOOPED";
/// `[port and kind: `[`crate::snoop::budget`]`] -> `[`crate::snoop::SnoopBudget`].
pub const SNOOP_BUDGET: &str = "SNOOP_BUDGET";

/// `[0] -> ` the program [`programs::FLOODING`].
pub const FLOODING: &str = "FLOODING";

/// `[0] -> ` the program [`programs::SPREADING`].
pub const SPREADING: &str = "SPREADING";
/// `[0] -> ` for each CPU, what was decided about a frame that is not [`crate::plain::Plain`], for those who go on with it.
pub const JUDGED: &str = "JUDGED";

/// `[0] -> u64`: the generation of all that floods depend on. What was worked out in another counts no more.
pub const FLOOD_STATE: &str = "FLOOD_STATE";
/// [`crate::recipients::Kind`]` -> u32`, the row of its set.
pub const FLOOD_OF: &str = "FLOOD_OF";
/// `[row] -> `[`crate::recipients::Recipients`].
pub const FLOOD_SETS: &str = "FLOOD_SETS";
/// `[row] -> ` a devmap of their devices.
pub const FLOOD_DEVICES: &str = "FLOOD_DEVICES";

/// The section of the programs' own table of [`crate::recent`], which a loader takes for a map.
pub const RECENT: &str = ".bss.recent";

/// Every map that is pinned. The load-time constants' `.rodata` is not, nor the table of [`crate::recent`]: they belong to the programs that were
/// loaded with them.
pub const PINNED: [&str; 39] = [
    PORT_OF,
    PORTS,
    STATE,
    FDB,
    COUNTERS,
    DEVICES,
    EVENTS,
    EVENT_BUDGET,
    RECLAIM,
    RECORDS,
    BRIDGE,
    SIGHTINGS,
    UNSEEN,
    VLANS,
    VLAN_COUNTERS,
    POLICIES,
    SOURCES,
    METERS,
    LEARNED,
    FORGOTTEN,
    SNOOPED,
    SNOOP_BUDGET,
    GROUPS,
    GROUP_SETS,
    GROUP_POLICIES,
    GROUP_COUNTERS,
    FLOODING,
    SPREADING,
    JUDGED,
    FLOOD_STATE,
    FLOOD_OF,
    FLOOD_SETS,
    FLOOD_DEVICES,
    PROBE,
    PROBED,
    JOINED,
    NEIGHBOURS,
    NEIGH_USED,
    ANSWERING,
];

/// Those that a bridge of an earlier version may lack. They begin empty, so making them beside the others is all that
/// its adoption takes.
pub const ADDED: [&str; 2] = [SIGHTINGS, UNSEEN];

/// The default number of stations that the table holds.
pub const DEFAULT_FDB_MAX: u32 = 65_536;
/// Bytes of the event ring.
pub const EVENT_RING_BYTES: u32 = 256 * 1024;

/// `skb->tc_index` of a frame that xbr itself sent to the uplink device, out of it or into the host. Never
/// in `skb->mark`, which belongs to the host's firewall.
pub const OWN_TAG: u16 = 0x7862;

/// The names of the programs.
pub mod programs {
    /// XDP of every device.
    pub const XDP: &str = "xbr_xdp";
    /// TC ingress of a guest's port.
    pub const PORT: &str = "xbr_port";
    /// TC ingress of the uplink.
    pub const WIRE: &str = "xbr_wire";
    /// TC egress of the uplink.
    pub const HOST: &str = "xbr_host";
    /// What the three call for a frame that is for many.
    pub const FLOODING: &str = "xbr_flooding";
    /// What XDP calls for a frame that is for many.
    pub const SPREADING: &str = "xbr_spreading";
    /// What the three call before that while neighbours are learned.
    pub const NEIGHBOURS: &str = "xbr_neighbours";
    /// What the controller runs to send a probe for loops.
    pub const PROBE: &str = "xbr_probe";
    /// The tracepoint of devmap transmissions.
    pub const XMIT: &str = "xbr_xmit";
}

/// Load-time constants of the programs.
pub mod constants {
    /// [`NetOffsets`].
    pub const NET_OFFSETS: &str = "NET_OFFSETS";

    /// Where the kernel that runs keeps what the transmit tracepoint needs, from its BTF, and the bridge's
    /// network namespace.
    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct NetOffsets {
        /// The namespace's cookie; 0 where nothing is to be counted.
        pub namespace: u64,
        /// Bytes from a `struct net_device` to its `nd_net`.
        pub device_net: u32,
        /// Bytes from a `struct net_device` to its `ifindex`.
        pub device_ifindex: u32,
        /// Bytes from a `struct net` to its `net_cookie`.
        pub net_cookie: u32,
        /// Nothing; makes the size a multiple of the alignment.
        pub padding: u32,
    }

    impl NetOffsets {
        /// Nothing is counted.
        pub const NONE: Self =
            Self { namespace: 0, device_net: 0, device_ifindex: 0, net_cookie: 0, padding: 0 };
    }

    const _: () = assert!(size_of::<NetOffsets>() == 24);

    /// `u64`: bytes from the start of the table of [`crate::recent`] to its first cache line.
    pub const ROWS_AT: &str = "ROWS_AT";

    /// `u64`, for the lab: what the programs take for the time, in nanoseconds; 0 for the kernel's clock.
    pub const CLOCK: &str = "CLOCK";
    /// `u64`, for the lab: 1 to redirect in XDP without asking [`crate::guard`].
    pub const NO_GUARD: &str = "NO_GUARD";
}
