//! Who has an address, what is read of it, and what is answered.

use super::*;
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use std::vec::Vec;

const ONE: Mac = Mac([2, 0, 0, 0, 0, 1]);
const TWO: Mac = Mac([2, 0, 0, 0, 0, 2]);
const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_000 * SECOND;
const V6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const LINK: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const TARGET: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

fn arp(operation: u8, hardware: Mac, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let head = [8, 6, 0, 1, 8, 0, 6, 4, 0, operation];
    [&[0xff; 6][..], &ONE.0, &head, &hardware.0, &sender, &[0; 6], &target].concat()
}

fn icmpv6(kind: u8, flags: u8, source: [u8; 16], target: [u8; 16], option: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let packet = PacketBuilder::ethernet2(ONE.0, [0x33, 0x33, 0, 0, 0, 1]).ipv6(source, V6, 255);
    packet.icmpv6_raw(kind, 0, [flags, 0, 0, 0]).write(&mut frame, &[&target[..], option].concat()).unwrap();
    frame
}

fn bits(frame: &[u8]) -> Option<u32> {
    Heard::read(&frame, ONE, false, false).map(|heard| heard.bits)
}

#[test]
fn arp_asks_announces_and_claims() {
    let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    assert_eq!(bits(&arp(1, ONE, a, b)), Some(Heard::ASKS | Heard::CLAIMS));
    assert_eq!(bits(&arp(1, ONE, a, a)), Some(Heard::ANNOUNCES | Heard::CLAIMS), "gratuitous");
    assert_eq!(bits(&arp(2, ONE, a, a)), Some(Heard::ANNOUNCES | Heard::CLAIMS), "gratuitous answer");
    assert_eq!(bits(&arp(1, ONE, [0; 4], b)), Some(Heard::ANNOUNCES), "a probe claims nothing");
    assert_eq!(bits(&arp(2, ONE, a, b)), Some(Heard::CLAIMS), "an answer for many");
    assert_eq!(bits(&arp(1, TWO, a, b)), None, "for somebody else");
    assert_eq!(bits(&arp(3, ONE, a, b)), None);
    assert_eq!(bits(&arp(1, ONE, [224, 0, 0, 1], b)), Some(Heard::ASKS));
    let whole = arp(1, ONE, a, b);
    assert!((0..whole.len()).all(|length| bits(&whole[..length]).is_none()));
}

#[test]
fn neighbour_discovery_asks_announces_and_claims() {
    let own = [1, 1, 2, 0, 0, 0, 0, 1];
    let told = [2, 1, 2, 0, 0, 0, 0, 1];
    let asks = Heard::ASKS | Heard::CLAIMS;
    assert_eq!(bits(&icmpv6(135, 0, V6, TARGET, &own)), Some(asks));
    assert_eq!(bits(&icmpv6(135, 0, LINK, TARGET, &own)), Some(asks | Heard::WEAK));
    assert_eq!(bits(&icmpv6(135, 0, [0; 16], TARGET, &[])), Some(Heard::ANNOUNCES), "duplicate detection");
    assert_eq!(bits(&icmpv6(135, 0, V6, TARGET, &[1, 1, 2, 0, 0, 0, 0, 2])), None, "for somebody else");
    assert_eq!(bits(&icmpv6(135, 0, V6, TARGET, &[own, own].concat())), None, "no room for an answer");
    assert_eq!(bits(&icmpv6(136, 0x20, V6, V6, &told)), Some(Heard::ANNOUNCES | Heard::CLAIMS));
    assert_eq!(
        bits(&icmpv6(136, 0xa0, LINK, LINK, &told)),
        Some(Heard::ANNOUNCES | Heard::CLAIMS | Heard::ROUTER)
    );
    assert_eq!(bits(&icmpv6(136, 0x60, V6, V6, &told)), Some(Heard::CLAIMS));
    assert_eq!(bits(&icmpv6(134, 0, LINK, [0; 16], &[])), Some(Heard::CLAIMS | Heard::ROUTER));
    assert_eq!(bits(&icmpv6(134, 0, V6, [0; 16], &[])), None, "no router speaks so");
    let mut far = icmpv6(135, 0, V6, TARGET, &own);
    far[21] = 254;
    assert_eq!(bits(&far), None, "from beyond a router");
}

#[test]
fn a_tag_counts_only_while_vlans_are_filtered() {
    let plain = arp(1, ONE, [10, 0, 0, 1], [10, 0, 0, 2]);
    let mut tagged = plain.clone();
    tagged.splice(12..12, [0x81, 0, 0, 10]);
    let read = |frame: &[u8], aside, filters| Heard::read(&frame, ONE, aside, filters).map(|heard| heard.at);
    assert_eq!((read(&plain, false, true), read(&plain, true, true)), (Some(14), Some(14)));
    assert_eq!((read(&tagged, false, true), read(&tagged, true, true)), (Some(18), None));
    assert_eq!((read(&tagged, false, false), read(&plain, true, false)), (None, None));
}

#[test]
fn the_first_to_claim_an_address_has_it() {
    let port = |number| PortId(number);
    let heard = |mac, bits| Heard { mac, bits, ..Heard::default() };
    let (one, two) = (heard(ONE, Heard::CLAIMS), heard(TWO, Heard::CLAIMS));
    let known = Neighbour::after_claim(Neighbour::NOBODY, &one, port(2), NOW);
    assert_eq!((known.mac(), known.port(), known.last_seen), (ONE, port(2), NOW));
    assert!(Neighbour::after_claim(known, &one, port(2), NOW + 1).is_nobody(), "written once a second");
    // Another one raises doubt, and no more.
    let doubted = Neighbour::after_claim(known, &two, port(3), NOW + 5 * SECOND);
    assert_eq!((doubted.mac(), doubted.port()), (ONE, port(2)));
    assert!(doubted.is_doubted() && !known.is_doubted());
    // Its own word lifts it, but only a while after the last that spoke against it.
    let spoken = Neighbour::after_claim(doubted, &one, port(2), NOW + 10 * SECOND);
    assert!(spoken.is_doubted());
    let spoken = Neighbour::after_claim(spoken, &one, port(2), NOW + 5 * SECOND + DOUBT);
    assert!(!spoken.is_doubted());
    // It may move, and a guest may give its address to another of its stations.
    assert_eq!(Neighbour::after_claim(known, &one, port(7), NOW + 1).port(), port(7));
    let other = Neighbour::after_claim(known, &two, port(2), NOW + 1);
    assert_eq!((other.mac(), other.is_doubted()), (TWO, false));
    let outside = Neighbour::after_claim(known, &one, PortId::UPLINK, NOW + SECOND);
    assert!(Neighbour::after_claim(outside, &two, PortId::UPLINK, NOW + 2 * SECOND).is_doubted());
    // What the operator says stands.
    let fixed = Neighbour::fixed(ONE, port(2));
    assert!(Neighbour::after_claim(fixed, &two, port(3), NOW).is_nobody());
    assert!(!fixed.is_expired(NOW, 1) && known.is_expired(NOW + 5 * SECOND, SECOND));
}

#[test]
fn nobody_is_told_that_a_router_is_none() {
    let heard = |bits| Heard { mac: ONE, bits, ..Heard::default() };
    let weak = heard(Heard::ASKS | Heard::CLAIMS | Heard::WEAK);
    assert!(Neighbour::after_claim(Neighbour::NOBODY, &weak, PortId(2), NOW).is_nobody());
    let router =
        Neighbour::after_claim(Neighbour::NOBODY, &heard(Heard::CLAIMS | Heard::ROUTER), PortId(2), NOW);
    assert!(router.is_router());
    assert!(Neighbour::after_claim(router, &weak, PortId(2), NOW + 2 * SECOND).is_router());
    let no_more = heard(Heard::CLAIMS | Heard::ANNOUNCES);
    assert!(!Neighbour::after_claim(router, &no_more, PortId(2), NOW + 2 * SECOND).is_router());
}

#[test]
fn an_advertisement_has_a_whole_checksum() {
    for (last, router) in (0..=255).zip([true, false].into_iter().cycle()) {
        let mut sender = V6;
        sender[14] = last;
        let heard = Heard { sender, target: TARGET, mac: ONE, family: 6, ..Heard::default() };
        let neighbour = Mac([2, last, 0xff, last, 7, last]);
        let option = link_option(neighbour, true);
        let head = advertisement(&heard, &option, router);
        let mut frame = Vec::new();
        let packet = PacketBuilder::ethernet2(neighbour.0, ONE.0).ipv6(TARGET, sender, 255);
        let payload = [&TARGET[..], &option].concat();
        packet.icmpv6_raw(136, 0, [head[4], 0, 0, 0]).write(&mut frame, &payload).unwrap();
        let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(TransportSlice::Icmpv6(icmp)) = sliced.transport else { unreachable!("it is ICMPv6") };
        assert_eq!(icmp.slice()[..8], head);
    }
}
