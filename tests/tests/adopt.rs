//! Forwarding outlives its controller, and the next one takes it over without losing a frame.

use std::time::{Duration, Instant};

use xbr_lab::{
    GuestKind, Mac, Offloads, Segment, Stream, TapsBy, Xbr, ping, require_privileges, tcp_transfer,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const STATIC: Mac = Mac::numbered(0x5000);

/// A stream of 1,000 datagrams a second both ways on every kind of path.
struct Streams(Vec<(String, Stream)>);

impl Streams {
    #[track_caller]
    fn start(segment: &Segment) -> Streams {
        let guest = segment.guest(1);
        let others = [segment.guest(2), segment.host(), segment.outside()];
        let pairs = others.into_iter().flat_map(|other| [(guest, other), (other, guest)]);
        let stream = |(from, to): (&xbr_lab::Node, &xbr_lab::Node)| {
            ping(&from.ns, to.v4).unwrap();
            let name = format!("{} → {}", from.ns.name(), to.ns.name());
            (name, Stream::start(&from.ns, &to.ns, to.v4, 1000).unwrap())
        };
        Streams(pairs.map(stream).collect())
    }

    /// Nothing lost and nothing twice. The order is told and not asserted: a sender that the scheduler moves to
    /// another processor feeds another queue of the kernel's, with or without a bridge.
    #[track_caller]
    fn assert_whole(self) {
        for (path, stream) in self.0 {
            let report = stream.stop();
            assert!(report.sent > 0 && (report.lost, report.duplicated) == (0, 0), "{path}: {report:?}");
            eprintln!("{path}: {report:?}");
        }
    }
}

fn segment(kind: GuestKind, offloads: Offloads, words: &str) -> (Segment, Xbr) {
    let mut segment = Segment::builder().guests(2, kind).offloads(offloads).build();
    let bridge = segment.start(TapsBy::Switch, |segment| Xbr::start(XBR, segment, words));
    (segment, bridge)
}

/// Kills the controller, lets further ones die ever later in their start, and lets the last one live.
#[track_caller]
fn die_often(bridge: &mut Xbr, more: &str, deaths: u32) {
    bridge.kill();
    let start = Instant::now();
    bridge.restart(more);
    let whole = start.elapsed();
    bridge.kill();
    for death in 0..deaths {
        bridge.launch(more);
        std::thread::sleep(whole * death / deaths);
        bridge.kill();
    }
    bridge.restart(more);
}

fn survive(kind: GuestKind, offloads: Offloads, words: &str) {
    if !require_privileges() {
        return;
    }
    let (segment, mut bridge) = segment(kind, offloads, words);
    bridge.wait_forwarding();
    bridge.text("tap add byhand");
    bridge.text(&format!("fdb add {STATIC} dev vm1"));
    let streams = Streams::start(&segment);
    let stations = bridge.json("fdb show").as_array().unwrap().len();
    let before = bridge.attachments();
    die_often(&mut bridge, "", 12);
    die_often(&mut bridge, "--lab-other-tag", 12);
    let after = bridge.attachments();
    for (old, new) in before.iter().zip(&after) {
        assert_eq!((&old.0, true), (&new.0, new.2), "a link is gone");
        // The tracepoint's program is the same in both.
        assert!(old.1 != new.1 || old.0.contains("xmit"), "{}: the tag is still {}", old.0, old.1);
    }
    assert_eq!(before.len(), after.len(), "{before:?} {after:?}");
    // And back again.
    die_often(&mut bridge, "", 0);
    assert_eq!(bridge.attachments(), before);
    streams.assert_whole();

    assert!(bridge.process.stdout_text().contains("took over what was forwarding"), "{}", bridge.process);
    assert_eq!(bridge.station(STATIC).expect("the static station is kept")["state"], "static");
    assert_eq!(bridge.json("fdb show").as_array().unwrap().len(), stations, "the FDB is kept");
    bridge.port("byhand");
    bridge.stop();
    assert!(!segment.host().ns.output("ip -br link").contains("byhand"), "what xbr made goes with it");
}

#[test]
fn nothing_is_lost_on_tc() {
    survive(GuestKind::TapVnetHdr, Offloads::Default, "--hook tc");
}

#[test]
fn nothing_is_lost_on_xdp() {
    survive(GuestKind::Veth, Offloads::Off, "--hook xdp");
}

#[test]
fn tcp_goes_on() {
    if !require_privileges() {
        return;
    }
    for (kind, words) in [(GuestKind::TapVnetHdr, "--hook tc"), (GuestKind::Veth, "--hook xdp")] {
        let (segment, mut bridge) = segment(kind, Offloads::Default, words);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let transfers: Vec<_> = [segment.guest(2), segment.host(), segment.outside()]
                .map(|to| {
                    let (from, done) = (segment.guest(1), &done);
                    scope.spawn(move || {
                        let mut count = 0;
                        while !done.load(std::sync::atomic::Ordering::Relaxed) {
                            tcp_transfer(&from.ns, &to.ns, to.v6, 8 << 20)?;
                            count += 1;
                        }
                        Ok::<_, anyhow::Error>(count)
                    })
                })
                .into();
            die_often(&mut bridge, "--lab-other-tag", 3);
            bridge.kill();
            std::thread::sleep(Duration::from_millis(200));
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            for transfer in transfers {
                let count = transfer.join().unwrap().expect("a transfer broke");
                assert!(count > 0);
            }
        });
    }
}

#[test]
fn another_layout_carries_the_stations_over() {
    if !require_privileges() {
        return;
    }
    let (segment, mut bridge) = segment(GuestKind::Veth, Offloads::Off, "--hook xdp");
    bridge.text(&format!("fdb add {STATIC} dev vm1"));
    let streams = Streams::start(&segment);
    let stations = bridge.json("fdb show").as_array().unwrap().len();
    for size in [1000, 2000, 500] {
        die_often(&mut bridge, &format!("--fdb-max {size}"), 6);
        let said = bridge.process.stdout_text();
        assert!(said.contains("took over what was forwarding"), "{said}");
        assert_eq!(bridge.json("fdb show").as_array().unwrap().len(), stations, "the FDB is carried over");
    }
    assert!(bridge.station(STATIC).is_some());
    streams.assert_whole();
    bridge.stop();
}

#[test]
fn a_port_that_is_configured_no_more_is_let_go() {
    if !require_privileges() {
        return;
    }
    let (segment, mut bridge) = segment(GuestKind::Veth, Offloads::Off, "--hook xdp");
    bridge.text("tap add byhand");
    bridge.kill();
    bridge.reword("--uplink eth0 --port vm1 --hook xdp");
    let stream =
        Stream::start(&segment.guest(1).ns, &segment.outside().ns, segment.outside().v4, 1000).unwrap();
    bridge.launch("");
    bridge.wait_ready();
    let report = stream.stop();
    assert!(report.sent > 0 && (report.lost, report.duplicated) == (0, 0), "{report:?}");
    let ports = bridge.json("port show").to_string();
    assert!(ports.contains("vm1") && ports.contains("byhand"), "{ports}");
    assert!(!ports.contains("vm2"), "{ports}");
    assert!(bridge.station(segment.guest(2).mac).is_none(), "its stations go with it");
    ping(&segment.guest(1).ns, segment.guest(2).v4).expect_err("vm2 is no port any more");
}

/// Also for a controller that does not know that the number was another port's.
#[test]
fn a_number_that_was_in_use_begins_anew() {
    if !require_privileges() {
        return;
    }
    let (segment, mut bridge) = segment(GuestKind::Veth, Offloads::Default, "--hook tc");
    let (from, to) = (segment.guest(2), segment.guest(1));
    tcp_transfer(&from.ns, &to.ns, to.v4, 8 << 20).unwrap();
    let bytes = |bridge: &Xbr| bridge.stats("vm2")["rx"]["bytes"].as_u64().expect("a number");
    assert!(bytes(&bridge) > 8 << 20);
    bridge.text("port del vm2");
    bridge.kill();
    // It is one of its ports again, and gets the number that is free.
    bridge.restart("");
    assert!(bytes(&bridge) < 1 << 20, "{}", bridge.stats("vm2"));
    tcp_transfer(&from.ns, &to.ns, to.v4, 8 << 20).unwrap();
}

#[test]
fn kept_forwarding_until_taken_down() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = segment(GuestKind::TapVnetHdr, Offloads::Default, "--keep");
    // The controller hears a moment after the kernel that a TAP has its guest.
    bridge.wait_forwarding();
    let streams = Streams::start(&segment);
    assert!(bridge.end(nix::sys::signal::Signal::SIGTERM).success());
    for (a, b) in segment.pairs() {
        ping(&a.ns, b.v6).unwrap();
    }
    streams.assert_whole();
    assert!(bridge.station(segment.guest(1).mac).is_some(), "reads work without a controller");
    bridge.text("down");
    assert!(!xbr_lab::bpffs_dir(&bridge.name).exists());
    let left = xbr_lab::Snapshot::take(&segment.host().ns).to_string();
    assert!(!left.contains("tcx "), "nothing is attached any more: {left}");
    ping(&segment.host().ns, segment.outside().v4).expect("the host keeps its address");
}

#[test]
fn ports_that_went_while_nobody_watched() {
    if !require_privileges() {
        return;
    }
    for hook in ["tc", "xdp"] {
        let (segment, mut bridge) =
            segment(GuestKind::Veth, Offloads::Off, &format!("--hook {hook} --tap t1"));
        bridge.text(&format!("fdb add {STATIC} dev vm2"));
        ping(&segment.guest(1).ns, segment.guest(2).v4).unwrap();
        assert!(bridge.station(segment.guest(1).mac).is_some());
        bridge.kill();
        let host = &segment.host().ns;
        // vm1 goes, vm2 and the TAP come back as others under the same names, vm2 even with the same index.
        let index = bridge.port("vm2")["ifindex"].to_string();
        host.ip("link del vm1");
        host.ip("link del vm2");
        host.ip("link del t1");
        let guest = segment.guest(2);
        let path = guest.ns.path();
        host.ip(&format!(
            "link add vm2 index {index} type veth peer name eth0 address {} netns {}",
            guest.mac,
            path.display()
        ));
        guest.ns.ip("link set eth0 up");
        guest.ns.ip(&format!("addr add {}/24 dev eth0", guest.v4));
        xbr_lab::ethtool(&guest.ns, "eth0", "gro on tx off");
        bridge.restart("");
        assert!(bridge.process.stdout_text().contains("vm1 is away"), "{}", bridge.process);
        let away = bridge.port("vm1");
        assert_eq!((&away["ifindex"], &away["state"]), (&0.into(), &"disabled".into()), "{away}");
        assert!(bridge.station(segment.guest(1).mac).is_none(), "nothing that was learned is behind it");
        let forwards = || bridge.port("vm2")["state"] == "forwarding";
        assert!(xbr_lab::wait_until(Duration::from_secs(3), forwards), "{}", bridge.port("vm2"));
        // Until the kernel's link watch has been there, the guest's device drops what it is to send.
        assert!(xbr_lab::wait_until(Duration::from_secs(3), || xbr_lab::is_running(&guest.ns, "eth0")));
        ping(&guest.ns, segment.outside().v4).unwrap();
        ping(&segment.host().ns, guest.v4).unwrap();
        assert_eq!(bridge.port("vm2")["hook"], hook);
        assert_eq!(bridge.station(STATIC).expect("its static stations stay")["ifname"], "vm2");
        assert!(bridge.port("t1")["flags"].to_string().contains("created"), "the TAP is made again");
        bridge.stop();
        let links = host.output("ip -br link");
        assert!(links.contains("vm2") && !links.contains("t1@") && !links.contains("\nt1 "), "{links}");
    }
}
