//! Policy outlives its controller, names and devices; and ports that are stopped.

use serde_json::Value;
use xbr_lab::{GuestKind, Mac, Node, Segment, Stream, Xbr, frames, require_privileges, wait_until};

use super::{KINDS, SOON, XBR, quiet, tcp_works};

/// What a port is allowed, without what changes by itself.
fn allowed(bridge: &Xbr, port: &str) -> Value {
    let mut row = bridge.port(port);
    let row = row.as_object_mut().unwrap();
    for key in ["ifindex", "ifname", "flags", "stations", "state", "carrier", "hook"] {
        row.remove(key);
    }
    Value::Object(row.clone())
}

#[test]
fn policy_outlives_controller_and_name() {
    if !require_privileges() {
        return;
    }
    let (segment, mut bridge) = quiet(GuestKind::TapVnetHdr, "auto");
    let ears = segment.ears();
    ears.introduce(&segment);
    let [one, two] = [1, 2].map(|number| segment.guest(number));
    assert_eq!(bridge.port("vm1")["max_macs"], 256, "a TAP has a quota by itself");
    assert_eq!(bridge.port("vm1")["storm"]["broadcast"], 1000);
    assert!(bridge.port("eth0").get("max_macs").is_none());
    let words = format!(
        "isolated on flood off max-macs 9 mac {} ip {} no-ra bpdu-guard shut storm broadcast=7pps rate 800mbit",
        one.mac, one.v4
    );
    bridge.text(&format!("port set dev vm1 {words}"));
    bridge.text("port set vm2 isolated on");
    let before = allowed(&bridge, "vm1");
    let blocked = |when: &str| {
        ears.send(one, &frames::finished(two.mac, one.mac, 100), &[])
            .unwrap_or_else(|e| panic!("{when}: {e}"));
    };
    blocked("set");
    bridge.kill();
    blocked("with no controller");
    assert_eq!(allowed(&bridge, "vm1"), before);
    bridge.restart("");
    assert_eq!(allowed(&bridge, "vm1"), before, "adopted");
    blocked("adopted");
    bridge.kill();
    bridge.restart("--fdb-max 1000");
    assert_eq!(allowed(&bridge, "vm1"), before, "carried over to a table of another size");
    blocked("carried over");
    segment.host().ns.ip("link set vm1 name other");
    assert!(wait_until(SOON, || bridge.text("port show").contains("other")), "{}", bridge.text("port show"));
    assert_eq!(allowed(&bridge, "other"), before, "renamed");
    segment.host().ns.ip("link set other down");
    segment.host().ns.ip("link set other up");
    assert!(wait_until(SOON, || bridge.port("other")["state"] == "forwarding"));
    assert_eq!(allowed(&bridge, "other"), before, "down and up");
    blocked("down and up");
    // Its device may go and come back.
    segment.host().ns.ip("link del vm2");
    assert!(wait_until(SOON, || bridge.port("vm2")["state"] == "disabled"));
    bridge.text("port set vm2 locked on");
    segment.host().ns.ip("tuntap add dev vm2 mode tap vnet_hdr");
    assert!(wait_until(SOON, || bridge.port("vm2")["ifindex"] != 0), "{}", bridge.port("vm2"));
    let back = allowed(&bridge, "vm2");
    assert_eq!((&back["isolated"], &back["locked"]), (&true.into(), &true.into()), "{back}");
    // Who comes after it under its number begins anew.
    bridge.text("port del other");
    bridge.text("tap add vm9");
    let new = allowed(&bridge, "vm9");
    assert_eq!(
        (&new["isolated"], &new["max_macs"], &new["mac"]),
        (&false.into(), &256.into(), &Value::Array(vec![]))
    );
    tcp_works(&segment, &[3]);
}

#[test]
fn no_frame_is_lost_when_policy_changes() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in KINDS {
        let (segment, bridge) = quiet(kind, hook);
        segment.address_quietly();
        let (one, outside) = (segment.guest(1), segment.outside());
        tcp_works_between(one, outside);
        let (to, from) = [(one, outside), (outside, one)]
            .map(|(from, to)| Stream::start(&from.ns, &to.ns, to.v4, xbr_lab::pace(2000)).unwrap())
            .into();
        for _ in 0..8 {
            for words in [
                format!("isolated on mac {} ip {} no-ra no-dhcp-server", one.mac, one.v4),
                "rate 900mbit storm broadcast=5pps max-macs 3 locked on".into(),
                "isolated off mac off ip off no-ra off no-dhcp-server off flood off".into(),
                "rate off storm off max-macs off locked off flood on".into(),
            ] {
                bridge.text(&format!("port set vm1 {words}"));
            }
        }
        for stream in [to, from] {
            let report = stream.stop();
            assert!(report.is_perfect(), "{kind:?} {hook}: {report:?}, {}", bridge.text("stats"));
        }
        bridge.stop();
    }
}

fn tcp_works_between(a: &Node, b: &Node) {
    xbr_lab::tcp_transfer(&a.ns, &b.ns, b.v4, super::MIB).unwrap();
}

#[test]
fn a_file_says_what_ports_are_allowed() {
    if !require_privileges() {
        return;
    }
    let file = std::env::temp_dir().join(format!("{}.toml", xbr_lab::unique_name()));
    let write = |text: &str| std::fs::write(&file, format!("uplink = \"eth0\"\n{text}")).unwrap();
    write(
        "flap = \"5/60\"\n[[tap]]\nname = \"vm1\"\nisolated = true\nmax-macs = 64\nmac = [\"02:77:00:00:00:0b\"]\n\
         storm = \"broadcast=50pps\"\nrate = \"90mbit\"\nno-ra = true\nbpdu-guard = \"shut\"\n",
    );
    let segment = Segment::builder().quiet().build();
    let mut bridge = Xbr::run(XBR, &segment.host().ns, &format!("--config {}", file.display()));
    let row = allowed(&bridge, "vm1");
    let wanted = serde_json::json!({"broadcast": 50, "multicast": 10000, "unknown": 10000});
    assert_eq!(
        (&row["isolated"], &row["max_macs"], &row["storm"]),
        (&true.into(), &64.into(), &wanted),
        "{row}"
    );
    assert_eq!(
        (&row["no_ra"], &row["bpdu_guard"], &row["rate_in"]["rate"]),
        (&true.into(), &"shut".into(), &90_000_000.into())
    );
    bridge.text("port set vm1 flood off hairpin on");
    // What the file says replaces, what it does not say stays.
    write("[[tap]]\nname = \"vm1\"\nmax-macs = 5\nhairpin = false\n");
    bridge.kill();
    bridge.restart("");
    let row = allowed(&bridge, "vm1");
    assert_eq!((&row["max_macs"], &row["hairpin"], &row["flood"]), (&5.into(), &false.into(), &false.into()));
    assert_eq!((&row["isolated"], &row["storm"]), (&true.into(), &wanted), "{row}");
    let _ = std::fs::remove_file(&file);
}

#[test]
fn a_bpdu_stops_the_port_until_the_operator_says_otherwise() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in KINDS {
        let told = format!("{kind:?} {hook}");
        let (segment, mut bridge) = quiet(kind, hook);
        let ears = segment.ears();
        ears.introduce(&segment);
        let (one, two) = (segment.guest(1), segment.guest(2));
        let bpdu = frames::tagged(Mac([1, 0x80, 0xc2, 0, 0, 0]), one.mac, &[], 0x0026, 46);
        let known = frames::finished(two.mac, one.mac, 100);
        ears.send(one, &bpdu, &[]).unwrap();
        ears.send(one, &known, &[two]).unwrap_or_else(|e| panic!("{told}: without the guard: {e}"));
        assert_eq!(bridge.counters("vm1").dropped("bpdu"), 1, "{told}");
        let monitor = bridge.monitor();
        // A refusal a second is told of.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        bridge.text("port set vm1 bpdu-guard shut");
        ears.send(one, &bpdu, &[]).unwrap();
        let stopped = |bridge: &Xbr| {
            bridge.port("vm1")["stopped"] == "bpdu" && bridge.port("vm1")["state"] == "disabled"
        };
        assert!(wait_until(SOON, || stopped(&bridge)), "{told}: {}", bridge.port("vm1"));
        assert!(bridge.text("port show").contains("stopped:bpdu"));
        let line = monitor.wait_line("port-down", SOON);
        assert!(line.contains("it sent a BPDU"), "{told}: {line}");
        ears.send(one, &known, &[]).unwrap();
        // Its device has nothing to say about it.
        segment.host().ns.ip("link set vm1 mtu 1400");
        assert!(wait_until(SOON, || bridge.port("vm1")["mtu"] == 1400));
        assert!(stopped(&bridge), "{told}");
        bridge.kill();
        bridge.restart("");
        assert!(stopped(&bridge), "{told}: a restart lets it go");
        ears.send(one, &known, &[]).unwrap();
        bridge.text("port set vm1 up");
        ears.introduce(&segment);
        ears.send(one, &known, &[two]).unwrap();
        bridge.text("port set vm1 down");
        assert_eq!(bridge.port("vm1")["stopped"], "operator", "{told}");
        ears.send(one, &known, &[]).unwrap();
        bridge.text("port set vm1 --up");
        segment.host().ns.ip("link set vm1 mtu 1500");
        assert!(wait_until(SOON, || bridge.port("vm1")["mtu"] == 1500));
        ears.introduce(&segment);
        tcp_works(&segment, &[1]);
        bridge.stop();
    }
}

#[test]
fn a_bpdu_among_other_refusals_stops_the_port_too() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = quiet(GuestKind::Veth, "tc");
    let ears = segment.ears();
    ears.introduce(&segment);
    let (one, two) = (segment.guest(1), segment.guest(2));
    bridge.text("port set vm1 max-macs 1 bpdu-guard shut");
    let say = |from: u32, to: Mac| ears.of(one).send(&frames::frame(to, Mac::numbered(from), 60)).unwrap();
    // Each second's one event of what was refused is of these.
    let began = std::time::Instant::now();
    let mut number = 0x1000;
    while began.elapsed() < std::time::Duration::from_millis(1500) {
        number += 1;
        say(number, two.mac);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    say(0x999, Mac([1, 0x80, 0xc2, 0, 0, 0]));
    assert!(wait_until(SOON, || bridge.port("vm1")["stopped"] == "bpdu"), "{}", bridge.text("port show -d"));
    assert_eq!(bridge.counters("vm1").dropped("bpdu"), 1);
    bridge.text("port set vm1 up");
    // What was counted before is no reason to stop it again.
    std::thread::sleep(std::time::Duration::from_millis(2200));
    assert_eq!(bridge.port("vm1")["state"], "forwarding");
    ears.forget().unwrap();
    ears.introduce(&segment);
    tcp_works(&segment, &[1]);
}
