//! What frames carry.

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    /// An EtherType that nobody knows.
    Unknown,
    Arp,
    Tcp4,
    Udp4,
    Icmp4,
    Tcp6,
    Udp6,
    Icmp6,
    /// The first fragment of a TCP segment.
    Fragment,
    /// UDP to the port of VXLAN.
    Vxlan,
    /// UDP without a checksum.
    NoChecksum,
    /// Generic routing encapsulation, a tunnel.
    Gre,
    /// A neighbour solicitation with its sender's link-layer address.
    Solicitation,
    /// A neighbour advertisement of the source address.
    Advertisement,
    RouterAdvertisement,
    /// The same behind a hop-by-hop header.
    HiddenAdvertisement,
    /// A fragment of IPv6 that is not the first.
    LaterFragment,
    DhcpQuestion,
    DhcpAnswer,
    Dhcpv6Answer,
    /// IPv4 in 802.3.
    Snap,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 21] = [
        Self::Unknown,
        Self::Arp,
        Self::Tcp4,
        Self::Udp4,
        Self::Icmp4,
        Self::Tcp6,
        Self::Udp6,
        Self::Icmp6,
        Self::Fragment,
        Self::Vxlan,
        Self::NoChecksum,
        Self::Gre,
        Self::Solicitation,
        Self::Advertisement,
        Self::RouterAdvertisement,
        Self::HiddenAdvertisement,
        Self::LaterFragment,
        Self::DhcpQuestion,
        Self::DhcpAnswer,
        Self::Dhcpv6Answer,
        Self::Snap,
    ];

    pub(super) const fn ether_type(self) -> u16 {
        match self {
            Self::Unknown => 0x88b5,
            Self::Arp => 0x0806,
            Self::Snap => 0x0100,
            _ if self.is_v6() => 0x86dd,
            _ => 0x0800,
        }
    }

    pub(super) const fn is_v6(self) -> bool {
        matches!(
            self,
            Self::Tcp6
                | Self::Udp6
                | Self::Icmp6
                | Self::Solicitation
                | Self::Advertisement
                | Self::RouterAdvertisement
                | Self::HiddenAdvertisement
                | Self::LaterFragment
                | Self::Dhcpv6Answer
        )
    }

    pub(super) const fn protocol(self) -> u8 {
        match self {
            Self::Icmp4 => 1,
            Self::Tcp4 | Self::Tcp6 | Self::Fragment => 6,
            Self::Icmp6
            | Self::Solicitation
            | Self::Advertisement
            | Self::RouterAdvertisement
            | Self::HiddenAdvertisement
            | Self::LaterFragment => 58,
            Self::Gre => 47,
            _ => 17,
        }
    }

    /// An extension header, and its number.
    pub(super) const fn extension(self) -> Option<(u8, [u8; 8])> {
        match self {
            Self::HiddenAdvertisement => Some((0, [58, 0, 1, 4, 0, 0, 0, 0])),
            Self::LaterFragment => Some((44, [58, 0, 0, 8, 0, 0, 0, 1])),
            _ => None,
        }
    }

    /// Source and destination port of UDP.
    pub(super) const fn ports(self) -> (u16, u16) {
        match self {
            Self::Vxlan => (12345, 4789),
            Self::DhcpQuestion => (68, 67),
            Self::DhcpAnswer => (67, 68),
            Self::Dhcpv6Answer => (547, 546),
            _ => (12345, 53),
        }
    }

    /// Where the checksum is in the transport header, if there is one over a pseudo-header.
    pub(super) const fn checksum_at(self) -> Option<usize> {
        match self {
            Self::Tcp4 | Self::Tcp6 | Self::Fragment => Some(16),
            Self::Udp4
            | Self::Udp6
            | Self::Vxlan
            | Self::DhcpQuestion
            | Self::DhcpAnswer
            | Self::Dhcpv6Answer => Some(6),
            Self::Icmp6
            | Self::Solicitation
            | Self::Advertisement
            | Self::RouterAdvertisement
            | Self::HiddenAdvertisement => Some(2),
            _ => None,
        }
    }
}
