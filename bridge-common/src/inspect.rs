//! Looking into a guest's frame: does it speak for itself?
//!
//! What cannot be read is refused: a header that this code does not understand may be one that a victim's stack does.

use crate::{
    Address, DropReason, Mac, Packet, PortId,
    frame::{ether, protocol},
    policy::{Guards, Policies, Source},
};

/// IPv6 extension headers that are walked. A chain that is longer is refused (RFC 7113, section 3).
const EXTENSIONS: u32 = 6;
/// Neighbour discovery options that are walked.
const OPTIONS: u32 = 8;

const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const DHCPV6_SERVER: u16 = 547;

const ROUTER_ADVERTISEMENT: u8 = 134;
const ROUTER_SOLICITATION: u8 = 133;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

/// What is behind IPv6 extension headers: a protocol's number, or one of these. (Numbers and no enum: in one of those LLVM leaves
/// unwritten what a variant does not have, and reads it.)
const UDP: u32 = protocol::UDP as u32;
const ICMPV6: u32 = protocol::ICMPV6 as u32;
/// A fragment that is not the first.
const LATER: u32 = 256;
/// Too many headers, or not all of them are there.
const UNKNOWN: u32 = 257;

/// Why a frame of this source may not come in at this port, if it may not.
#[inline(always)]
pub fn inspect<T: Policies>(
    packet: &impl Packet,
    src: Address,
    ingress: PortId,
    guards: Guards,
    tables: &T,
) -> Option<DropReason> {
    if guards.has(Guards::MACS) && !tables.allows_mac(ingress, src) {
        return Some(DropReason::MacGuard);
    }
    if guards.0 & (Guards::ADDRESSES.0 | Guards::NO_DHCP_SERVER.0 | Guards::NO_RA.0) == 0 {
        return None;
    }
    let look = Look { packet, src, ingress, guards, tables };
    // Most frames are of this kind, and are looked into at one go.
    if let Some(ipv4) = packet.ipv4() {
        let ports = || ((ipv4.rest >> 16) as u16, ipv4.rest as u16);
        return look.ipv4_from(ipv4.source, ipv4.next, ipv4.fragment & 0x1fff == 0, ports).err();
    }
    let Some((kind, at)) = ether::network(packet) else { return Some(DropReason::IpGuard) };
    let outcome = match kind {
        ether::IPV4 => look.ipv4(at),
        ether::IPV6 => look.ipv6(at),
        ether::ARP => look.arp(at),
        kind if ether::is_tag(kind) => Err(DropReason::IpGuard),
        // 802.3 with SNAP can carry IP too, and nobody does.
        kind if kind < 0x600 => match packet.load::<2>(at) {
            Some([0xaa, 0xaa]) => Err(DropReason::IpGuard),
            _ => Ok(()),
        },
        _ => Ok(()),
    };
    outcome.err()
}

struct Look<'a, P, T> {
    packet: &'a P,
    src: Address,
    ingress: PortId,
    guards: Guards,
    tables: &'a T,
}

impl<P: Packet, T: Policies> Look<'_, P, T> {
    #[inline(always)]
    fn addresses(&self) -> bool {
        self.guards.has(Guards::ADDRESSES)
    }

    /// Source and destination port of UDP. What cannot be read is taken for a server's.
    #[inline(always)]
    fn ports(&self, at: u32) -> (u16, u16) {
        match self.packet.load(at) {
            Some([a, b, c, d]) => (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
            None => (DHCP_SERVER, 0),
        }
    }

    #[inline(always)]
    fn ipv4(&self, at: u32) -> Result<(), DropReason> {
        let Some([version, _, _, _, _, _, f0, f1, _, next, _, _, a, b, c, d]) = self.packet.load(at) else {
            return Err(DropReason::IpGuard);
        };
        if version >> 4 != 4 || version & 0xf < 5 {
            return Err(DropReason::IpGuard);
        }
        let is_first = f0 & 0x1f == 0 && f1 == 0;
        let ports = || self.ports(at + (version as u32 & 0xf) * 4);
        self.ipv4_from(u32::from_ne_bytes([a, b, c, d]), next, is_first, ports)
    }

    #[inline(always)]
    fn ipv4_from(
        &self,
        source: u32,
        next: u8,
        is_first: bool,
        ports: impl FnOnce() -> (u16, u16),
    ) -> Result<(), DropReason> {
        let udp = next == protocol::UDP && is_first;
        let (from, to) = if udp { ports() } else { (0, 0) };
        if udp && from == DHCP_SERVER && self.guards.has(Guards::NO_DHCP_SERVER) {
            return Err(DropReason::DhcpServer);
        }
        if !self.addresses() || self.tables.allows_v4(self.ingress, source) {
            return Ok(());
        }
        // Who asks for an address has none.
        let asks = source == 0 && (from, to) == (DHCP_CLIENT, DHCP_SERVER);
        if asks { Ok(()) } else { Err(DropReason::IpGuard) }
    }

    #[inline(always)]
    fn arp(&self, at: u32) -> Result<(), DropReason> {
        if !self.addresses() {
            return Ok(());
        }
        let Some([0, 1, 8, 0, 6, 4, _, _, h0, h1, h2, h3, h4, h5, a, b, c, d]) = self.packet.load(at) else {
            return Err(DropReason::ArpGuard);
        };
        let (hardware, source) = ([h0, h1, h2, h3, h4, h5], u32::from_ne_bytes([a, b, c, d]));
        // Zero asks whether anybody has an address (RFC 5227).
        let own = source == 0 || self.tables.allows_v4(self.ingress, source);
        if Mac(hardware) == self.src.mac() && own { Ok(()) } else { Err(DropReason::ArpGuard) }
    }

    /// Whether the port may use an IPv6 address. The link-local address that follows from the sender's MAC address is
    /// always its own; other ones have to be listed.
    #[inline(always)]
    fn own_v6(&self, address: [u8; 16]) -> bool {
        let [a, b, c, d, e, f] = self.src.mac().0;
        let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f];
        address == link_local || self.tables.allows(&Source::v6(self.ingress, address))
    }

    #[inline(always)]
    fn ipv6(&self, at: u32) -> Result<(), DropReason> {
        let Some([version, _, _, _, _, _, next, _]) = self.packet.load(at) else {
            return Err(DropReason::IpGuard);
        };
        let Some(source) = self.packet.load::<16>(at + 8) else { return Err(DropReason::IpGuard) };
        if version >> 4 != 6 {
            return Err(DropReason::IpGuard);
        }
        let nobody = source == [0; 16];
        if self.addresses() && !nobody && !self.own_v6(source) {
            return Err(DropReason::IpGuard);
        }
        let (protocol, at) = self.upper(next, at + 40);
        match protocol {
            // A later fragment: no stack takes discovery in fragments (RFC 6980), nor half a datagram.
            LATER => Ok(()),
            UNKNOWN if self.guards.has(Guards::NO_RA) => Err(DropReason::Ra),
            UNKNOWN => Err(DropReason::IpGuard),
            ICMPV6 => self.icmpv6(at),
            _ if nobody && self.addresses() => Err(DropReason::IpGuard),
            UDP if self.guards.has(Guards::NO_DHCP_SERVER) => match self.ports(at) {
                (DHCP_SERVER | DHCPV6_SERVER, _) => Err(DropReason::DhcpServer),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// The protocol behind the extension headers, and where it begins.
    #[inline(always)]
    fn upper(&self, mut next: u8, mut at: u32) -> (u32, u32) {
        for _ in 0..EXTENSIONS {
            // Mobility, HIP and shim6 are the last three.
            if !matches!(next, 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140) {
                return (next as u32, at);
            }
            let Some([following, size, f0, f1]) = self.packet.load(at) else { break };
            at += match next {
                // Fragment: not the first.
                44 if f0 != 0 || f1 & 0xf8 != 0 => return (LATER, at),
                44 => 8,
                // Authentication, whose length counts in words of four bytes.
                51 => (size as u32 + 2) * 4,
                _ => (size as u32 + 1) * 8,
            };
            next = following;
        }
        (UNKNOWN, at)
    }

    #[inline(always)]
    fn icmpv6(&self, at: u32) -> Result<(), DropReason> {
        let Some([kind, _]) = self.packet.load(at) else { return Err(DropReason::NdGuard) };
        if kind == ROUTER_ADVERTISEMENT && self.guards.has(Guards::NO_RA) {
            return Err(DropReason::Ra);
        }
        if !self.addresses() {
            return Ok(());
        }
        let options = match kind {
            ROUTER_SOLICITATION => at + 8,
            ROUTER_ADVERTISEMENT => at + 16,
            NEIGHBOUR_SOLICITATION => at + 24,
            NEIGHBOUR_ADVERTISEMENT => {
                match self.packet.load(at + 8) {
                    Some(target) if self.own_v6(target) => {}
                    _ => return Err(DropReason::NdGuard),
                }
                at + 24
            }
            _ => return Ok(()),
        };
        self.options(options)
    }

    /// Link-layer addresses in options are the sender's own.
    #[inline(always)]
    fn options(&self, mut at: u32) -> Result<(), DropReason> {
        for _ in 0..OPTIONS {
            let Some([kind, size]) = self.packet.load(at) else { return Ok(()) };
            if kind == 1 || kind == 2 {
                match self.packet.load(at + 2) {
                    Some(address) if Mac(address) == self.src.mac() => {}
                    _ => return Err(DropReason::NdGuard),
                }
            }
            if size == 0 {
                // Every stack refuses it; as padding behind the packet it means nothing.
                return Ok(());
            }
            at += size as u32 * 8;
        }
        // More than any neighbour has to say.
        Err(DropReason::NdGuard)
    }
}
