//! Guests that storm, and guests with a rate.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use xbr_lab::{GuestKind, Mac, Node, RawPort, Xbr, frames, require_privileges, tcp_transfer};

use super::{KINDS, MIB};

const NOBODY: Mac = Mac::numbered(0xffff);
const GROUP: Mac = Mac([1, 0, 0x5e, 1, 2, 3]);

/// Sends as fast as the guest can, for a while; gives how many and how long.
fn storm(from: &Node, to: Mac, time: Duration) -> (u64, Duration) {
    let port = RawPort::open(&from.ns, "eth0");
    let frame = frames::frame(to, from.mac, 60);
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < time {
        // Where its queue is full, the guest itself drops.
        sent += u64::from(port.send(&frame).is_ok());
    }
    (sent, began.elapsed())
}

/// Copies that left at a port.
fn left(bridge: &Xbr, port: &str) -> u64 {
    bridge.counters(port).tx.packets
}

#[test]
fn a_storm_is_held_to_its_rate() {
    if !require_privileges() {
        return;
    }
    const RATE: u64 = 500;
    let kinds = [("broadcast", Mac::BROADCAST), ("multicast", GROUP), ("unknown", NOBODY)];
    for (kind, hook) in KINDS {
        let (segment, bridge) = super::quiet(kind, hook);
        segment.address_quietly();
        let (one, two, outside) = (segment.guest(1), segment.guest(2), segment.outside());
        for (word, to) in kinds {
            let told = format!("{kind:?} {hook}, {word}");
            bridge.text(&format!("port set vm1 storm {word}={RATE}pps"));
            let before = (left(&bridge, "vm3"), bridge.counters("vm1"));
            let over = AtomicBool::new(false);
            let (sent, time) = std::thread::scope(|scope| {
                // The victims' transfers go on beside it.
                let victims = scope.spawn(|| {
                    let mut transfers = 0;
                    while !over.load(Relaxed) || transfers == 0 {
                        tcp_transfer(&two.ns, &outside.ns, outside.v4, MIB).unwrap();
                        transfers += 1;
                    }
                });
                let stormed = storm(one, to, Duration::from_secs(2));
                over.store(true, Relaxed);
                victims.join().expect("the victims' TCP");
                stormed
            });
            let passed = (left(&bridge, "vm3") - before.0) as f64;
            // Its bucket was full: a quarter of a second comes at once.
            let allowed = RATE as f64 * (time.as_secs_f64() + 0.25);
            assert!((passed / allowed - 1.0).abs() < 0.2, "{told}: {passed} of {sent} passed, not {allowed}");
            let counted = bridge.counters("vm1").since(&before.1);
            let dropped = counted.dropped(&format!("storm_{word}"));
            // A frame of the victims may have been flooded too.
            let missing = counted.rx.packets.abs_diff(passed as u64 + dropped);
            assert!(missing <= 5, "{told}: {counted:?} and {passed} passed");
            eprintln!("{told}: {sent} sent in {time:?}, {passed} passed, {dropped} dropped");
        }
        // The kinds have a bucket each, and without limits all of it passes.
        bridge.text("port set vm1 storm off");
        let before = left(&bridge, "vm3");
        let (sent, _) = storm(one, Mac::BROADCAST, Duration::from_millis(200));
        let passed = left(&bridge, "vm3") - before;
        assert!(passed > RATE, "{kind:?} {hook}: {passed} of {sent} without a limit");
        bridge.stop();
    }
}

#[test]
fn a_guest_has_its_rate_in_each_direction() {
    if !require_privileges() {
        return;
    }
    const MBIT: f64 = 50.0;
    const BYTES: u64 = 12 * MIB;
    for kind in [GuestKind::Veth, GuestKind::TapVnetHdr, GuestKind::Tap] {
        let (segment, bridge) = super::quiet(kind, "auto");
        segment.address_quietly();
        let (one, outside) = (segment.guest(1), segment.outside());
        let speed = || {
            let time = tcp_transfer(&one.ns, &outside.ns, outside.v4, BYTES).unwrap();
            (2 * BYTES * 8) as f64 / 1e6 / time.as_secs_f64()
        };
        let free = speed();
        bridge.text(&format!("port set vm1 rate {MBIT}mbit"));
        let held = speed();
        eprintln!("{kind:?}: {free:.0} Mbit/s without a limit, {held:.1} with one of {MBIT}");
        assert!((held / MBIT - 1.0).abs() < 0.25, "{kind:?}: {held:.1} Mbit/s");
        assert!(free > 2.0 * MBIT, "{kind:?}: {free:.0} Mbit/s without a limit");
        let drops = bridge.counters("vm1");
        assert!(drops.dropped("rate_in") > 0 && drops.dropped("rate_out") > 0, "{kind:?}: {drops:?}");
        bridge.text("port set vm1 rate off");
        assert!(speed() > 2.0 * MBIT, "{kind:?}: the limit stays");
        bridge.stop();
    }
}

#[test]
fn what_was_used_under_an_old_limit_counts_under_no_new_one() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = super::quiet(GuestKind::TapVnetHdr, "auto");
    segment.address_quietly();
    let (one, outside) = (segment.guest(1), segment.outside());
    // This bucket, once used up, takes two minutes to be full again.
    bridge.text("port set vm1 rate 8kbit,burst=128k");
    assert!(tcp_transfer(&one.ns, &outside.ns, outside.v4, MIB).is_err(), "a mebibyte at 8 kbit/s");
    assert!(bridge.counters("vm1").dropped("rate_in") > 0);
    bridge.text("port set vm1 rate 500mbit");
    let began = Instant::now();
    tcp_transfer(&one.ns, &outside.ns, outside.v4, MIB).unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "held up by the old limit: {:?}", began.elapsed());
    bridge.stop();
}
