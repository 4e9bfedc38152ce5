//! Frames of a guarded port, read a second time: by etherparse where it can, byte by byte behind it. The fuzz target `inspect`
//! includes this file.

use std::{collections::BTreeSet, vec::Vec};

use etherparse::{LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket};

use super::common::{
    DropReason, Frame, Mac, Policies, PortId,
    frame::Segments,
    inspect::inspect,
    policy::{Guards, Meter, Source},
};

const PORT: PortId = PortId(2);
const ALL: Guards = Guards(0xf);

/// What the port may use: one address of each kind.
struct Rules(BTreeSet<Source>);

impl Rules {
    fn new() -> Self {
        let mut six = [0; 16];
        (six[0], six[15]) = (0xfd, 1);
        let mac = Source::mac(PORT, Mac([2, 0, 0, 0, 0, 1]));
        Self([mac, Source::v4(PORT, [10, 0, 0, 1]), Source::v6(PORT, six)].into())
    }
}

impl Policies for Rules {
    fn guards(&self, _: PortId) -> Guards {
        ALL
    }

    fn allows(&self, source: &Source) -> bool {
        self.0.contains(source)
    }

    fn has_room(&self, _: PortId) -> bool {
        true
    }

    fn may(&self, _: PortId, _: Meter, _: u64, _: u64) -> bool {
        true
    }

    fn charge(&mut self, _: PortId, _: Meter, _: u64, _: u64) {}
}

/// Looks into a frame with every set of guards, and asks the witness of each. The body of the fuzz target `inspect`.
pub fn looking(frame: &[u8]) {
    let Some(facts) = Frame::parse(&frame, Segments::one(frame.len() as u32), None, false) else { return };
    let rules = Rules::new();
    let mut verdicts = Vec::new();
    for guards in (0..16).map(Guards) {
        let reason = inspect(&frame, facts.src, PORT, guards, &rules);
        if let Some(fault) = fault(frame, facts.src.mac(), guards, &rules) {
            assert!(reason.is_some(), "{fault} passes {guards:?}: {frame:02x?}");
        }
        assert!(reason.is_none_or(|reason| is_of(reason, guards)), "{reason:?} of {guards:?}: {frame:02x?}");
        verdicts.push(reason.is_some());
    }
    // A guard more never lets through what one less holds up.
    for (guards, refused) in verdicts.iter().enumerate() {
        for more in (0..4).map(|bit| guards | 1 << bit) {
            assert!(!refused || verdicts[more], "{guards:#b} refuses and {more:#b} does not: {frame:02x?}");
        }
    }
}

/// Whether a reason is one of these guards. What cannot be read is refused by any.
fn is_of(reason: DropReason, guards: Guards) -> bool {
    let deeper = guards.0 & !Guards::MACS.0 != 0;
    match reason {
        DropReason::MacGuard => guards.has(Guards::MACS),
        DropReason::ArpGuard => guards.has(Guards::ADDRESSES),
        DropReason::IpGuard | DropReason::NdGuard => deeper,
        DropReason::DhcpServer => guards.has(Guards::NO_DHCP_SERVER),
        DropReason::Ra => guards.has(Guards::NO_RA),
        _ => false,
    }
}

/// What is wrong with a frame, if etherparse can tell.
fn fault(frame: &[u8], src: Mac, guards: Guards, rules: &Rules) -> Option<&'static str> {
    if guards.has(Guards::MACS) && !rules.allows(&Source::mac(PORT, src)) {
        return Some("another's MAC address");
    }
    let packet = LaxSlicedPacket::from_ethernet(frame).ok()?;
    let tag = |ext: &LaxLinkExtSlice<'_>| matches!(ext, LaxLinkExtSlice::Vlan(_));
    // Other tags than these two, and MACsec, nobody here reads.
    let known = |at: usize| matches!(frame.get(at..at + 2), Some([0x81, 0x00] | [0x88, 0xa8]));
    let tags = packet.link_exts.len();
    if !packet.link_exts.iter().all(tag) || !(0..tags).all(|tag| known(12 + 4 * tag)) {
        return None;
    }
    let addresses = guards.has(Guards::ADDRESSES);
    let own_v6 = |address: [u8; 16]| rules.allows(&Source::v6(PORT, address)) || is_link_local(src, address);
    match packet.net? {
        _ if tags > 2 && guards.0 & !Guards::MACS.0 != 0 => Some("a third tag"),
        LaxNetSlice::Arp(arp) if addresses => {
            let hardware = arp.sender_hw_addr() == src.0;
            let source: Option<[u8; 4]> = arp.sender_protocol_addr().try_into().ok();
            let own = source.is_some_and(|a| a == [0; 4] || rules.allows(&Source::v4(PORT, a)));
            (!hardware || !own).then_some("another's ARP")
        }
        LaxNetSlice::Ipv4(ip) => {
            let (source, payload) = (ip.header().source(), ip.payload());
            // A first fragment has ports, too, and what is behind the end of a packet is none of it.
            let udp = ip.header().protocol().0 == 17;
            let ports = payload.payload.get(..4).filter(|_| udp && !payload.fragmented);
            if guards.has(Guards::NO_DHCP_SERVER) && ports.is_some_and(|ports| ports[..2] == [0, 67]) {
                return Some("a DHCP answer");
            }
            let asks = source == [0; 4] && udp && ports.is_none_or(|ports| ports == [0, 68, 0, 67]);
            (addresses && !asks && !rules.allows(&Source::v4(PORT, source))).then_some("another's IPv4")
        }
        LaxNetSlice::Ipv6(ip) => {
            let (source, payload) = (ip.header().source(), ip.payload());
            if addresses && source != [0; 16] && !own_v6(source) {
                return Some("another's IPv6");
            }
            if payload.fragmented {
                return None;
            }
            match (payload.ip_number.0, payload.payload) {
                (17, [2, 35, ..]) if guards.has(Guards::NO_DHCP_SERVER) => Some("a DHCPv6 answer"),
                (58, [134, _, ..]) if guards.has(Guards::NO_RA) => Some("a router advertisement"),
                (58, icmp) if addresses => discovery(icmp, src, own_v6),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_link_local(Mac([a, b, c, d, e, f]): Mac, address: [u8; 16]) -> bool {
    address == [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]
}

/// What is wrong with neighbour discovery: its target, or a hardware address in its first option.
fn discovery(icmp: &[u8], src: Mac, own: impl Fn([u8; 16]) -> bool) -> Option<&'static str> {
    let options = match icmp.first()? {
        133 => 8,
        134 => 16,
        135 | 136 => 24,
        _ => return None,
    };
    if icmp[0] == 136 && icmp.get(8..24).is_some_and(|target| !own(target.try_into().unwrap_or_default())) {
        return Some("another's target");
    }
    match icmp.get(options..)? {
        [1 | 2, _, rest @ ..] if rest.get(..6).is_some_and(|mac| mac != src.0) => {
            Some("another's hardware address")
        }
        _ => None,
    }
}
