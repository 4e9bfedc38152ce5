//! A table that is full: the next station is refused, counted and flooded, and the known ones are still found.

use std::time::{Duration, Instant};

use xbr_lab::{GuestKind, Mac, Segment, Speaker, TapsBy, Xbr, require_privileges, wait_until};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const NEW: Mac = Mac::numbered(0xb001);
const NOBODY: Mac = Mac::numbered(0xffff);

/// Station `number` of the crowd behind guest 1.
fn one_of(number: u32) -> Mac {
    Mac::numbered(0x0100_0000 + number)
}

fn room(words: &str) -> (Segment, Xbr) {
    let mut segment = Segment::builder().guests(3, GuestKind::Veth).quiet().build();
    let bridge = segment.start(TapsBy::Switch, |segment| Xbr::start(XBR, segment, words));
    (segment, bridge)
}

fn count(bridge: &Xbr) -> usize {
    bridge.json("fdb show").as_array().unwrap().iter().filter(|row| row["state"] == "").count()
}

#[test]
fn the_65537th_station_is_refused_and_flooded() {
    if !require_privileges() {
        return;
    }
    const MAX: u32 = 65_536;
    let (segment, bridge) = room("");
    let monitor = bridge.monitor();
    let [first, second, third] = [1, 2, 3].map(|number| Speaker::at(segment.guest(number)));
    let outside = Speaker::at(segment.outside());
    let start = Instant::now();
    for number in 0..MAX {
        // Back to itself: learned and dropped, so that nobody's queue fills up.
        first.say(one_of(number), one_of(0));
    }
    eprintln!("{MAX} stations learned in {:?}", start.elapsed());
    assert_eq!(count(&bridge), MAX as usize);
    let said = second.say(NEW, one_of(7));
    assert!(first.hears(&said), "a refused station may speak");
    assert_eq!(bridge.stats("vm2")["refused"]["full"], 1);
    let line = monitor.wait_line("refused-full", Duration::from_secs(3));
    assert!(line.contains(&NEW.to_string()), "{line}");
    assert!(bridge.station(NEW).is_none());
    let output = bridge.verb(&format!("fdb add {NEW} dev vm2"));
    let said_so = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said_so.contains("the table is full"), "{said_so}");
    // To the refused one: everywhere.
    let said = outside.say(NOBODY, NEW);
    for guest in [&first, &second, &third] {
        assert!(guest.hears(&said), "not flooded");
    }
    for number in [0, 1, MAX / 2, MAX - 1] {
        let said = third.say(NOBODY, one_of(number));
        assert!(first.hears(&said), "{number} is not found");
        assert!(second.hears_nothing_of(&said) && outside.hears_nothing_of(&said), "{number} is not known");
    }
    bridge.text("fdb flush");
    assert_eq!(count(&bridge), 0);
    second.say(NEW, Mac::BROADCAST);
    assert!(wait_until(Duration::from_secs(3), || bridge.station(NEW).is_some()), "there is room again");
}

#[test]
fn with_no_controller_an_expired_station_makes_room() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = room("--fdb-max 16 --ageing-time 2");
    let [first, second] = [1, 2].map(|number| Speaker::at(segment.guest(number)));
    bridge.kill();
    for number in 0..16 {
        first.say(one_of(number), one_of(0));
    }
    let full_since = Instant::now();
    assert_eq!(count(&bridge), 16);
    second.say(NEW, one_of(7));
    assert!(bridge.station(NEW).is_none(), "there is no room");
    assert_eq!(bridge.stats("vm2")["refused"]["full"], 1);
    let learned = wait_until(Duration::from_secs(8), || {
        second.say(NEW, one_of(7));
        bridge.station(NEW).is_some()
    });
    assert!(learned, "nobody made room");
    let after = full_since.elapsed();
    assert!(after > Duration::from_secs(2), "a live station was thrown out after {after:?}");
}
