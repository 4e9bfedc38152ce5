//! How many stations a port has, whatever becomes of them.

use std::time::{Duration, Instant};

use xbr_lab::{GuestKind, Mac, Segment, Speaker, TapsBy, Xbr, require_privileges, tcp_transfer, wait_until};

use super::{KINDS, MIB, SOON, XBR};

/// Station `number` of the crowd behind a guest.
fn one_of(number: u32) -> Mac {
    Mac::numbered(0x0100_0000 + number)
}

fn entries(bridge: &Xbr, port: &str) -> u64 {
    let rows = bridge.json("fdb show");
    let learned = |row: &&serde_json::Value| row["ifname"] == port && row["state"] == "";
    rows.as_array().unwrap().iter().filter(learned).count() as u64
}

/// What counts against the quota of each port is what the table has.
#[track_caller]
fn counts_are_right(bridge: &Xbr, when: &str) {
    counts_in(bridge, &["host", "eth0", "vm1", "vm2", "vm3"], when);
}

#[track_caller]
fn counts_in(bridge: &Xbr, ports: &[&str], when: &str) {
    for port in ports {
        assert_eq!(bridge.port(port)["stations"], entries(bridge, port), "{port}, {when}");
    }
}

#[test]
fn a_thousand_sources_leave_room_for_the_others() {
    if !require_privileges() {
        return;
    }
    const MAX: u64 = 16;
    const CROWD: u32 = 1000;
    for (kind, hook) in KINDS {
        let told = format!("{kind:?} {hook}");
        let (segment, bridge) = super::quiet(kind, hook);
        segment.address_quietly();
        bridge.text(&format!("port set vm1 max-macs {MAX}"));
        let monitor = bridge.monitor();
        let [first, second, third] = [1, 2, 3].map(|number| Speaker::at(segment.guest(number)));
        second.say(segment.guest(2).mac, Mac::BROADCAST);
        assert!(wait_until(SOON, || bridge.station(segment.guest(2).mac).is_some()));
        let victims = (segment.guest(2).ns.clone(), segment.outside().clone());
        let transfer = std::thread::spawn(move || {
            let (from, to) = victims;
            (0..4).try_for_each(|_| tcp_transfer(&from, &to.ns, to.v4, MIB).map(drop))
        });
        let began = Instant::now();
        for number in 0..CROWD {
            if number == CROWD / 2 {
                // The first second's events are of stations that were learned.
                std::thread::sleep(Duration::from_millis(1100));
            }
            first.say(one_of(number), one_of(0));
        }
        let refused = || bridge.stats("vm1")["refused"]["quota"].as_u64().unwrap_or(0);
        assert!(wait_until(SOON, || refused() == u64::from(CROWD) - MAX), "{told}: {} refused", refused());
        let seconds = began.elapsed().as_secs() + 2;
        transfer.join().expect("no panic").unwrap_or_else(|e| panic!("{told}: the victims' TCP: {e:#}"));
        assert_eq!(entries(&bridge, "vm1"), MAX, "{told}");
        let row = bridge.port("vm1");
        assert_eq!((&row["stations"], &row["max_macs"]), (&MAX.into(), &MAX.into()), "{told}");
        assert!(bridge.station(segment.guest(2).mac).is_some(), "{told}: a victim's entry is gone");
        // It is told, and not a thousand times.
        let events = || monitor.stdout_text().lines().filter(|line| line.contains("refused-quota")).count();
        assert!(wait_until(SOON, || events() > 0), "{told}: nobody is told");
        assert!(events() as u64 <= seconds, "{told}: {} events in {seconds} s", events());
        // Others learn as before, and who is refused may speak.
        let said = first.say(one_of(CROWD), segment.guest(3).mac);
        assert!(third.hears(&said), "{told}: a refused station may speak");
        third.say(one_of(CROWD + 1), one_of(0));
        assert!(wait_until(SOON, || bridge.station(one_of(CROWD + 1)).is_some()), "{told}");
        bridge.text("port set vm1 max-macs off");
        first.say(one_of(CROWD + 2), one_of(0));
        assert!(wait_until(SOON, || bridge.station(one_of(CROWD + 2)).is_some()), "{told}: no limit");
        counts_are_right(&bridge, &told);
        bridge.stop();
    }
}

#[test]
fn stations_are_counted_through_all_that_befalls_them() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(3, GuestKind::Veth).quiet().build();
    let mut bridge = segment.start(TapsBy::Switch, |segment| Xbr::start(XBR, segment, "--ageing-time 8"));
    let [first, second, outside] =
        [segment.guest(1), segment.guest(2), segment.outside()].map(|node| Speaker::at(node));
    let learn = |speaker: &Speaker, numbers: std::ops::Range<u32>, port: &str, bridge: &Xbr| {
        for number in numbers.clone() {
            speaker.say(one_of(number), one_of(0));
        }
        let there = |number| bridge.station(one_of(number)).is_some_and(|row| row["ifname"] == port);
        assert!(wait_until(SOON, || numbers.clone().all(there)));
    };
    learn(&first, 1..9, "vm1", &bridge);
    learn(&outside, 20..25, "eth0", &bridge);
    counts_are_right(&bridge, "learned");
    learn(&second, 1..4, "vm2", &bridge);
    assert_eq!((entries(&bridge, "vm1"), entries(&bridge, "vm2")), (5, 3));
    counts_are_right(&bridge, "moved");
    bridge.text(&format!("fdb add {} dev vm1 static", one_of(5)));
    bridge.text(&format!("fdb add {} dev vm1 static", one_of(2)));
    counts_are_right(&bridge, "made static");
    bridge.text(&format!("fdb del {}", one_of(5)));
    bridge.text(&format!("fdb del {}", one_of(6)));
    counts_are_right(&bridge, "deleted");
    // With nobody there.
    bridge.kill();
    learn(&first, 40..44, "vm1", &bridge);
    counts_are_right(&bridge, "learned without a controller");
    bridge.restart("");
    counts_are_right(&bridge, "adopted");
    learn(&first, 50..53, "vm1", &bridge);
    bridge.kill();
    bridge.restart("--fdb-max 1000");
    assert!(entries(&bridge, "vm1") > 0);
    counts_are_right(&bridge, "carried over to a table of another size");
    bridge.text("fdb flush dev vm1");
    counts_are_right(&bridge, "flushed");
    learn(&first, 60..63, "vm1", &bridge);
    let swept = || bridge.port("vm1")["stations"] == 0 && bridge.port("eth0")["stations"] == 0;
    assert!(wait_until(Duration::from_secs(17), swept), "{}", bridge.text("port show -d"));
    counts_are_right(&bridge, "swept");
}

#[test]
fn who_moves_too_often_stays_where_it_is() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in KINDS {
        let mut segment = Segment::builder().guests(2, kind).quiet().build();
        let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook} --flap 3/60"));
        let told = format!("{kind:?} {hook}");
        let monitor = bridge.monitor();
        let speakers = [1, 2].map(|number| Speaker::at(segment.guest(number)));
        let place = || bridge.station(one_of(7)).and_then(|row| Some(row["ifname"].as_str()?.to_owned()));
        // Learned, and three moves.
        for (at, port) in [(0, "vm1"), (1, "vm2"), (0, "vm1"), (1, "vm2")] {
            speakers[at].say(one_of(7), one_of(0));
            assert!(wait_until(SOON, || place().as_deref() == Some(port)), "{told}: not at {port}");
        }
        let said = speakers[0].say(one_of(7), segment.guest(2).mac);
        assert!(speakers[1].hears(&said), "{told}: it may speak");
        assert!(wait_until(SOON, || bridge.stats("vm1")["refused"]["flap"] == 1), "{told}");
        assert_eq!(place().as_deref(), Some("vm2"), "{told}");
        let line = monitor.wait_line("refused-flap", SOON);
        assert!(line.contains(&one_of(7).to_string()) && line.contains("\"from\":\"vm2\""), "{told}: {line}");
        // Others move as ever.
        for (at, port) in [(0, "vm1"), (1, "vm2")] {
            speakers[at].say(one_of(8), one_of(0));
            assert!(wait_until(SOON, || bridge.station(one_of(8)).is_some_and(|row| row["ifname"] == port)));
        }
        counts_in(&bridge, &["host", "eth0", "vm1", "vm2"], &told);
        segment.address_quietly();
        let (one, outside) = (segment.guest(1), segment.outside());
        tcp_transfer(&one.ns, &outside.ns, outside.v4, MIB).unwrap();
        bridge.stop();
    }
}
