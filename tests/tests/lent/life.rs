//! From the helper's call to the guest's end.

use std::os::fd::AsRawFd;
use std::time::Duration;

use xbr_lab::{Rights, Snapshot, TapMode, USER, require_privileges, wait_until};

use crate::{Guest, Lab, PORT};

const SOON: Duration = Duration::from_secs(4);
const STATION: &str = "52:54:00:aa:00:01";
const STATIC: &str = "52:54:00:aa:00:02";

#[track_caller]
fn port_goes(lab: &Lab, name: &str) {
    assert!(wait_until(SOON, || !lab.has_port(name)), "{}", lab.bridge.text("port show"));
    assert!(lab.bridge.station(STATION).is_none(), "{}", lab.bridge.text("fdb show"));
    assert!(lab.bridge.station(STATIC).is_none(), "{}", lab.bridge.text("fdb show"));
}

#[track_caller]
fn plugged(lab: &Lab, mode: TapMode) -> Guest {
    let mut guest = Guest::new(mode);
    let bridge = format!("--br={}", lab.bridge.name);
    let words = ["--use-vnet", &bridge];
    let words = if mode == TapMode::VnetHdr { &words[..] } else { &words[1..] };
    guest.tap.plug_opened(lab.helper.tap(lab.host(), USER, words).unwrap());
    lab.bridge.wait_forwarding();
    guest
}

#[test]
fn a_guest_of_an_ordinary_user_is_on_the_segment_until_it_ends() {
    if !require_privileges() {
        return;
    }
    for (rights, mode, hook) in [
        (Rights::Setuid, TapMode::VnetHdr, "tc"),
        (Rights::Setuid, TapMode::Plain, "xdp"),
        (Rights::Capabilities, TapMode::VnetHdr, "tc"),
    ] {
        let lab = Lab::new(rights);
        let before = Snapshot::take(lab.host());
        let guest = plugged(&lab, mode);
        assert_eq!(lab.bridge.port(PORT)["hook"], hook, "{rights:?} {mode:?}");
        for other in [lab.segment.guest(1), lab.segment.host(), lab.segment.outside()] {
            guest.talks_with(other);
        }
        assert_eq!(lab.bridge.station(STATION).unwrap()["ifname"], PORT);
        lab.bridge.text(&format!("fdb add {STATIC} dev {PORT}"));
        drop(guest);
        port_goes(&lab, PORT);
        // The uplink's XDP layer, which came with a port that takes XDP, went with it.
        if let Some(difference) = before.difference(&Snapshot::take(lab.host())) {
            panic!("{rights:?} {mode:?} left something:\n{difference}");
        }
        // Its successor has its name and nothing of its stations.
        let guest = plugged(&lab, mode);
        assert!(lab.bridge.station(STATIC).is_none());
        guest.talks_with(lab.segment.guest(1));
        drop(guest);
        port_goes(&lab, PORT);
        lab.bridge.stop();
    }
}

#[test]
fn the_port_outlives_the_controller_but_not_the_guest() {
    if !require_privileges() {
        return;
    }
    let mut lab = Lab::new(Rights::Setuid);
    let guest = plugged(&lab, TapMode::VnetHdr);
    guest.talks_with(lab.segment.outside());
    lab.bridge.kill();
    guest.talks_with(lab.segment.guest(1));
    let said = lab.ask().unwrap_err();
    assert!(said.starts_with("1: xbr-bridge-helper: no controller is running for bridge"), "{said}");
    lab.bridge.restart("");
    assert_eq!(lab.bridge.station(STATION).unwrap()["ifname"], PORT);
    guest.talks_with(lab.segment.outside());
    lab.bridge.text(&format!("fdb add {STATIC} dev {PORT}"));
    lab.bridge.kill();
    drop(guest);
    // A device of its name that is not the guest's: it must not be taken for the guest.
    lab.host().ip(&format!("tuntap add dev {PORT} mode tap"));
    lab.bridge.restart("");
    port_goes(&lab, PORT);
    lab.host().ip(&format!("link del {PORT}"));
    lab.bridge.stop();
}

#[test]
fn a_guest_cannot_make_its_port_stay_nor_give_it_to_others() {
    if !require_privileges() {
        return;
    }
    let lab = Lab::new(Rights::Setuid);
    lab.helper.write("bridge.conf", "allow all\nlimit 1\n", 0o644);
    let tap = lab.ask().unwrap();
    // SAFETY: both take a number, and the descriptor is open.
    let set = |command, number: u64| unsafe { libc::ioctl(tap.as_raw_fd(), command, number) };
    assert_eq!((set(libc::TUNSETOWNER, 1), set(libc::TUNSETPERSIST, 1)), (0, 0));
    let said = lab.ask().unwrap_err();
    assert!(said.contains("user 65534 has a TAP") && said.contains("(limit 1)"), "{said}");
    drop(lab.ask_as(1).expect("it counts for who asked for it"));
    drop(tap);
    port_goes(&lab, PORT);
    drop(lab.ask().unwrap());
    lab.bridge.stop();
}

/// Guests come while others go, whose ends the controller is yet to hear of.
#[test]
fn guests_come_while_others_go() {
    if !require_privileges() {
        return;
    }
    let lab = Lab::new(Rights::Setuid);
    let mut taps: Vec<_> = (0..8).map(|_| lab.ask().unwrap()).collect();
    for round in 0..6 {
        let old = std::mem::take(&mut taps);
        std::thread::scope(|scope| {
            // Each takes the kernel some milliseconds.
            let going = scope.spawn(|| drop(old));
            let come = |_| lab.ask().unwrap_or_else(|error| panic!("round {round}: {error}"));
            taps = (0..8).map(come).collect();
            going.join().unwrap();
        });
    }
    assert_eq!(lab.bridge.json("port show").as_array().unwrap().len(), 3 + 8);
    assert_eq!(lab.bridge.port(PORT)["flags"], serde_json::json!(["lent"]));
    drop(taps);
    assert!(wait_until(SOON, || lab.bridge.json("port show").as_array().unwrap().len() == 3));
    lab.bridge.stop();
}

#[test]
fn a_lent_tap_is_shut_until_and_while_it_is_a_port() {
    if !require_privileges() {
        return;
    }
    let lab = Lab::new(Rights::Setuid);
    let _tap = lab.ask().unwrap();
    let port = lab.bridge.port(PORT);
    assert_eq!((port["state"].as_str(), port["mtu"].as_u64()), (Some("forwarding"), Some(1500)), "{port}");
    let ipv6 =
        lab.host().run(|| std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{PORT}/disable_ipv6")));
    assert_eq!(ipv6.unwrap().trim(), "1");
    assert!(!lab.host().output(&format!("ip addr show dev {PORT}")).contains("inet"));
    // Let go, it is down again.
    lab.bridge.text(&format!("port del {PORT}"));
    assert!(lab.host().output(&format!("ip link show dev {PORT}")).contains("state DOWN"));
    lab.bridge.stop();
}
