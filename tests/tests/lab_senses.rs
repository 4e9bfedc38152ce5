//! The lab's senses: each check of traffic notices what it is there to notice.

use std::time::{Duration, Instant};

use xbr_lab::{
    Datagram, Direction, Frame, GuestKind, LinuxBridge, Listener, Mac, RawPort, Segment, Stream, TapsBy,
    dhcp, is_running, ping, require_privileges, tcp_transfer, udp_exchange, wait_until,
};

const MOMENT: Duration = Duration::from_millis(150);

/// A broadcast frame of an EtherType for experiments, told apart by `mark`.
fn broadcast(from: Mac, mark: u8) -> Vec<u8> {
    [&Mac::BROADCAST.0[..], &from.0, &[0x88, 0xb5], &[mark; 60]].concat()
}

fn of_ours(frames: &[Frame]) -> Vec<u8> {
    frames.iter().filter(|f| f.bytes[12..14] == [0x88, 0xb5]).map(|f| f.bytes[14]).collect()
}

#[test]
fn a_broken_path_is_an_error_within_seconds() {
    if !require_privileges() {
        return;
    }
    // Everything is there but a switch.
    let mut segment = Segment::builder().guests(1, GuestKind::TapVnetHdr).build();
    segment.make_taps();
    segment.host().ns.ip("link set vm1 up");
    segment.plug(1);
    segment.settle();
    let (guest, outside) = (segment.guest(1), segment.outside());
    let _server = dhcp::Server::start(outside, [10, 77, 0, 100].into());
    let begin = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| ping(&guest.ns, outside.v4).unwrap_err());
        scope.spawn(|| ping(&guest.ns, outside.v6).unwrap_err());
        scope.spawn(|| tcp_transfer(&guest.ns, &outside.ns, outside.v4, 1 << 20).unwrap_err());
        scope.spawn(|| udp_exchange(&guest.ns, &outside.ns, outside.v6).unwrap_err());
        scope.spawn(|| dhcp::acquire(guest, dhcp::Replies::Broadcast).unwrap_err());
    });
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn a_transfer_that_breaks_off_is_an_error_within_seconds() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(1, GuestKind::Veth).build();
    let _bridge = segment.start(TapsBy::Lab, LinuxBridge::start);
    let (guest, outside) = (segment.guest(1).clone(), segment.outside().clone());
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let transfer = scope.spawn(|| tcp_transfer(&guest.ns, &outside.ns, outside.v4, 4 << 30));
        std::thread::sleep(MOMENT);
        segment.host().ns.ip("link set vm1 nomaster");
        let error = transfer.join().unwrap().unwrap_err();
        assert!(format!("{error:#}").contains("silent after"), "{error:#}");
    });
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn multicast_and_broadcast_come_once_and_whole() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(2, GuestKind::TapVnetHdr).build();
    let _bridge = segment.start(TapsBy::Lab, LinuxBridge::start);
    let sender = segment.guest(1);
    for (group, port) in [("239.1.2.3", 4711), ("ff15::4711", 4712)] {
        let group: std::net::IpAddr = group.parse().unwrap();
        let hears = |node: &xbr_lab::Node| Listener::join(&node.ns, &node.device(), group, port).unwrap();
        let members: Vec<Listener> = segment.nodes().into_iter().map(hears).collect();
        let to = std::net::SocketAddr::new(group, port).to_string();
        Datagram::from(&sender.ns).on("eth0").mark(1 << 31).send(&to, b"one of many").unwrap();
        for member in &members {
            assert_eq!(member.heard(MOMENT).unwrap(), [b"one of many"]);
        }
    }
    let hears = |node: &xbr_lab::Node| Listener::open(&node.ns, &node.device(), node.v4, 4713).unwrap();
    let all: Vec<Listener> = [segment.guest(2), segment.host(), segment.outside()].map(hears).into();
    for to in ["10.77.0.255:4713", "255.255.255.255:4713"] {
        Datagram::from(&sender.ns).on("eth0").send(to, b"all of you").unwrap();
        for listener in &all {
            assert_eq!(listener.heard(MOMENT).unwrap(), [b"all of you"]);
        }
    }
}

#[test]
fn a_stream_counts_a_deliberate_loss() {
    if !require_privileges() {
        return;
    }
    for kind in [GuestKind::Veth, GuestKind::Tap] {
        let mut segment = Segment::builder().guests(2, kind).build();
        let _bridge = segment.start(TapsBy::Lab, LinuxBridge::start);
        let (a, b, host) = (segment.guest(1), segment.guest(2), segment.host());
        ping(&a.ns, b.v4).unwrap();

        let stream = Stream::start(&a.ns, &b.ns, b.v4, 1000).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let report = stream.stop();
        assert!(report.is_perfect(), "{report:?}");
        assert!((200..400).contains(&report.sent), "{report:?}");

        let stream = Stream::start(&a.ns, &b.ns, b.v4, 1000).unwrap();
        std::thread::sleep(MOMENT);
        host.ns.ip("link set vm2 down");
        std::thread::sleep(Duration::from_millis(100));
        host.ns.ip("link set vm2 up");
        assert!(wait_until(Duration::from_secs(3), || is_running(&host.ns, "vm2")));
        let before = stream.received();
        assert!(wait_until(Duration::from_secs(3), || stream.received() > before + 100), "it goes on");
        let report = stream.stop();
        println!("{kind:?}, a port down for 100 ms: {report:?}");
        assert!(!report.is_perfect(), "{report:?}");
        assert!((50..600).contains(&report.lost), "{report:?}");
        assert!(report.longest_gap >= Duration::from_millis(50), "{report:?}");
        assert_eq!((report.duplicated, report.reordered, report.refused), (0, 0, 0), "{report:?}");
    }
}

#[test]
fn a_quiet_segment_is_quiet_and_frames_arrive_as_sent() {
    if !require_privileges() {
        return;
    }
    for kind in GuestKind::ALL {
        let mut segment = Segment::builder().guests(2, kind).quiet().build();
        let _bridge = segment.start(TapsBy::Lab, LinuxBridge::start);
        let [one, two, out] = [segment.guest(1), segment.guest(2), segment.outside()]
            .map(|node| RawPort::open(&node.ns, "eth0"));
        for port in [&one, &two, &out] {
            assert_eq!(port.collect(MOMENT).unwrap(), []);
        }
        let plain = broadcast(segment.guest(1).mac, 7);
        let mut tagged = plain.clone();
        tagged.splice(12..12, [0x81, 0x00, 0x20, 0x64]);
        for frame in [&plain, &tagged] {
            one.send(frame).unwrap();
            for port in [&two, &out] {
                let came = port.collect(MOMENT).unwrap();
                assert_eq!(came.iter().map(|f| &f.bytes).collect::<Vec<_>>(), [frame], "{kind:?}");
            }
        }
        assert_eq!(one.drain().unwrap(), [], "a port does not hear itself");
    }
}

#[test]
fn a_relay_survives_a_switch_that_goes_down_or_away() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(1, GuestKind::Tap).quiet().build();
    let host = segment.host().ns.clone();
    segment.make_taps();
    segment.plug(1);
    let (inside, mac) = (RawPort::open(&segment.guest(1).ns, "eth0"), segment.guest(1).mac);
    let refused = |segment: &Segment| segment.crossed(1, Direction::FromGuest).refused;

    // The TAP is still down: frames are refused, and the relay goes on.
    inside.send(&broadcast(mac, 1)).unwrap();
    assert!(wait_until(Duration::from_secs(2), || refused(&segment) == 1));
    host.ip("link set vm1 up");
    segment.settle();
    let outside = RawPort::open(&host, "vm1");
    inside.send(&broadcast(mac, 2)).unwrap();
    assert_eq!(of_ours(&outside.collect(MOMENT).unwrap()), [2]);

    segment.unplug(1);
    assert!(wait_until(Duration::from_secs(2), || !is_running(&host, "vm1")), "no carrier without a reader");
    segment.plug(1);
    segment.settle();
    inside.send(&broadcast(mac, 3)).unwrap();
    assert!(of_ours(&outside.collect(MOMENT).unwrap()).contains(&3));

    // The switch deletes its TAP under the relay, and makes it again.
    host.ip("link del vm1");
    inside.send(&broadcast(mac, 4)).unwrap();
    segment.make_taps();
    host.ip("link set vm1 up");
    segment.plug(1);
    segment.settle();
    let outside = RawPort::open(&host, "vm1");
    inside.send(&broadcast(mac, 5)).unwrap();
    assert!(of_ours(&outside.collect(MOMENT).unwrap()).contains(&5));
}
