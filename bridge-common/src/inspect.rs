//! Looking into a guest's frame: does it speak for itself?
//!
//! What cannot be read is refused: a header that this code does not understand may be one that a victim's stack does.

use crate::{
    DropReason, Frame, Mac, Packet, PortId,
    frame::{ether, protocol},
    policy::{Guards, Policies, Source},
};

/// IPv6 extension headers that are walked. A chain that is longer is refused (RFC 7113, section 3).
const EXTENSIONS: u32 = 6;
/// Neighbour discovery options that are walked.
const OPTIONS: u32 = 4;

const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const DHCPV6_SERVER: u16 = 547;

const ROUTER_ADVERTISEMENT: u8 = 134;
const ROUTER_SOLICITATION: u8 = 133;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

/// Why the frame may not come in at this port, if it may not.
#[inline(always)]
pub fn inspect<T: Policies>(
    packet: &impl Packet,
    frame: &Frame,
    ingress: PortId,
    guards: Guards,
    tables: &T,
) -> Option<DropReason> {
    if guards.has(Guards::MACS) && !tables.allows(&Source::mac(ingress, frame.src)) {
        return Some(DropReason::MacGuard);
    }
    if guards.0 & (Guards::ADDRESSES.0 | Guards::NO_DHCP_SERVER.0 | Guards::NO_RA.0) == 0 {
        return None;
    }
    let look = Look { packet, src: frame.src, ingress, guards, tables };
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
    src: Mac,
    ingress: PortId,
    guards: Guards,
    tables: &'a T,
}

impl<P: Packet, T: Policies> Look<'_, P, T> {
    #[inline(always)]
    fn addresses(&self) -> bool {
        self.guards.has(Guards::ADDRESSES)
    }

    #[inline(always)]
    fn ports(&self, at: u32) -> Option<(u16, u16)> {
        let [a, b, c, d] = self.packet.load(at)?;
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    #[inline(always)]
    fn ipv4(&self, at: u32) -> Result<(), DropReason> {
        let first: Option<[u8; 10]> = self.packet.load(at);
        let source: Option<[u8; 4]> = self.packet.load(at + 12);
        let (Some([version, .., f0, f1, _, next]), Some(source)) = (first, source) else {
            return Err(DropReason::IpGuard);
        };
        if version >> 4 != 4 || version & 0xf < 5 {
            return Err(DropReason::IpGuard);
        }
        let is_first = f0 & 0x1f == 0 && f1 == 0;
        let udp = next == protocol::UDP && is_first;
        let ports = if udp { self.ports(at + (version as u32 & 0xf) * 4) } else { None };
        if udp && self.guards.has(Guards::NO_DHCP_SERVER) {
            match ports {
                Some((from, _)) if from != DHCP_SERVER => {}
                _ => return Err(DropReason::DhcpServer),
            }
        }
        if !self.addresses() || self.tables.allows(&Source::v4(self.ingress, source)) {
            return Ok(());
        }
        // Who asks for an address has none.
        let asks = source == [0; 4] && matches!(ports, Some((DHCP_CLIENT, DHCP_SERVER)));
        if asks { Ok(()) } else { Err(DropReason::IpGuard) }
    }

    #[inline(always)]
    fn arp(&self, at: u32) -> Result<(), DropReason> {
        if !self.addresses() {
            return Ok(());
        }
        let head: Option<[u8; 6]> = self.packet.load(at);
        let hardware: Option<[u8; 6]> = self.packet.load(at + 8);
        let source: Option<[u8; 4]> = self.packet.load(at + 14);
        let (Some([0, 1, 8, 0, 6, 4]), Some(hardware), Some(source)) = (head, hardware, source) else {
            return Err(DropReason::ArpGuard);
        };
        // Zero asks whether anybody has an address (RFC 5227).
        let own = source == [0; 4] || self.tables.allows(&Source::v4(self.ingress, source));
        if Mac(hardware) == self.src && own { Ok(()) } else { Err(DropReason::ArpGuard) }
    }

    /// Whether the port may use an IPv6 address. The link-local address that follows from the sender's MAC address is
    /// always its own; other ones have to be listed.
    #[inline(always)]
    fn own_v6(&self, address: [u8; 16]) -> bool {
        let [a, b, c, d, e, f] = self.src.0;
        let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f];
        address == link_local || self.tables.allows(&Source::v6(self.ingress, address))
    }

    #[inline(always)]
    fn ipv6(&self, at: u32) -> Result<(), DropReason> {
        let head: Option<[u8; 8]> = self.packet.load(at);
        let source: Option<[u8; 16]> = self.packet.load(at + 8);
        let (Some([version, _, _, _, _, _, next, _]), Some(source)) = (head, source) else {
            return Err(DropReason::IpGuard);
        };
        if version >> 4 != 6 {
            return Err(DropReason::IpGuard);
        }
        let nobody = source == [0; 16];
        if self.addresses() && !nobody && !self.own_v6(source) {
            return Err(DropReason::IpGuard);
        }
        match self.upper(next, at + 40) {
            // A later fragment: no stack takes discovery in fragments (RFC 6980), nor half a datagram.
            Upper::Later => Ok(()),
            Upper::Protocol(protocol::ICMPV6, at) => self.icmpv6(at),
            Upper::Protocol(..) if nobody && self.addresses() => Err(DropReason::IpGuard),
            Upper::Protocol(protocol::UDP, at) if self.guards.has(Guards::NO_DHCP_SERVER) => {
                match self.ports(at) {
                    Some((from, _)) if from != DHCPV6_SERVER => Ok(()),
                    _ => Err(DropReason::DhcpServer),
                }
            }
            Upper::Protocol(..) => Ok(()),
            Upper::Unknown if self.guards.has(Guards::NO_RA) => Err(DropReason::Ra),
            Upper::Unknown => Err(DropReason::IpGuard),
        }
    }

    /// The protocol behind the extension headers, and where it begins.
    #[inline(always)]
    fn upper(&self, mut next: u8, mut at: u32) -> Upper {
        for _ in 0..EXTENSIONS {
            let length = match next {
                // Hop-by-hop, routing, destination options; mobility, HIP and shim6.
                0 | 43 | 60 | 135 | 139 | 140 => 8,
                // Fragment.
                44 => 0,
                // Authentication, whose length counts in words of four bytes.
                51 => 4,
                upper => return Upper::Protocol(upper, at),
            };
            let Some([following, size, f0, f1]) = self.packet.load(at) else { return Upper::Unknown };
            at += match length {
                0 if f0 != 0 || f1 & 0xf8 != 0 => return Upper::Later,
                0 => 8,
                4 => (size as u32 + 2) * 4,
                _ => (size as u32 + 1) * 8,
            };
            next = following;
        }
        Upper::Unknown
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
                    Some(address) if Mac(address) == self.src => {}
                    _ => return Err(DropReason::NdGuard),
                }
            }
            if size == 0 {
                // Every stack refuses it; as padding behind the packet it means nothing.
                return Ok(());
            }
            at += size as u32 * 8;
        }
        Ok(())
    }
}

/// What is behind IPv6 extension headers.
enum Upper {
    Protocol(u8, u32),
    /// A fragment that is not the first.
    Later,
    /// Too many headers, or not all of them are there.
    Unknown,
}
