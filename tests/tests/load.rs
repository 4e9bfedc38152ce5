//! `xbr fdb load`: many static stations at once, or none of them.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use xbr_lab::{
    GuestKind, Mac, Segment, Speaker, TapsBy, Xbr, require_privileges, tcp_transfer, unique_name, wait_until,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
/// Of more than one request.
const STATIONS: u32 = 7000;

fn crowd(number: u32) -> Mac {
    Mac::numbered(0x0100_0000 + number)
}

/// A file that is gone with the test.
struct Lines(PathBuf);

impl Lines {
    fn of(text: &str) -> Lines {
        let path = std::env::temp_dir().join(unique_name());
        std::fs::write(&path, text).unwrap();
        Lines(path)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn load(bridge: &Xbr, text: &str) -> std::process::Output {
    let lines = Lines::of(text);
    bridge.verb(&format!("fdb load {}", lines.0.display()))
}

/// Exit code 2, with these words.
fn refused(bridge: &Xbr, text: &str, words: &str) {
    let before = statics(bridge, "static");
    let output = load(bridge, text);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains(words) && errors.contains("hint: "), "{errors}");
    assert_eq!(statics(bridge, "static"), before, "something was written all the same");
}

fn statics(bridge: &Xbr, word: &str) -> usize {
    bridge.text("fdb show").lines().filter(|line| line.ends_with(word)).count()
}

fn lines(numbers: std::ops::Range<u32>, rest: &str) -> String {
    numbers.fold(String::new(), |mut text, number| {
        writeln!(text, "fdb add {} {rest}", crowd(number)).unwrap();
        text
    })
}

#[test]
fn all_stations_of_a_file_or_none() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(3, GuestKind::Veth).build();
    let words = format!("--hook tc --fdb-max {}", STATIONS + 100);
    let bridge = segment.start(TapsBy::Switch, |segment| Xbr::start(XBR, segment, &words));
    let text = lines(0..STATIONS, "dev vm2 master static");
    refused(&bridge, &format!("{text}02:00:00:00:00:01 dev vm9 static"), "vm9 is no port of bridge");
    refused(&bridge, &format!("{text}02:00:00:00 dev vm2"), &format!("line {}: ", STATIONS + 1));
    refused(&bridge, &lines(0..STATIONS + 200, "dev vm2"), "the table can hold");
    // Behind more than one request's worth of good ones.
    refused(&bridge, &format!("{text}{} dev vm2 static", segment.host().mac), "permanent");
    // A client that hangs up midway has said nothing.
    let half = lines(0..STATIONS, "dev vm2 static") + "nonsense";
    refused(&bridge, &half, &format!("line {}: ", STATIONS + 1));

    let output = load(&bridge, &text);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{STATIONS} stations written\n"));
    assert_eq!(statics(&bridge, "static"), STATIONS as usize);
    // Again is no more of them, though there would be no room for as many.
    assert!(load(&bridge, &text).status.success());
    assert_eq!(statics(&bridge, "static"), STATIONS as usize);

    // What is for one of them goes there and nowhere else.
    let [speaker, there, other] = [1, 2, 3].map(|number| Speaker::at(segment.guest(number)));
    for number in [0, STATIONS / 2, STATIONS - 1] {
        let said = speaker.say(segment.guest(1).mac, crowd(number));
        assert!(there.hears(&said), "station {number}");
        assert!(other.hears_nothing_of(&said), "station {number}");
    }
    tcp_transfer(&segment.guest(1).ns, &segment.guest(2).ns, segment.guest(2).v4, 1 << 20).unwrap();
    bridge.stop();
}

#[test]
fn what_was_learned_and_is_static_now_counts_against_no_quota() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(2, GuestKind::Veth).build();
    let bridge = segment.start(TapsBy::Switch, |segment| Xbr::start(XBR, segment, "--hook tc"));
    let speaker = Speaker::at(segment.guest(1));
    for number in 0..20 {
        speaker.say(crowd(number), Mac::BROADCAST);
    }
    let counted = || bridge.port("vm1")["stations"].as_u64().unwrap();
    assert!(wait_until(Duration::from_secs(3), || counted() >= 20));
    let before = counted();
    let text = lines(0..STATIONS, "dev vm2") + &lines(STATIONS..STATIONS + 7, "dev vm1 sticky");
    assert!(load(&bridge, &text).status.success());
    // Before the sweep counts anew, which would hide it.
    assert_eq!(counted(), before - 20 + 7);
    tcp_transfer(&segment.guest(1).ns, &segment.guest(2).ns, segment.guest(2).v4, 1 << 20).unwrap();
    bridge.stop();
}

#[test]
fn in_vlans_too() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(2, GuestKind::Veth).build();
    let words = "--hook tc --vlan-filtering";
    let bridge = segment.start(TapsBy::Switch, |segment| Xbr::start(XBR, segment, words));
    bridge.text("vlan add dev vm2 vid 10");
    refused(&bridge, &lines(0..1, "dev vm1 vlan 10 static"), "not in VLAN 10");
    let text =
        lines(0..10, "dev vm2 vlan 10 static") + &lines(10..20, "dev vm2") + &lines(20..30, "dev vm1 sticky");
    let output = load(&bridge, &text);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Those without a VLAN are in both of the port's.
    assert_eq!(statics(&bridge, "static"), 10 + 2 * 10);
    assert_eq!(statics(&bridge, "sticky"), 10);
    // Behind so many good ones that they come in several messages, and before others: none of them is there.
    for (rest, words) in
        [("dev vm1 vlan 1 static", "static at vm2 already"), ("dev vm1 vlan 10 static", "not in VLAN 10")]
    {
        let good = lines(100..100 + STATIONS, "dev vm2");
        refused(&bridge, &format!("{good}{}{good}", lines(5..6, rest)), words);
    }
    let both = lines(100..101, "dev vm2") + &lines(100..101, "dev vm1 vlan 1");
    refused(&bridge, &both, "is to be static at");
    tcp_transfer(&segment.guest(1).ns, &segment.guest(2).ns, segment.guest(2).v4, 1 << 20).unwrap();
    bridge.stop();
}
