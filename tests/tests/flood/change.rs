//! Ports come, go and change in the middle of a flood: no copy is lost, and none comes twice.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use xbr_lab::{GuestKind, Mac, Node, RawPort, Segment, Xbr, frames, require_privileges};

use super::XBR;

/// Frames of the flood, each to a station of its own that nobody knows.
const FIRST: u32 = 0x40_0000;

/// How often each frame came.
fn listen(port: &RawPort, over: &AtomicBool) -> BTreeMap<u32, u32> {
    let mut heard = BTreeMap::new();
    let mut last = false;
    loop {
        for frame in port.drain().unwrap() {
            let number = u32::from_be_bytes(frame.bytes[2..6].try_into().unwrap());
            *heard.entry(number).or_default() += 1;
        }
        if last {
            return heard;
        }
        last = over.load(Ordering::Acquire);
        if last {
            std::thread::sleep(Duration::from_millis(300));
        } else {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn no_copy_is_lost_or_doubled_while_ports_change() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().quiet().guests(4, GuestKind::Veth).build();
    let bridge = Xbr::on(XBR, &mut segment, "--hook xdp");
    bridge.text("port del vm4");
    let before = bridge.counters("vm1");
    let listeners: Vec<&Node> =
        [segment.guest(2), segment.guest(3), segment.outside(), segment.guest(4)].into();
    let over = AtomicBool::new(false);
    let from = segment.guest(1);
    let (sent, heard) = std::thread::scope(|scope| {
        let heard: Vec<_> = listeners
            .iter()
            .map(|node| {
                let (port, over) = (RawPort::open(&node.ns, "eth0"), &over);
                scope.spawn(move || listen(&port, over))
            })
            .collect();
        let sender = scope.spawn(|| {
            let port = RawPort::open(&from.ns, "eth0");
            let mut number = FIRST;
            while !over.load(Ordering::Acquire) {
                for _ in 0..5 {
                    port.send(&frames::finished(Mac::numbered(number), from.mac, 80)).unwrap();
                    number += 1;
                }
                std::thread::sleep(Duration::from_micros(500));
            }
            number - FIRST
        });
        for round in 0..3 {
            // A port of TC comes: XDP can make no copy for it, and none may be missed.
            bridge.text("port add vm4 --hook tc");
            std::thread::sleep(Duration::from_millis(100));
            // It is XDP's, and then TC's again.
            if round > 0 {
                bridge.text("port set vm3 isolated on");
                bridge.text("port set vm1 hairpin on");
                bridge.text("port set vm1 hairpin off");
                bridge.text("port set vm3 isolated off");
            }
            bridge.text("port del vm4");
            std::thread::sleep(Duration::from_millis(100));
        }
        over.store(true, Ordering::Release);
        let sent = sender.join().unwrap();
        (sent, heard.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>())
    });
    let first = u32::from_be_bytes(Mac::numbered(FIRST).0[2..6].try_into().unwrap());
    for (node, heard) in listeners.iter().zip(&heard).take(3) {
        let lost = (0..sent).filter(|number| !heard.contains_key(&(first + number))).count();
        let doubled = heard.values().filter(|count| **count > 1).count();
        assert_eq!((lost, doubled, heard.len()), (0, 0, sent as usize), "{node:?} of {sent}");
    }
    // The fourth has whole stretches: from when it forwards until it is taken away.
    let fourth = &heard[3];
    assert!(fourth.len() > 100 && fourth.values().all(|count| *count == 1), "{} frames", fourth.len());
    let numbers: Vec<_> = fourth.keys().collect();
    let gaps = numbers.windows(2).filter(|pair| pair[1] - pair[0] > 1).count();
    assert!(gaps <= 2, "{gaps} gaps in what the port of TC heard, of 3 stretches");
    let counted = bridge.counters("vm1").since(&before);
    println!("{sent} frames, {} of them by XDP", counted.by_xdp());
    assert!(counted.by_xdp() > 0 && counted.slowed("flood") > 0, "both ways were taken: {counted:?}");
    bridge.stop();
}
