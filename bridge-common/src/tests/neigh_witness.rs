//! What frames say of neighbours, read a second time by etherparse. The fuzz target `neigh` includes this file.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::common::{
    Frame,
    frame::Segments,
    neigh::{Heard, advertisement, arp_answer, link_option},
};

/// Reads a frame, compares, and answers it. The body of the fuzz target `neigh`.
pub fn neighbours(frame: &[u8]) {
    let Some(facts) = Frame::parse(&frame, Segments::one(frame.len() as u32), None, true) else { return };
    for (aside, filters) in [(false, false), (false, true), (true, true)] {
        let Some(heard) = Heard::read(&frame, facts.src.mac(), aside, filters) else { continue };
        assert!(heard.mac == facts.src.mac() && (heard.at == 14 || heard.at == 18 && filters && !aside));
        let both = heard.is(Heard::ASKS) && heard.is(Heard::ANNOUNCES);
        assert!(!both && (heard.is(Heard::CLAIMS) || !heard.is(Heard::WEAK)), "{heard:x?}");
        assert!(!heard.is(Heard::CLAIMS) || heard.sender != [0; 16], "nobody's address: {frame:02x?}");
        assert!(
            !heard.is(Heard::CLAIMS) || heard.family == 4 || heard.sender[0] != 0xff,
            "a group's: {frame:02x?}"
        );
        let option = link_option(heard.mac, true);
        let answers = (arp_answer(&heard, heard.mac), advertisement(&heard, &option, false));
        assert_eq!((answers.0[1], answers.1[0]), (2, 136));
        compare(frame, &heard);
    }
}

fn compare(frame: &[u8], heard: &Heard) {
    // What that reader refuses, as for its length, says nothing.
    let Ok(sliced) = SlicedPacket::from_ethernet(frame) else { return };
    match &sliced.net {
        Some(NetSlice::Arp(arp)) => {
            assert_eq!((heard.family, &heard.sender[..4]), (4, arp.sender_protocol_addr()), "{frame:02x?}");
            assert_eq!(&heard.target[..4], arp.target_protocol_addr(), "{frame:02x?}");
            assert_eq!(arp.sender_hw_addr(), heard.mac.0, "it speaks for another: {frame:02x?}");
        }
        Some(NetSlice::Ipv6(ip)) => {
            assert_eq!((heard.family, ip.header().hop_limit()), (6, 255), "{frame:02x?}");
            if let Some(TransportSlice::Icmpv6(icmp)) = &sliced.transport {
                assert!(matches!(icmp.type_u8(), 134..=136), "{frame:02x?}");
            }
            if heard.is(Heard::ASKS) {
                assert_eq!(heard.sender, ip.header().source(), "{frame:02x?}");
            }
        }
        other => panic!("{other:?} speaks of neighbours: {frame:02x?}"),
    }
}
