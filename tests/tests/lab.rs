//! The lab proves itself with a switch that needs no proof, and shows that its checks can fail.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use xbr_lab::{
    Direction, GuestKind, LinuxBridge, Offloads, Ping, Segment, TapsBy, dhcp, ping, require_privileges,
    tcp_transfer, udp_exchange, udp_segments,
};

const MIB: u64 = 1 << 20;
const MOMENT: Duration = Duration::from_millis(100);

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
    all_pairs_reach_one_another(&segment, if offloads == Offloads::Default { 8 * MIB } else { MIB });
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

#[test]
fn virtio_headers_with_all_offloads_off() {
    if require_privileges() {
        a_segment_works(GuestKind::TapVnetHdr, 1500, Offloads::Off);
    }
}

#[test]
fn jumbo_frames_cross_whole_and_only_where_they_fit() {
    if !require_privileges() {
        return;
    }
    for kind in GuestKind::ALL {
        for (mtu, size) in [(1500, 1472), (9000, 8972)] {
            let mut segment = Segment::builder().guests(1, kind).mtu(mtu).build();
            let _bridge = segment.start(TapsBy::Lab, LinuxBridge::start);
            let (guest, outside) = (segment.guest(1), segment.outside());
            Ping::from(&guest.ns).size(size).whole().to(outside.v4).unwrap();
            Ping::from(&guest.ns).size(size + 1).whole().timeout(MOMENT).to(outside.v4).unwrap_err();
            tcp_transfer(&outside.ns, &guest.ns, guest.v4, MIB).unwrap();
        }
    }
}
