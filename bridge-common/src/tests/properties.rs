//! Random sequences on the model, judged by [`crate::model::laws`].

use std::vec::Vec;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::witness;
use crate::{
    DropReason, Mac, PortCounters, SlowReason,
    frame::Segments,
    guard,
    model::{
        build::{Kind, Shape, Tags, frame},
        laws,
        script::{Devices, Script, Step, random},
    },
};

fn script() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..1200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_sequence_keeps_the_laws(bytes in script()) {
        laws::sequence(&bytes);
    }

    #[test]
    fn every_built_frame_speaks_for_itself_or_is_refused(seed in any::<u64>(), cut in 0usize..120) {
        for step in &Script::decode(&random(seed, 300), &Devices::default()).steps {
            let Step::Frame(arrival) = step else { continue };
            witness::looking(&arrival.bytes);
            witness::looking(&arrival.bytes[..cut.min(arrival.bytes.len())]);
        }
    }

    #[test]
    fn every_frame_is_read_lawfully(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        laws::reading(&bytes);
    }

    /// Segments of a packet with a length that no buffer here has.
    #[test]
    fn segments_add_up(kind in 0..Kind::ALL.len(), tags in 0u8..3, length in 100u32..200_000, gso in 1u32..65_536) {
        let shape = Shape { tags: Tags::of(tags), ..Shape::of(Kind::ALL[kind]) };
        let frame = frame(Mac([2; 6]), Mac([4; 6]), &shape);
        let Segments { packets, bytes, longest } = Segments::of(&&frame[..], length, gso);
        let transport = match shape.kind {
            Kind::Tcp4 | Kind::Fragment => 20 + 20,
            Kind::Tcp6 => 40 + 20,
            Kind::Udp4 | Kind::Vxlan | Kind::NoChecksum | Kind::DhcpQuestion | Kind::DhcpAnswer => 20 + 8,
            Kind::Udp6 | Kind::Dhcpv6Answer => 40 + 8,
            // Nobody cuts these.
            _ => {
                prop_assert_eq!(packets, 1);
                return Ok(());
            }
        };
        let headers = 14 + 4 * u32::from(tags) + transport;
        let payload = length - headers;
        prop_assert_eq!(packets, u64::from(payload.div_ceil(gso)));
        prop_assert_eq!(bytes, u64::from(payload) + packets * u64::from(headers));
        prop_assert_eq!(longest, headers + payload.min(gso));
    }
}

/// A law that no sequence ever reaches would hold of anything.
#[test]
fn random_sequences_reach_every_outcome() {
    let mut total = PortCounters::default();
    for seed in 0..300 {
        laws::sequence(&random(seed, 1200)).counters.values().for_each(|counters| total.add(counters));
    }
    // What abstains from a flood is no loss, and only the kernel fails to change a tag.
    let never = [DropReason::NoFlood, DropReason::Retag];
    for reason in DropReason::ALL.iter().filter(|reason| !never.contains(reason)) {
        assert!(total.drops[*reason as usize] > 5, "{}: {total:?}", reason.name());
    }
    for reason in SlowReason::ALL.iter().filter(|reason| **reason != SlowReason::Retag) {
        assert!(total.slow[*reason as usize] > 5, "{}: {total:?}", reason.name());
    }
    let told = [
        total.learned,
        total.moved,
        total.refused_full,
        total.refused_static,
        total.refused_quota,
        total.refused_flap,
        total.events_suppressed,
    ];
    assert!(told.iter().all(|count| *count > 5), "{told:?}");
}

/// The builder's finished frames are finished, by somebody else's arithmetic.
#[test]
fn built_checksums_are_right() {
    for kind in Kind::ALL {
        for payload in [0, 1, 63] {
            let shape = Shape { tags: Tags::of(1), payload, padding: 5, ..Shape::of(kind) };
            let frame = frame(Mac([2; 6]), Mac([4; 6]), &shape);
            let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
            let verdict = guard::prove(&&frame[..]);
            let sums = match (sliced.net, sliced.transport) {
                (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) => {
                    (tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination()), tcp.checksum())
                }
                (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Tcp(tcp))) => {
                    (tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination()), tcp.checksum())
                }
                _ => continue,
            };
            assert_eq!((sums.0.unwrap(), verdict), (sums.1, Ok(())), "{shape:?}");
        }
    }
}
