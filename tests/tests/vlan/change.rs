//! Changes, under way and over the end of a controller.

use xbr_lab::{
    GuestKind, Mac, Segment, Stream, TapsBy, Xbr, ping, require_privileges, tcp_transfer, wait_until,
};

use crate::lab::{Batch, XBR, introduce, with_vlans};

const SOON: std::time::Duration = std::time::Duration::from_secs(3);

/// Streams between the pairs of guests 1 and 2, of the host and guest 3, and of the outside and guest 3.
fn streams(segment: &Segment) -> Vec<(String, Stream)> {
    let [one, two, three] = [1, 2, 3].map(|number| segment.guest(number));
    let pairs = [(one, two), (two, one), (three, segment.host()), (segment.outside(), three)];
    let stream = |(from, to): (&xbr_lab::Node, &xbr_lab::Node)| {
        ping(&from.ns, to.v4).unwrap();
        let name = format!("{} → {}", from.ns.name(), to.ns.name());
        (name, Stream::start(&from.ns, &to.ns, to.v4, 1000).unwrap())
    };
    pairs.map(stream).into()
}

#[track_caller]
fn assert_whole(streams: Vec<(String, Stream)>) {
    for (path, stream) in streams {
        let report = stream.stop();
        assert!(report.sent > 100 && (report.lost, report.duplicated) == (0, 0), "{path}: {report:?}");
    }
}

#[test]
fn a_change_loses_no_frame() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in [(GuestKind::TapVnetHdr, "auto"), (GuestKind::Tap, "xdp")] {
        let mut segment = Segment::builder().guests(4, kind).build();
        let start = |segment: &Segment| Xbr::start(XBR, segment, &format!("--hook {hook}"));
        let bridge = segment.start(TapsBy::Switch, start);
        bridge.wait_forwarding();
        let running = streams(&segment);
        // On, off, on again: everyone is in VLAN 1, or in none.
        for state in ["on", "off", "on"] {
            bridge.text(&format!("vlan filtering {state}"));
        }
        // The others change, and the stream's own ports come into further VLANs.
        for words in [
            "add dev vm4 vid 10 pvid untagged",
            "add dev vm1 vid 100-200",
            "add dev eth0 vid 2-4094",
            "add dev vm4 vid 20 pvid",
            "del dev vm4 vid 10",
            "del dev vm1 vid 150-200",
            "del dev eth0 vid 2-4094",
            "add dev vm1 vid 1 pvid untagged",
        ] {
            bridge.text(&format!("vlan {words}"));
        }
        assert_whole(running);
        // Two that move to another VLAN together are together again.
        for port in ["vm1", "vm2"] {
            bridge.text(&format!("vlan add dev {port} vid 30 pvid untagged"));
        }
        let (one, two) = (segment.guest(1), segment.guest(2));
        tcp_transfer(&one.ns, &two.ns, two.v4, 1 << 20).unwrap();
        bridge.stop();
    }
}

#[test]
fn vlans_outlive_their_controller() {
    if !require_privileges() {
        return;
    }
    let (segment, mut bridge) = with_vlans(&[GuestKind::Tap; 4], "auto");
    let ears = segment.ears();
    introduce(&ears, &segment);
    let (before, one, outside) = (bridge.json("vlan show"), segment.guest(1), segment.outside());
    let said = |told: &str| {
        let mut batch = Batch::new(&segment);
        for (from, tci) in [(one, None), (one, Some(20)), (outside, Some(10)), (outside, None)] {
            batch.send(&ears, from, Mac::BROADCAST, tci);
        }
        batch.hear(&ears, told);
    };
    said("before");
    bridge.kill();
    said("without a controller");
    assert_eq!(bridge.json("vlan show"), before, "it takes no controller to see them");
    bridge.restart("");
    said("adopted");
    assert_eq!(bridge.json("vlan show"), before);
    assert_eq!(bridge.json("show")[0]["vlan_filtering"], 1);
    // Programs of another tag on the same tables, and tables of another size.
    bridge.kill();
    bridge.restart("--fdb-max 1000");
    said("rebuilt");
    assert_eq!(bridge.json("vlan show"), before);
    bridge.stop();
}

fn of_port(bridge: &Xbr, port: &str) -> String {
    let text = bridge.text(&format!("vlan show dev {port}"));
    let lines = text.lines().skip(1).map(|line| line[16..].trim().to_string());
    lines.collect::<Vec<_>>().join(", ")
}

#[test]
fn a_port_that_is_removed_loses_its_vlans_and_one_that_is_away_does_not() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = with_vlans(&[GuestKind::Veth; 4], "tc");
    let host = &segment.host().ns;
    assert_eq!(of_port(&bridge, "vm1"), "10 PVID Egress Untagged");
    host.ip("link del vm1");
    assert!(wait_until(SOON, || bridge.port("vm1")["state"] == "disabled"));
    assert_eq!(of_port(&bridge, "vm1"), "10 PVID Egress Untagged", "it is only away");
    host.ip("link add vm1 type veth peer name other");
    host.ip("link set other up");
    assert!(wait_until(SOON, || bridge.port("vm1")["state"] == "forwarding"));
    assert_eq!(of_port(&bridge, "vm1"), "10 PVID Egress Untagged");
    bridge.text("port del vm1");
    bridge.text("port add vm1");
    assert_eq!(of_port(&bridge, "vm1"), "1 PVID Egress Untagged", "a new port begins anew");
    // The trunk without its native VLAN, which goes off and on with filtering, and does not come back.
    bridge.text("vlan del dev vm4 vid 1");
    for state in ["off", "on"] {
        bridge.text(&format!("vlan filtering {state}"));
    }
    assert_eq!(of_port(&bridge, "vm4"), "10, 20");
    bridge.stop();
}
