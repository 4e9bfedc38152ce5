//! `xbr capture` shows what enters and leaves a port, once each, by XDP and by TC, with what became of it.

#[path = "capture/bytes.rs"]
mod bytes;

use std::time::Duration;

use nix::sys::signal::Signal;
use xbr_lab::{
    GuestKind, Mac, Segment, Shot, Stream, Xbr, frames, read_pcapng, require_privileges, wait_until,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const SOON: Duration = Duration::from_secs(5);
const IN: u32 = 1;
const OUT: u32 = 2;

fn quiet(hook: &str) -> (Segment, Xbr) {
    let mut segment = Segment::builder().quiet().guests(2, GuestKind::Veth).build();
    let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook}"));
    (segment, bridge)
}

/// What a test compares of a packet.
fn brief(shots: &[Shot]) -> Vec<(&str, u32, &str, usize)> {
    shots.iter().map(|shot| (&*shot.port, shot.direction, &*shot.verdict, shot.length)).collect()
}

/// Every verdict, on every kind of port, counted as without a capture.
fn verdicts(hook: &str) {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = quiet(hook);
    let ears = segment.ears();
    let (one, two, host, outside) = (segment.guest(1), segment.guest(2), segment.host(), segment.outside());
    let film = bridge.film("vm1 vm2 host eth0");
    let way = if hook == "xdp" { "xdp" } else { "tc" };

    let bpdu = frames::tagged(Mac([1, 0x80, 0xc2, 0, 0, 0]), one.mac, &[], 38, 46);
    ears.send(one, &bpdu, &[]).unwrap();
    let group = frames::frame(two.mac, Mac([3, 0, 0, 0, 0, 9]), 61);
    ears.send(one, &group, &[]).unwrap();
    let hello = frames::frame(Mac::BROADCAST, one.mac, 62);
    ears.send(one, &hello, &[two, host, outside]).unwrap();
    let hello = frames::frame(Mac::BROADCAST, two.mac, 63);
    ears.send(two, &hello, &[one, host, outside]).unwrap();
    ears.send(one, &frames::finished(two.mac, one.mac, 64), &[two]).unwrap();
    ears.send(one, &frames::finished(host.mac, one.mac, 65), &[host]).unwrap();
    ears.send(host, &frames::finished(one.mac, host.mac, 66), &[one]).unwrap();
    ears.send(host, &frames::frame(Mac::BROADCAST, host.mac, 67), &[one, two, outside]).unwrap();
    ears.send(outside, &frames::frame(Mac::BROADCAST, outside.mac, 68), &[one, two, host]).unwrap();
    ears.send(host, &frames::finished(outside.mac, host.mac, 69), &[outside]).unwrap();
    let shots = film.cut();

    let [bpdu, bad_source] = ["bpdu", "bad_source"].map(|reason| format!("dropped: {reason} ({way})"));
    let to = format!("forwarded to vm2 ({way})");
    let from = format!("forwarded from vm1 ({way})");
    let expected: [(&str, u32, &str, usize); 26] = [
        ("vm1", IN, bpdu.as_str(), 60),
        ("vm1", IN, &bad_source, 61),
        ("vm1", IN, "flooded (tc)", 62),
        ("host", OUT, "flooded from vm1 (tc)", 62),
        ("eth0", OUT, "flooded from vm1 (tc)", 62),
        ("vm2", OUT, "flooded from vm1 (tc)", 62),
        ("vm2", IN, "flooded (tc)", 63),
        ("host", OUT, "flooded from vm2 (tc)", 63),
        ("eth0", OUT, "flooded from vm2 (tc)", 63),
        ("vm1", OUT, "flooded from vm2 (tc)", 63),
        ("vm1", IN, &to, 64),
        ("vm2", OUT, &from, 64),
        ("vm1", IN, "forwarded to host (tc)", 65),
        ("host", OUT, "forwarded from vm1 (tc)", 65),
        ("host", IN, "forwarded to vm1 (tc)", 66),
        ("vm1", OUT, "forwarded from host (tc)", 66),
        ("host", IN, "flooded (tc)", 67),
        ("vm1", OUT, "flooded from host (tc)", 67),
        ("vm2", OUT, "flooded from host (tc)", 67),
        ("eth0", OUT, "flooded from host (tc)", 67),
        ("eth0", IN, "flooded (tc)", 68),
        ("vm1", OUT, "flooded from eth0 (tc)", 68),
        ("vm2", OUT, "flooded from eth0 (tc)", 68),
        ("host", OUT, "flooded from eth0 (tc)", 68),
        ("host", IN, "forwarded to eth0 (tc)", 69),
        ("eth0", OUT, "forwarded from host (tc)", 69),
    ];
    assert_eq!(brief(&shots), expected);
    for shot in shots.iter().filter(|shot| shot.length == 64) {
        assert_eq!(shot.bytes, frames::finished(two.mac, one.mac, 64));
    }
    let stats = bridge.stats("vm1");
    assert_eq!((&stats["rx"]["packets"], &stats["tx"]["packets"]), (&5.into(), &4.into()), "{stats}");
    bridge.stop();
}

#[test]
fn every_verdict_by_tc() {
    verdicts("tc");
}

#[test]
fn every_verdict_by_xdp() {
    verdicts("xdp");
}

#[test]
fn filters_and_lengths() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = quiet("tc");
    let ears = segment.ears();
    let (one, two) = (segment.guest(1), segment.guest(2));
    let send = || {
        for kind in [0x0806, frames::EXPERIMENTAL] {
            for tags in [&[][..], &[(0x8100, 10)], &[(0x88a8, 11), (0x8100, 10)]] {
                ears.of(one).send(&frames::tagged(two.mac, one.mac, tags, kind, 200)).unwrap();
            }
        }
        ears.of(one).send(&frames::frame(Mac::BROADCAST, Mac::numbered(0x77), 99)).unwrap();
    };
    for (words, lengths) in [
        ("", &[214, 218, 222, 214, 218, 222, 99][..]),
        ("--ethertype arp", &[214, 218, 222]),
        ("--ethertype 0x88b5 --vlan 10", &[218]),
        ("--vlan 11", &[222, 222]),
        ("--vlan 0", &[214, 214, 99]),
        (&format!("--mac {}", Mac::numbered(0x77)), &[99]),
        (&format!("--mac {}", two.mac), &[214, 218, 222, 214, 218, 222]),
        ("-s 40", &[214, 218, 222, 214, 218, 222, 99]),
        ("-c 2", &[214, 218]),
    ] {
        let film = bridge.film(&format!("vm1 {words}"));
        send();
        let shots = if words.starts_with("-c") { film.ended() } else { settle(&film, lengths.len()) };
        assert_eq!(shots.iter().map(|shot| shot.length).collect::<Vec<_>>(), lengths, "{words}");
        let kept = |shot: &Shot| if words == "-s 40" { 40..=44 } else { shot.length..=shot.length };
        assert!(shots.iter().all(|shot| kept(shot).contains(&shot.bytes.len())), "{words}");
        if words == "--vlan 11" {
            assert_eq!(
                shots[0].bytes,
                frames::tagged(two.mac, one.mac, &[(0x88a8, 11), (0x8100, 10)], 0x0806, 200)
            );
        }
    }
    bridge.stop();
}

/// Waits for as many packets as are expected and a moment for one too many, then ends the capture.
fn settle(film: &xbr_lab::Film, packets: usize) -> Vec<Shot> {
    wait_until(SOON, || film.shots().len() >= packets);
    std::thread::sleep(Duration::from_millis(30));
    film.cut()
}

#[test]
fn the_longest_frame_is_cut_and_said_to_be() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().quiet().guests(2, GuestKind::Tap).mtu(65_521).build();
    let bridge = Xbr::on(XBR, &mut segment, "--hook tc");
    let (one, two) = (segment.guest(1), segment.guest(2));
    let ears = segment.ears();
    let film = bridge.film("vm1 vm2");
    let lengths = [65_535, 65_480, 65_479, 60];
    for length in lengths {
        ears.of(one).send(&frames::frame(two.mac, one.mac, length)).unwrap();
    }
    let shots = settle(&film, 2 * lengths.len());
    let expected: Vec<_> = lengths.iter().flat_map(|length| [(*length, 65_480.min(*length)); 2]).collect();
    assert_eq!(shots.iter().map(|shot| (shot.length, shot.bytes.len())).collect::<Vec<_>>(), expected);
    for shot in &shots {
        assert!(frames::frame(two.mac, one.mac, shot.length).starts_with(&shot.bytes));
    }
    bridge.stop();
}

#[test]
fn one_at_a_time_and_nothing_is_left() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = quiet("xdp");
    segment.address_quietly();
    let pid = bridge.process.pid();
    let stream =
        Stream::start(&segment.guest(1).ns, &segment.guest(2).ns, segment.guest(2).v4, 1000).unwrap();
    let on = |bridge: &Xbr| bridge.captures();
    assert!(!on(&bridge));
    let before = fds(pid);
    for round in 0..3 {
        let film = bridge.film("vm1");
        assert!(on(&bridge));
        let second = bridge.verb("capture vm2 -c 1");
        assert_eq!(second.status.code(), Some(2));
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert!(said.contains("captures on bridge") && said.contains("hint:"), "{said}");
        assert!(on(&bridge), "the first goes on");
        assert!(wait_until(SOON, || film.shots().len() > 10), "round {round}");
        film.process.kill9();
        assert!(wait_until(SOON, || !on(&bridge)), "nobody captures any more");
    }
    assert!(wait_until(SOON, || fds(pid) == before), "{} descriptors, not {before}", fds(pid));
    let report = stream.stop();
    assert!(report.is_perfect(), "{report:?}");
    bridge.stop();
}

/// Descriptors that a process has open.
fn fds(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn a_capture_ends_with_its_controller_and_with_its_port() {
    if !require_privileges() {
        return;
    }
    let (segment, mut bridge) = quiet("tc");
    bridge.text("tap add extra");
    let film = bridge.film("extra");
    bridge.text("tap del extra");
    assert_eq!(film.process.wait(SOON).code(), Some(1), "{}", film.process);
    assert!(film.process.stderr_text().contains("extra is no port any more"), "{}", film.process);

    segment.address_quietly();
    let stream =
        Stream::start(&segment.guest(1).ns, &segment.guest(2).ns, segment.guest(2).v4, 1000).unwrap();
    let film = bridge.film("vm1");
    assert!(wait_until(SOON, || film.shots().len() > 10));
    bridge.kill();
    assert_eq!(film.process.wait(SOON).code(), Some(1), "{}", film.process);
    assert!(film.process.stderr_text().contains("is gone"), "{}", film.process);
    assert!(bridge.captures(), "nobody could turn it off");
    let none = bridge.verb("capture vm1 -c 1");
    assert_eq!(none.status.code(), Some(2));
    // As if a version without captures had made the bridge.
    for map in bridge_common::maps::ADDED {
        std::fs::remove_file(xbr_lab::bpffs_dir(&bridge.name).join("maps").join(map)).unwrap();
    }
    bridge.text("fdb show");
    bridge.restart("");
    assert!(bridge.process.stdout_text().contains("took over"), "{}", bridge.process);
    assert!(!bridge.captures());
    let film = bridge.film("vm1");
    assert!(wait_until(SOON, || film.shots().len() > 10));
    bridge.kill();
    bridge.restart("");
    assert!(!bridge.captures(), "the next controller turns it off");
    let report = stream.stop();
    assert!(report.is_perfect(), "{report:?}");
    bridge.stop();
}

#[test]
fn words_on_standard_output_and_refusals() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = quiet("tc");
    let (one, two) = (segment.guest(1), segment.guest(2));
    for (words, says) in [
        ("capture vm9 -c 1", "vm9 is no port"),
        ("capture vm1 -c 1 -w /nowhere/file", "cannot make /nowhere/file: No such file or directory"),
        ("capture vm1 --vlan 4095", "VLAN"),
        ("capture vm1 --ethertype ipx", "EtherType"),
        ("capture vm1 -s 70000", "65480"),
        ("capture", "PORT"),
    ] {
        let output = bridge.verb(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert!(said.contains(says), "{words}: {said}");
        assert!(wait_until(SOON, || !bridge.captures()), "nothing is left on");
    }
    let ears = segment.ears();
    let said = |words: &str| {
        let shell = format!("capture vm1 -c 2 {words}");
        std::thread::scope(|scope| {
            let verb = scope.spawn(|| bridge.verb(&shell));
            while !verb.is_finished() {
                ears.of(one).send(&frames::frame(two.mac, one.mac, 60)).unwrap();
                std::thread::sleep(Duration::from_millis(10));
            }
            let output = verb.join().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        })
    };
    let lines = String::from_utf8(said("")).unwrap();
    let line = format!("vm1 in {} > {} 0x88b5 length 60: flooded (tc)", one.mac, two.mac);
    assert_eq!(lines.lines().filter(|found| found.ends_with(&line)).count(), 2, "{lines}");
    let json = String::from_utf8(said("-j")).unwrap();
    for line in json.lines() {
        let packet: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&packet["ifname"], &packet["length"]), (&"vm1".into(), &60.into()), "{packet}");
    }
    assert_eq!(read_pcapng(&said("-w -")).len(), 2);
    let film = bridge.film("vm1");
    film.process.signal(Signal::SIGTERM);
    assert_eq!(film.ended(), []);
    bridge.stop();
}
