//! Looking into frames: good ones and bad ones of every guard, and none that makes it panic.

use std::{vec, vec::Vec};

use super::{bridge::*, packets::*};
use crate::{
    DropReason::{self, ArpGuard, DhcpServer, IpGuard, MacGuard, NdGuard, Ra},
    Frame, Policies as _,
    frame::Segments,
    inspect::inspect,
    model::Model,
    policy::{Guards, Source},
};

const ALL: Guards = Guards(0xf);

fn rules() -> Model {
    let mut model = bridge();
    model.sources = [Source::mac(VM1, A), Source::v4(VM1, MINE), Source::v6(VM1, MINE6)].into();
    // What others may use is not one's own.
    model.sources.extend([Source::mac(VM2, B), Source::v4(VM2, THEIRS), Source::v6(VM2, THEIRS6)]);
    model
}

fn look(frame: &[u8], guards: Guards) -> Option<DropReason> {
    let facts = Frame::parse(&frame, Segments::one(frame.len() as u32), None, false)?;
    inspect(&frame, facts.src, VM1, guards, &rules())
}

fn check(rows: Vec<(&str, Vec<u8>, Guards, Option<DropReason>)>) {
    for (what, frame, guards, expected) in rows {
        assert_eq!(look(&frame, guards), expected, "{what}");
        assert_eq!(look(&frame, Guards::default()), None, "{what}, and nobody asks");
        // Inside tags, too; behind more than two nobody reads.
        let mut tagged = frame.clone();
        for count in 1..=3 {
            tagged.splice(12..12, if count == 1 { [0x81, 0, 0, 10] } else { [0x88, 0xa8, 0, 20] });
            let deeper = |reason| if count == 3 { Some(IpGuard) } else { reason };
            let beyond = guards.0 & !Guards::MACS.0 != 0 && expected != Some(MacGuard);
            let expected = if beyond { deeper(expected) } else { expected };
            assert_eq!(look(&tagged, guards), expected, "{what}, in {count} tags");
        }
    }
}

#[test]
fn only_listed_mac_addresses() {
    let mut spoofed = ipv4(MINE, 6, &[0; 20]);
    spoofed[6..12].copy_from_slice(&B.0);
    check(vec![
        ("its own", ipv4(MINE, 6, &[0; 20]), Guards::MACS, None),
        ("another's", spoofed.clone(), Guards::MACS, Some(MacGuard)),
        ("another's, and nobody looks at MAC addresses", spoofed, Guards::NO_RA, None),
        ("its own, with another's IP address", ipv4(THEIRS, 6, &[0; 20]), Guards::MACS, None),
    ]);
    assert!(rules().allows(&Source::mac(VM2, B)) && !rules().allows(&Source::mac(VM1, B)));
}

#[test]
fn only_listed_ip_addresses() {
    let ask = Guards::ADDRESSES;
    let discover = ipv4([0; 4], 17, &udp(68, 67));
    let mut options = ipv4(MINE, 17, &udp(7, 9));
    options[14] = 0x46;
    let mut short = ipv4(MINE, 17, &udp(7, 9));
    short[14] = 0x44;
    let mut version = ipv4(MINE, 17, &udp(7, 9));
    version[14] = 0x65;
    let mut version6 = ipv6(MINE6, 6, &[0; 20]);
    version6[14] = 0x45;
    check(vec![
        ("its own", ipv4(MINE, 6, &[0; 20]), ask, None),
        ("another's", ipv4(THEIRS, 6, &[0; 20]), ask, Some(IpGuard)),
        ("its own, with options", options, ask, None),
        ("a header that is too short for one", short, ask, Some(IpGuard)),
        ("another version", version, ask, Some(IpGuard)),
        ("no address, to ask for one", discover.clone(), ask, None),
        ("the same, all guards", discover, ALL, None),
        ("no address, from another port", ipv4([0; 4], 17, &udp(69, 67)), ask, Some(IpGuard)),
        ("no address, to another port", ipv4([0; 4], 17, &udp(68, 53)), ask, Some(IpGuard)),
        ("no address, and TCP", ipv4([0; 4], 6, &udp(68, 67)), ask, Some(IpGuard)),
        ("IPv6, its own", ipv6(MINE6, 6, &[0; 20]), ask, None),
        ("IPv6, another's", ipv6(THEIRS6, 6, &[0; 20]), ask, Some(IpGuard)),
        ("IPv6, of its MAC address", ipv6(link_local(A), 6, &[0; 20]), ask, None),
        ("IPv6, of another's", ipv6(link_local(B), 6, &[0; 20]), ask, Some(IpGuard)),
        ("IPv6, no address and TCP", ipv6(NOBODY6, 6, &[0; 20]), ask, Some(IpGuard)),
        ("IPv6, another version", version6, ask, Some(IpGuard)),
        ("what nobody knows", [&A.0[..], &A.0, &[0x88, 0xb5, 1, 2]].concat(), ALL, None),
    ]);
}

#[test]
fn fragments_have_a_source_and_no_ports() {
    let mut later = ipv4(MINE, 17, &udp(67, 68));
    later[20..22].copy_from_slice(&[0, 1]);
    let mut first = ipv4(MINE, 17, &udp(67, 68));
    first[20..22].copy_from_slice(&[0x20, 0]);
    let mut theirs = ipv4(THEIRS, 17, &udp(67, 68));
    theirs[20..22].copy_from_slice(&[0, 1]);
    let mut nobody = ipv4([0; 4], 17, &udp(68, 67));
    nobody[20..22].copy_from_slice(&[0, 1]);
    let later6 = |source| ipv6(source, 44, &[58, 0, 0, 8, 0, 0, 0, 1, 134, 0, 0, 0]);
    let first6 = ipv6(MINE6, 44, &[&[58, 0, 0, 1, 0, 0, 0, 1], &icmp(134, 16, NOBODY6, &[])[..]].concat());
    check(vec![
        ("a later one of UDP", later, ALL, None),
        ("the first one", first, ALL, Some(DhcpServer)),
        ("another's later one", theirs, ALL, Some(IpGuard)),
        ("a later one of nobody", nobody, ALL, Some(IpGuard)),
        ("a later one of IPv6", later6(MINE6), ALL, None),
        ("another's later one of IPv6", later6(THEIRS6), ALL, Some(IpGuard)),
        ("the first one of an advertisement", first6, ALL, Some(Ra)),
    ]);
}

#[test]
fn arp_speaks_for_its_sender() {
    let ask = Guards::ADDRESSES;
    let mut other = arp(A, MINE);
    other[14 + 1] = 6;
    check(vec![
        ("its own", arp(A, MINE), ask, None),
        ("a probe", arp(A, [0; 4]), ask, None),
        ("another's address", arp(A, THEIRS), ask, Some(ArpGuard)),
        ("another's hardware address", arp(B, MINE), ask, Some(ArpGuard)),
        ("a probe of another's hardware address", arp(B, [0; 4]), ask, Some(ArpGuard)),
        ("of other hardware", other, ask, Some(ArpGuard)),
        ("half a packet", arp(A, MINE)[..30].to_vec(), ask, Some(ArpGuard)),
        ("another's, and nobody asks about addresses", arp(B, THEIRS), Guards::NO_DHCP_SERVER, None),
    ]);
}

#[test]
fn neighbour_discovery_speaks_for_its_sender() {
    let ask = Guards::ADDRESSES;
    let nd =
        |source, kind, size, target, options: &[u8]| ipv6(source, 58, &icmp(kind, size, target, options));
    let (mine, theirs) = (option(1, A), option(1, B));
    let long = [&[3, 4][..], &[0; 30], &theirs].concat();
    let many = |count| [&[14, 1, 0, 0, 0, 0, 0, 0].repeat(count)[..], &option(2, B)].concat();
    check(vec![
        ("a solicitation", nd(MINE6, 135, 24, THEIRS6, &mine), ask, None),
        ("one of another's hardware address", nd(MINE6, 135, 24, THEIRS6, &theirs), ask, Some(NdGuard)),
        ("without options", nd(MINE6, 135, 24, THEIRS6, &[]), ask, None),
        ("a probe for a double", nd(NOBODY6, 135, 24, MINE6, &[]), ask, None),
        ("one of another's address", nd(THEIRS6, 135, 24, MINE6, &mine), ask, Some(IpGuard)),
        ("an advertisement", nd(MINE6, 136, 24, MINE6, &option(2, A)), ask, None),
        ("one of its link-local address", nd(MINE6, 136, 24, link_local(A), &option(2, A)), ask, None),
        (
            "one of another's address as target",
            nd(MINE6, 136, 24, THEIRS6, &option(2, A)),
            ask,
            Some(NdGuard),
        ),
        ("one of another's hardware address", nd(MINE6, 136, 24, MINE6, &option(2, B)), ask, Some(NdGuard)),
        ("half an advertisement", nd(MINE6, 136, 20, MINE6, &[]), ask, Some(NdGuard)),
        ("behind another option", nd(MINE6, 135, 24, THEIRS6, &long), ask, Some(NdGuard)),
        (
            "behind an option of no length",
            nd(MINE6, 135, 24, THEIRS6, &[&[3, 0][..], &[0; 6], &theirs].concat()),
            ask,
            None,
        ),
        ("the fourth option", nd(MINE6, 135, 24, THEIRS6, &many(3)), ask, Some(NdGuard)),
        ("half an option", nd(MINE6, 135, 24, THEIRS6, &theirs[..5]), ask, Some(NdGuard)),
        ("a router solicitation", nd(link_local(A), 133, 8, NOBODY6, &mine), ask, None),
        (
            "one of another's hardware address",
            nd(link_local(A), 133, 8, NOBODY6, &theirs),
            ask,
            Some(NdGuard),
        ),
        (
            "a router advertisement of another's",
            nd(link_local(A), 134, 16, NOBODY6, &theirs),
            ask,
            Some(NdGuard),
        ),
        ("an echo request", nd(MINE6, 128, 24, THEIRS6, &theirs), ask, None),
        ("an empty one", ipv6(MINE6, 58, &[]), ask, Some(NdGuard)),
    ]);
}

#[test]
fn no_answers_of_a_dhcp_server() {
    let ask = Guards::NO_DHCP_SERVER;
    let (next, behind) = behind(&[0, 60], 17, &udp(547, 546));
    check(vec![
        ("an offer", ipv4(THEIRS, 17, &udp(67, 68)), ask, Some(DhcpServer)),
        ("a relay's", ipv4(THEIRS, 17, &udp(67, 67)), ask, Some(DhcpServer)),
        ("a question", ipv4([0; 4], 17, &udp(68, 67)), ask, None),
        ("TCP of that port", ipv4(MINE, 6, &udp(67, 68)), ask, None),
        ("of another port", ipv4(MINE, 17, &udp(66, 68)), ask, None),
        ("without ports", ipv4(MINE, 17, &[0, 1]), ask, Some(DhcpServer)),
        ("v6, an answer", ipv6(THEIRS6, 17, &udp(547, 546)), ask, Some(DhcpServer)),
        ("v6, a question", ipv6(THEIRS6, 17, &udp(546, 547)), ask, None),
        ("v6, without ports", ipv6(THEIRS6, 17, &[2]), ask, Some(DhcpServer)),
        ("v6, behind extension headers", ipv6(THEIRS6, next, &behind), ask, Some(DhcpServer)),
        ("allowed", ipv4(MINE, 17, &udp(67, 68)), Guards::ADDRESSES.with(Guards::NO_RA, true), None),
    ]);
}

#[test]
fn no_router_advertisements() {
    let ask = Guards::NO_RA;
    let ra = icmp(134, 16, NOBODY6, &[]);
    let at = |kinds: &[u8]| {
        let (next, bytes) = behind(kinds, 58, &ra);
        ipv6(THEIRS6, next, &bytes)
    };
    let authentication = ipv6(THEIRS6, 51, &[&[58, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &ra].concat());
    let long = ipv6(THEIRS6, 60, &[&[58, 2][..], &[0; 22], &ra].concat());
    check(vec![
        ("an advertisement", at(&[]), ask, Some(Ra)),
        ("behind one header", at(&[0]), ask, Some(Ra)),
        ("behind every kind of header", at(&[0, 43, 60, 135, 139]), ask, Some(Ra)),
        ("behind an atomic fragment's", at(&[44]), ask, Some(Ra)),
        ("behind authentication", authentication, ask, Some(Ra)),
        ("behind a long header", long, ask, Some(Ra)),
        ("behind more headers than are walked", at(&[60; 6]), ask, Some(Ra)),
        (
            "the same, for the guard of addresses",
            ipv6(MINE6, 60, &behind(&[60; 6], 58, &ra).1),
            Guards::ADDRESSES,
            Some(IpGuard),
        ),
        ("behind half a header", ipv6(THEIRS6, 60, &[58, 0]), ask, Some(Ra)),
        ("a solicitation", ipv6(THEIRS6, 58, &icmp(133, 8, NOBODY6, &[])), ask, None),
        (
            "TCP behind a header",
            ipv6(THEIRS6, 60, &[&[6, 0, 0, 0, 0, 0, 0, 0][..], &[0; 20]].concat()),
            ask,
            None,
        ),
        ("allowed", ipv6(MINE6, 58, &ra), Guards::ADDRESSES, None),
    ]);
}

#[test]
fn ip_in_802_3_is_refused() {
    let llc = |sap: &[u8]| [&A.0[..], &A.0, &[0, 40], sap, &[0; 37]].concat();
    let snap = llc(&[0xaa, 0xaa, 3]);
    assert_eq!(look(&snap, Guards::ADDRESSES), Some(IpGuard));
    assert_eq!(look(&snap, Guards::MACS), None);
    assert_eq!(look(&llc(&[0x42, 0x42, 3]), ALL), None, "spanning tree's");
}

/// Of every frame, each length: never a panic, and never less strict than of the whole one about what is there.
#[test]
fn a_truncated_frame_is_refused_or_lacks_nothing() {
    let ra = icmp(134, 16, NOBODY6, &option(1, A));
    let (next, hidden) = behind(&[0, 60, 43], 58, &ra);
    let bad = [
        ipv4(THEIRS, 6, &[0; 20]),
        ipv4(MINE, 17, &udp(67, 68)),
        ipv6(THEIRS6, 6, &[0; 20]),
        ipv6(MINE6, 17, &udp(547, 546)),
        ipv6(link_local(A), next, &hidden),
        arp(A, THEIRS),
        arp(B, MINE),
        ipv6(MINE6, 58, &icmp(136, 24, THEIRS6, &[])),
    ];
    for frame in bad {
        assert!(look(&frame, ALL).is_some());
        for length in 14..frame.len() {
            assert!(look(&frame[..length], ALL).is_some(), "{length} bytes of {frame:02x?} pass");
        }
    }
}
