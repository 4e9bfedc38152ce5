//! The lab proves itself with a switch that needs no proof, and shows that its checks can fail.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use xbr_lab::{
    Datagram, Direction, GuestKind, LinuxBridge, Listener, Mac, Namespace, Offloads, Ping, Process, RawPort,
    Segment, Snapshot, Stream, TapsBy, dhcp, ethtool, ping, require_privileges, tcp_transfer, udp_exchange,
    udp_segments, unique_name, wait_until,
};

const MIB: u64 = 1 << 20;

/// All that any two participants of a segment can do with one another.
fn all_pairs_reach_one_another(segment: &Segment, bytes: u64) {
    for (a, b) in segment.pairs() {
        ping(&a.ns, b.v4).unwrap();
        ping(&a.ns, b.v6).unwrap();
        tcp_transfer(&a.ns, &b.ns, b.v4, bytes).unwrap();
        tcp_transfer(&a.ns, &b.ns, b.v6, bytes).unwrap();
        udp_exchange(&a.ns, &b.ns, b.v4).unwrap();
        udp_exchange(&a.ns, &b.ns, b.v6).unwrap();
        udp_segments(&a.ns, &b.ns, b.v4, 1400, 20).unwrap();
    }
}

fn guests_get_addresses(segment: &Segment) {
    let _server = dhcp::Server::start(segment.outside(), Ipv4Addr::new(10, 77, 0, 100));
    for (guest, number) in segment.guests().zip(100..) {
        for replies in [dhcp::Replies::Broadcast, dhcp::Replies::Unicast] {
            assert_eq!(dhcp::acquire(guest, replies).unwrap(), Ipv4Addr::new(10, 77, 0, number));
        }
    }
}

fn a_segment_works(kind: GuestKind, mtu: u32, offloads: Offloads) {
    let begin = Instant::now();
    let mut segment = Segment::builder().guests(2, kind).mtu(mtu).offloads(offloads).build();
    let built = begin.elapsed();
    let bridge = segment.start(TapsBy::Lab, LinuxBridge::start);
    let started = begin.elapsed();
    all_pairs_reach_one_another(&segment, 8 * MIB);
    let tested = begin.elapsed();
    guests_get_addresses(&segment);
    let [out, into] =
        [Direction::FromGuest, Direction::ToGuest].map(|direction| segment.crossed(1, direction));
    println!("{kind:?}: built {built:?}, started {started:?}, pairs {tested:?}, all {:?}", begin.elapsed());
    println!("from guest 1 {out:?}\nto guest 1 {into:?}");
    for crossed in [out, into] {
        let long = kind == GuestKind::TapVnetHdr && offloads == Offloads::Default;
        assert_eq!(crossed.gso > 0, long, "{crossed:?}");
        assert_eq!(crossed.unfinished > 0, long, "{crossed:?}");
        assert_eq!(crossed.frames > 0, kind != GuestKind::Veth, "{crossed:?}");
    }
    let begin = Instant::now();
    drop(bridge);
    drop(segment);
    println!("dropped in {:?}", begin.elapsed());
}

#[test]
fn veth_guests() {
    if require_privileges() {
        a_segment_works(GuestKind::Veth, 1500, Offloads::Default);
    }
}

#[test]
fn tap_guests() {
    if require_privileges() {
        a_segment_works(GuestKind::Tap, 1500, Offloads::Default);
    }
}

#[test]
fn tap_guests_with_virtio_headers() {
    if require_privileges() {
        a_segment_works(GuestKind::TapVnetHdr, 1500, Offloads::Default);
    }
}
