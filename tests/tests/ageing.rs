//! How long a station is remembered, and where: ageing, moves, static entries, and a table that is full.

use std::time::{Duration, Instant};

use xbr_lab::{GuestKind, Mac, Segment, Speaker, TapsBy, Xbr, require_privileges, wait_until};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const A: Mac = Mac::numbered(0xa001);
const B: Mac = Mac::numbered(0xb001);
const NOBODY: Mac = Mac::numbered(0xffff);

/// A quiet segment with three guests on veths, and somebody who speaks at each.
struct Room {
    segment: Segment,
    bridge: Xbr,
    guests: [Speaker; 3],
    outside: Speaker,
}

impl Room {
    #[track_caller]
    fn new(words: &str) -> Room {
        let mut segment = Segment::builder().guests(3, GuestKind::Veth).quiet().build();
        let bridge = segment.start(TapsBy::Switch, |segment| Xbr::start(XBR, segment, words));
        let guests = [1, 2, 3].map(|number| Speaker::at(segment.guest(number)));
        let outside = Speaker::at(segment.outside());
        Room { segment, bridge, guests, outside }
    }

    /// Where the table has a station.
    #[track_caller]
    fn place(&self, mac: Mac) -> Option<String> {
        self.bridge.station(mac).map(|row| row["ifname"].as_str().unwrap_or_default().to_owned())
    }

    /// Whether a frame from the outside to `mac` is heard by guest `there` alone.
    #[track_caller]
    fn reaches_only(&self, mac: Mac, there: usize) -> bool {
        let said = self.outside.say(NOBODY, mac);
        assert!(self.guests[there - 1].hears(&said), "vm{there} does not hear what is said to {mac}");
        self.guests
            .iter()
            .zip(1..)
            .filter(|(_, number)| *number != there)
            .all(|(guest, _)| guest.hears_nothing_of(&said))
    }
}

#[test]
fn who_speaks_stays_and_who_is_silent_is_forgotten() {
    if !require_privileges() {
        return;
    }
    let room = Room::new("--ageing-time 2");
    let monitor = room.bridge.monitor();
    let [first, second, _] = &room.guests;
    second.say(B, Mac::BROADCAST);
    let silent_since = Instant::now();
    let mut seen = Vec::new();
    let gone = wait_until(Duration::from_secs(8), || {
        first.say(A, Mac::BROADCAST);
        seen.push(room.place(B).is_some());
        let all = monitor.stdout_text();
        all.lines().any(|line| line.contains("gone") && line.contains(&B.to_string()))
    });
    let after = silent_since.elapsed();
    assert!(gone, "the sweep never took {B} away: {monitor}");
    assert!(seen[0], "{B} was learned");
    eprintln!("{B} was swept away after {after:?}");
    assert!(after > Duration::from_secs(2), "too early: {after:?}");
    // Ageing time, one sweep, and what a busy machine adds.
    assert!(after < Duration::from_millis(2000 + 1000 + 900), "too late: {after:?}");
    assert_eq!(room.place(A).as_deref(), Some("vm1"), "who speaks stays");
    assert_eq!(room.bridge.stats("vm1")["learned"], 1, "and is not learned again and again");
    assert_eq!(room.place(B), None);
}

#[test]
fn an_expired_station_is_unknown_with_no_controller_too() {
    if !require_privileges() {
        return;
    }
    for hook in ["tc", "xdp"] {
        let room = Room::new(&format!("--ageing-time 2 --hook {hook}"));
        let [first, second, third] = &room.guests;
        room.bridge.kill();
        first.say(A, Mac::BROADCAST);
        let silent_since = Instant::now();
        assert!(room.reaches_only(A, 1), "{hook}: known");
        let flooded = wait_until(Duration::from_secs(6), || {
            let said = second.say(B, A);
            assert!(first.hears(&said));
            !third.hears_nothing_of(&said)
        });
        let after = silent_since.elapsed();
        assert!(flooded, "{hook}: never flooded again");
        assert!(after > Duration::from_secs(2) && after < Duration::from_millis(2900), "{hook}: {after:?}");
        assert_eq!(room.place(A), None, "{hook}: nor is it shown");
    }
}

#[test]
fn who_moves_is_followed_with_the_first_frame() {
    if !require_privileges() {
        return;
    }
    for hook in ["tc", "xdp"] {
        let room = Room::new(&format!("--hook {hook}"));
        let monitor = room.bridge.monitor();
        let [first, second, third] = &room.guests;
        third.say(B, Mac::BROADCAST);
        first.say(A, B);
        assert!(room.reaches_only(A, 1), "{hook}");
        let slow = || room.bridge.stats("vm2")["slow_path"].clone();
        let before = slow();
        // To a known station, so that XDP takes the frame itself.
        let said = second.say(A, B);
        assert!(third.hears(&said), "{hook}");
        assert_eq!(slow(), before, "{hook}: XDP left the frame to TC");
        assert!(room.reaches_only(A, 2), "{hook}: not followed");
        assert_eq!(room.place(A).as_deref(), Some("vm2"), "{hook}");
        assert_eq!(room.bridge.stats("vm2")["moved"], 1, "{hook}");
        let line = monitor.wait_line("\"moved\"", Duration::from_secs(3));
        let words = [&A.to_string(), "\"ifname\":\"vm2\"", "\"from\":\"vm1\""];
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
}

#[test]
fn a_port_that_goes_down_takes_what_was_learned_along() {
    if !require_privileges() {
        return;
    }
    let mut room = Room::new("");
    let fixed = Mac::numbered(0x5000);
    room.bridge.text(&format!("fdb add {fixed} dev vm1"));
    for way in ["set down", "loses its carrier"] {
        room.guests[0].say(A, Mac::BROADCAST);
        room.guests[1].say(B, Mac::BROADCAST);
        assert!(wait_until(Duration::from_secs(3), || room.place(A).is_some()), "{way}: never learned");
        match way {
            "set down" => room.segment.host().ns.ip("link set vm1 down"),
            _ => room.segment.unplug(1),
        }
        assert!(wait_until(Duration::from_secs(3), || room.place(A).is_none()), "{way}: still there");
        assert_eq!(room.place(B).as_deref(), Some("vm2"), "{way}: others stay");
        assert_eq!(room.place(fixed).as_deref(), Some("vm1"), "{way}: static ones stay");
        room.segment.host().ns.ip("link set vm1 up");
        room.segment.plug(1);
        room.segment.settle();
        let up = || room.bridge.port("vm1")["state"] == "forwarding";
        assert!(wait_until(Duration::from_secs(3), up), "{way}: vm1 never forwards again");
    }
}

#[test]
fn a_static_station_neither_ages_nor_moves() {
    if !require_privileges() {
        return;
    }
    let room = Room::new("--ageing-time 1");
    let monitor = room.bridge.monitor();
    room.bridge.text(&format!("fdb add {A} dev vm1"));
    room.guests[1].say(A, Mac::BROADCAST);
    let line = monitor.wait_line("refused-static", Duration::from_secs(3));
    assert!(line.contains(&A.to_string()) && line.contains("vm2") && line.contains("vm1"), "{line}");
    assert_eq!(room.bridge.stats("vm2")["refused"]["static"], 1);
    room.guests[1].say(B, Mac::BROADCAST);
    assert!(wait_until(Duration::from_secs(3), || room.place(B).is_some()));
    assert!(wait_until(Duration::from_secs(4), || room.place(B).is_none()), "{B} ages");
    assert_eq!(room.bridge.station(A).expect("it does not age")["state"], "static");
    assert!(room.reaches_only(A, 1), "it did not move");
}

#[test]
fn an_ageing_time_of_0_is_for_ever() {
    if !require_privileges() {
        return;
    }
    let room = Room::new("--ageing-time 0");
    room.guests[0].say(A, Mac::BROADCAST);
    assert!(wait_until(Duration::from_secs(3), || room.place(A).is_some()));
    let two_sweeps = Duration::from_millis(2500);
    assert!(!wait_until(two_sweeps, || room.place(A).is_none()), "forgotten");
    assert!(room.reaches_only(A, 1));
}
