//! What an operator forbids a port does not happen there.

use super::case::{Aim, Case, is_station};
use crate::{
    PortFlags,
    policy::{Guards, Source},
};

impl Case<'_> {
    pub fn policies(&self) {
        let aim = self.aim();
        for sent in &self.done.sent {
            let takes = |flag| assert!(!self.has(sent.port, flag), "{:?} takes no {aim:?}", sent.port);
            match aim {
                Aim::LinkLocal => continue,
                Aim::Unknown => takes(PortFlags::NO_FLOOD),
                Aim::Multicast => takes(PortFlags::NO_MCAST_FLOOD),
                Aim::Broadcast => takes(PortFlags::NO_BCAST_FLOOD),
                Aim::Host | Aim::Known(_) => {}
            }
            let isolated = [self.ingress, sent.port].map(|id| self.has(id, PortFlags::ISOLATED));
            assert_ne!(isolated, [true, true], "sent from {:?} to {:?}", self.ingress, sent.port);
        }
        if self.has(self.ingress, PortFlags::NO_LEARNING) && !self.has(self.ingress, PortFlags::LOCKED) {
            assert_eq!(self.before.stations, self.after.stations, "learned where nothing is to be");
        }
    }

    /// The port is locked, and the sender is not known there.
    pub fn is_locked_out(&self) -> bool {
        let own = self.src() == self.before.config.uplink.mac();
        let here = self.known().is_some_and(|entry| entry.port() == self.ingress);
        self.has(self.ingress, PortFlags::LOCKED) && !own && !here && self.aim() != Aim::LinkLocal
    }

    /// The port has guards, and the frame speaks for another than its sender. (Neighbour discovery is judged against an independent
    /// reader, in the fuzz target `inspect`.)
    pub fn is_spoofed(&self) -> bool {
        if self.is_refused() || self.aim() == Aim::LinkLocal {
            return false;
        }
        let mac = self.guards(Guards::MACS) && !self.may(Source::mac(self.ingress, self.src()));
        mac || self.guards(Guards::ADDRESSES) && !self.speaks_for_itself() || self.is_forbidden()
    }

    fn may(&self, source: Source) -> bool {
        self.before.sources.contains(&source)
    }

    /// EtherType and what is behind it, after at most two tags.
    fn payload(&self) -> (u16, &[u8]) {
        let mut rest = self.arrival.bytes.get(12..).unwrap_or_default();
        for _ in 0..2 {
            if let [0x81, 0x00, _, _, behind @ ..] | [0x88, 0xa8, _, _, behind @ ..] = rest {
                rest = behind;
            }
        }
        match rest {
            [a, b, behind @ ..] => (u16::from_be_bytes([*a, *b]), behind),
            _ => (0, &[]),
        }
    }

    /// By the addresses in IP and ARP.
    fn speaks_for_itself(&self) -> bool {
        let own_v4 = |a: &[u8]| a.try_into().is_ok_and(|a| self.may(Source::v4(self.ingress, a)));
        match self.payload() {
            (0x0800, ip) => match (ip.get(12..16), ip.get(20..24)) {
                (Some([0, 0, 0, 0]), ports) => ip[9] == 17 && ports == Some(&[0, 68, 0, 67]),
                (Some(source), _) => own_v4(source),
                (None, _) => false,
            },
            (0x0806, arp) => match (arp.get(8..14), arp.get(14..18)) {
                (Some(hardware), Some(source)) => {
                    *hardware == self.src().0 && (source == [0; 4] || own_v4(source))
                }
                _ => false,
            },
            (0x86dd, ip) => match ip.get(8..24) {
                Some([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) => matches!(ip[6], 0 | 44 | 58),
                Some(source) => self.is_own_link_local(source) || self.is_listed_v6(source),
                None => false,
            },
            (0x8100 | 0x88a8, _) => false,
            _ => true,
        }
    }

    fn is_listed_v6(&self, address: &[u8]) -> bool {
        address.try_into().is_ok_and(|address| self.may(Source::v6(self.ingress, address)))
    }

    fn is_own_link_local(&self, address: &[u8]) -> bool {
        let mut expected = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0];
        let mac = self.src().0;
        expected[8..11].copy_from_slice(&mac[..3]);
        expected[13..].copy_from_slice(&mac[3..]);
        expected[8] ^= 2;
        is_station(self.src()) && address == expected
    }

    /// An answer that no guest may give, where nothing hides it, or a hop-by-hop header.
    fn is_forbidden(&self) -> bool {
        let (kind, ip) = self.payload();
        let at = |at: usize| ip.get(at).copied().unwrap_or_default();
        let (udp, icmp) = match (kind, at(6), at(9)) {
            (0x0800, _, 17) if at(6) & 0x1f == 0 && at(7) == 0 => (Some(usize::from(at(0) & 0xf) * 4), None),
            (0x86dd, 17, _) => (Some(40), None),
            (0x86dd, 58, _) => (None, Some(40)),
            (0x86dd, 0, _) if at(40) == 58 && at(41) == 0 => (None, Some(48)),
            _ => (None, None),
        };
        let server = udp.and_then(|udp| ip.get(udp..udp + 2)).is_some_and(|port| match kind {
            0x0800 => port == [0, 67],
            _ => port == [2, 35],
        });
        let router = icmp.and_then(|icmp| ip.get(icmp)) == Some(&134);
        server && self.guards(Guards::NO_DHCP_SERVER) || router && self.guards(Guards::NO_RA)
    }
}
