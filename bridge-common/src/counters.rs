//! What is counted for each port. Frames are those of the wire: a segmented (GSO) frame counts as its
//! segments, bytes with L2 header and tags of every segment, without FCS.

macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every reason, in the order of its counter.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The one of this number.
            #[inline(always)]
            pub const fn from_index(index: u64) -> Option<Self> {
                if index < Self::COUNT as u64 {
                    // SAFETY: the variants are numbered from 0 to COUNT - 1. (A table would do, but to the verifier
                    // what is read from one may be any number.)
                    Some(unsafe { core::mem::transmute::<u32, Self>(index as u32) })
                } else {
                    None
                }
            }

            /// The name that users see, in JSON, in metrics and in tables.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

reasons! {
    /// Why a frame was dropped. Reasons of the way in are counted at the ingress port, reasons of the way out
    /// at the port where the frame (or this copy of it) would have left.
    DropReason {
        /// In: shorter than an Ethernet header.
        Malformed = "malformed",
        /// In: the source is a group address or zero.
        BadSource = "bad_source",
        /// In: the source is the uplink's own address, and the sender is not the host.
        HostSource = "host_source",
        /// In: a guest sent to 01:80:c2:00:00:00 to 0f.
        LinkLocal = "link_local",
        /// In: a guest sent a bridge protocol data unit, to 01:80:c2:00:00:00.
        Bpdu = "bpdu",
        /// In: the port is not in the frame's VLAN, or takes no frames without a tag.
        VlanIngress = "vlan_ingress",
        /// Out: the port is not in the frame's VLAN.
        VlanEgress = "vlan_egress",
        /// Out: without its tag the frame would show another tag, and hop into that VLAN.
        DoubleTag = "double_tag",
        /// Out: both ports are isolated.
        Isolated = "isolated",
        /// Out: the port takes no unicasts to nobody known, no multicasts or no broadcasts, or is not in the group. Only copies of a
        /// flood meet it, which were never meant to leave there: it counts nothing.
        NoFlood = "no_flood",
        /// In: the port is locked, and the FDB does not have the source here.
        Locked = "locked",
        /// In: a source MAC address that the port may not use.
        MacGuard = "mac_guard",
        /// In: a source IP address that the port may not use, or an IP header that cannot be read.
        IpGuard = "ip_guard",
        /// In: ARP that speaks of an address that the port may not use, or of another sender.
        ArpGuard = "arp_guard",
        /// In: the same, of neighbour discovery.
        NdGuard = "nd_guard",
        /// In: an answer of a DHCP server, where there must be none.
        DhcpServer = "dhcp_server",
        /// In: an IPv6 router advertisement, where there must be none.
        Ra = "ra",
        /// In: more broadcasts than the port may send.
        StormBroadcast = "storm_broadcast",
        /// In: more multicasts.
        StormMulticast = "storm_multicast",
        /// In: more unicasts to nobody known.
        StormUnknown = "storm_unknown",
        /// In: more bytes than the port may send.
        RateIn = "rate_in",
        /// Out: more bytes than the port may be sent.
        RateOut = "rate_out",
        /// Out: the kernel could not change the frame's tag.
        Retag = "retag",
        /// In or out: the port does not forward.
        PortDown = "port_down",
        /// In: the destination is behind the port that the frame came from.
        SamePort = "same_port",
        /// Out: longer than the port's MTU.
        TooBig = "too_big",
        /// Out: the kernel refused the redirect.
        Redirect = "redirect",
        /// In, counted at the host: a program met a frame of a device that is no port (any more).
        NoPort = "no_port",
    }
}

reasons! {
    /// Why XDP left a frame to TC. Counted at the ingress port; no loss.
    SlowReason {
        /// Longer than the port's MTU: segments that some device has yet to cut.
        TooLong = "too_long",
        /// Not in one buffer.
        MultiBuffer = "multi_buffer",
        /// For the host.
        ToHost = "to_host",
        /// For many.
        Flood = "flood",
        /// The egress port takes no redirect from XDP.
        ToTc = "to_tc",
        /// Its tag has to change, and there is no room for that.
        Retag = "retag",
        /// Of a protocol whose checksums the guard cannot judge.
        Protocol = "protocol",
        /// An IP fragment.
        Fragment = "fragment",
        /// A tunnel: the outer sum can be whole and the inner one not.
        Tunnel = "tunnel",
        /// No transport checksum at all, which tunnels with unfinished inner sums do.
        NoChecksum = "no_checksum",
        /// The checksum field holds the sum of the pseudo-header only.
        Unfinished = "unfinished_checksum",
    }
}

impl DropReason {
    /// Whether a copy of a flood that meets it was never meant to leave there, and so is no loss.
    #[inline(always)]
    pub const fn abstains(self) -> bool {
        matches!(self, Self::PortDown | Self::SamePort | Self::VlanEgress | Self::Isolated | Self::NoFlood)
    }
}

/// One CPU's share of a port's counters.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounters {
    /// Frames that came in here, those dropped later included.
    pub rx_packets: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Frames that were sent out here.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Frames dropped, by [`DropReason`].
    pub drops: [u64; DropReason::COUNT],
    /// Frames that XDP left to TC, by [`SlowReason`].
    pub slow: [u64; SlowReason::COUNT],
    /// Stations learned here.
    pub learned: u64,
    /// Stations that moved here.
    pub moved: u64,
    /// Stations not learned because the table was full.
    pub refused_full: u64,
    /// Stations not learned because a static or sticky entry has them elsewhere.
    pub refused_static: u64,
    /// Stations not learned because the port has all that it may have.
    pub refused_quota: u64,
    /// Stations not moved because they have moved too often.
    pub refused_flap: u64,
    /// Events over the port's budget.
    pub events_suppressed: u64,
    /// Events that found the ring full.
    pub events_lost: u64,
    /// Frames that XDP redirected here and the device did not take: nobody has it open, or its ring is full.
    /// They were counted as sent.
    pub device_refused: u64,
    /// Requests of this port for neighbours that were answered for those.
    pub neigh_answered: u64,
}

const _: () = assert!(size_of::<PortCounters>() == 8 * (14 + DropReason::COUNT + SlowReason::COUNT));

impl PortCounters {
    /// Adds another CPU's share.
    pub fn add(&mut self, other: &Self) {
        self.rx_packets = self.rx_packets.wrapping_add(other.rx_packets);
        self.rx_bytes = self.rx_bytes.wrapping_add(other.rx_bytes);
        self.tx_packets = self.tx_packets.wrapping_add(other.tx_packets);
        self.tx_bytes = self.tx_bytes.wrapping_add(other.tx_bytes);
        for (sum, one) in self.drops.iter_mut().zip(other.drops) {
            *sum = sum.wrapping_add(one);
        }
        for (sum, one) in self.slow.iter_mut().zip(other.slow) {
            *sum = sum.wrapping_add(one);
        }
        self.learned = self.learned.wrapping_add(other.learned);
        self.moved = self.moved.wrapping_add(other.moved);
        self.refused_full = self.refused_full.wrapping_add(other.refused_full);
        self.refused_static = self.refused_static.wrapping_add(other.refused_static);
        self.refused_quota = self.refused_quota.wrapping_add(other.refused_quota);
        self.refused_flap = self.refused_flap.wrapping_add(other.refused_flap);
        self.events_suppressed = self.events_suppressed.wrapping_add(other.events_suppressed);
        self.events_lost = self.events_lost.wrapping_add(other.events_lost);
        self.device_refused = self.device_refused.wrapping_add(other.device_refused);
        self.neigh_answered = self.neigh_answered.wrapping_add(other.neigh_answered);
    }
}
