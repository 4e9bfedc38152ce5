//! Floods: where XDP makes all copies itself, where it leaves them to TC, and that nobody loses one or has it twice.

#[path = "flood/change.rs"]
mod change;
#[path = "flood/vlans.rs"]
mod vlans;

use std::time::Duration;

use xbr_lab::{
    Ears, GuestKind, Mac, Node, Segment, Xbr, frames, require_privileges, tcp_transfer, wait_until,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const SOON: Duration = Duration::from_secs(3);
const MIB: u64 = 1 << 20;
const NOBODY: Mac = Mac::numbered(0xffff);
const GROUP: Mac = Mac([1, 0, 0x5e, 1, 2, 3]);
/// Ports that take XDP; the uplink is a veth.
const KINDS: [GuestKind; 2] = [GuestKind::Veth, GuestKind::Tap];

/// Three guests whose ports take XDP, and the uplink as well, on a segment where nobody speaks unasked.
fn all_xdp(kind: GuestKind) -> (Segment, Xbr) {
    let mut segment = Segment::builder().quiet().guests(3, kind).build();
    let bridge = Xbr::on(XBR, &mut segment, "--hook xdp");
    (segment, bridge)
}

/// `from` sends a frame that exactly `hearers` hear, each once, and that XDP took, or left to TC.
#[track_caller]
fn floods(bridge: &Xbr, ears: &Ears, from: &Node, frame: &[u8], hearers: &[&Node], by_xdp: bool) {
    let before = bridge.all_counters();
    ears.send(from, frame, hearers).unwrap_or_else(|e| panic!("{from:?}: {e}"));
    let counted = bridge.all_counters().since(&before);
    for node in hearers {
        let tx = counted.of(port_of(node)).tx;
        assert_eq!((tx.packets, tx.bytes), (1, frame.len() as u64), "{from:?} → {node:?}: {counted:?}");
    }
    let own = counted.of(port_of(from));
    assert_eq!((own.rx.packets, own.by_xdp()), (1, u64::from(by_xdp)), "{from:?}: {own:?}");
}

fn port_of(node: &Node) -> &'static str {
    match node.ns.name() {
        "host" => "host",
        "outside" => "eth0",
        "guest1" => "vm1",
        "guest2" => "vm2",
        "guest3" => "vm3",
        _ => "vm4",
    }
}

fn but<'a>(segment: &'a Segment, without: &[&Node]) -> Vec<&'a Node> {
    let mut nodes = segment.nodes();
    nodes.retain(|node| without.iter().all(|other| other.mac != node.mac));
    nodes
}

#[test]
fn unknown_unicasts_are_copied_in_xdp_and_groups_by_tc() {
    if !require_privileges() {
        return;
    }
    for kind in KINDS {
        let (segment, bridge) = all_xdp(kind);
        let ears = segment.ears();
        ears.introduce(&segment);
        let host = segment.host();
        for from in but(&segment, &[host]) {
            for length in [60, 1514] {
                let frame = frames::finished(NOBODY, from.mac, length);
                floods(&bridge, &ears, from, &frame, &but(&segment, &[host, from]), true);
            }
            // Groups are for the host as well, and so TC's.
            for to in [GROUP, Mac::BROADCAST] {
                let frame = frames::finished(to, from.mac, 200);
                floods(&bridge, &ears, from, &frame, &but(&segment, &[from]), false);
            }
        }
        // What cannot be proved finished is TC's, from ports that can bring in such.
        let one = segment.guest(1);
        let unproved = frames::frame(NOBODY, one.mac, 60);
        floods(&bridge, &ears, one, &unproved, &but(&segment, &[host, one]), kind == GuestKind::Tap);
        // The host itself reaches all, by TC.
        ears.send(host, &frames::finished(NOBODY, host.mac, 100), &but(&segment, &[host])).unwrap();
        assert!(bridge.all_counters().drops().is_empty());
        segment.address_quietly();
        for (a, b) in [(1, 2), (2, 3)] {
            tcp_transfer(&segment.guest(a).ns, &segment.guest(b).ns, segment.guest(b).v4, MIB).unwrap();
        }
        tcp_transfer(&segment.guest(1).ns, &host.ns, host.v4, MIB).unwrap();
        bridge.stop();
    }
}

#[test]
fn flags_hold_for_copies_of_xdp() {
    if !require_privileges() {
        return;
    }
    for kind in KINDS {
        let (segment, bridge) = all_xdp(kind);
        let ears = segment.ears();
        ears.introduce(&segment);
        let outside = segment.outside();
        let [one, two, three] = [1, 2, 3].map(|number| segment.guest(number));
        let frame = |from: &Node| frames::finished(NOBODY, from.mac, 100);

        for port in ["vm1", "vm2"] {
            bridge.text(&format!("port set {port} isolated on"));
        }
        floods(&bridge, &ears, one, &frame(one), &[three, outside], true);
        floods(&bridge, &ears, three, &frame(three), &[one, two, outside], true);
        floods(&bridge, &ears, outside, &frame(outside), &[one, two, three], true);
        for port in ["vm1", "vm2"] {
            bridge.text(&format!("port set {port} isolated off"));
        }

        bridge.text("port set vm1 hairpin on");
        floods(&bridge, &ears, one, &frame(one), &[one, two, three, outside], true);
        floods(&bridge, &ears, two, &frame(two), &[one, three, outside], true);
        bridge.text("port set vm1 hairpin off");

        bridge.text("port set vm2 flood off");
        floods(&bridge, &ears, one, &frame(one), &[three, outside], true);
        floods(&bridge, &ears, two, &frame(two), &[one, three, outside], true);
        bridge.text("port set vm2 flood on");

        bridge.text("port set vm2 down");
        floods(&bridge, &ears, one, &frame(one), &[three, outside], true);
        bridge.text("port set vm2 up");
        floods(&bridge, &ears, one, &frame(one), &[two, three, outside], true);

        // An account that is to be asked, and a capture that wants to see each copy, are TC's.
        bridge.text("port set vm3 rate-out 500mbit");
        floods(&bridge, &ears, one, &frame(one), &[two, three, outside], false);
        bridge.text("port set vm3 rate-out off");
        let film = bridge.film("vm3");
        floods(&bridge, &ears, one, &frame(one), &[two, three, outside], false);
        assert_eq!(film.cut().len(), 1, "the copy is seen");
        assert!(wait_until(SOON, || !bridge.captures()));
        floods(&bridge, &ears, one, &frame(one), &[two, three, outside], true);

        // A storm is held up at its port.
        bridge.text("port set vm1 storm unknown=1pps");
        let before = bridge.counters("vm1");
        for _ in 0..3 {
            ears.of(one).send(&frame(one)).unwrap();
        }
        assert!(wait_until(SOON, || bridge.counters("vm1").since(&before).rx.packets == 3));
        assert!(bridge.counters("vm1").since(&before).dropped("storm_unknown") >= 2);
        ears.forget().unwrap();
        bridge.stop();
    }
}

#[test]
fn a_station_behind_the_host_gets_unknown_unicasts() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = all_xdp(GuestKind::Veth);
    let ears = segment.ears();
    ears.introduce(&segment);
    let (host, outside) = (segment.host(), segment.outside());
    let [one, two, three] = [1, 2, 3].map(|number| segment.guest(number));
    let frame = frames::finished(NOBODY, one.mac, 100);
    floods(&bridge, &ears, one, &frame, &[two, three, outside], true);
    // It is silent, and in a namespace of its own: only the uplink's list of addresses tells of it.
    let container = xbr_lab::Namespace::new("container");
    let place = container.path();
    let macvlan = format!("link add mv0 link eth0 netns {} address {NOBODY} type macvlan", place.display());
    host.ns.ip(&macvlan);
    container.sysctl("net/ipv6/conf/mv0/disable_ipv6", "1");
    container.ip("link set mv0 up");
    let inside = xbr_lab::RawPort::open(&container, "mv0");
    let arrives = || {
        ears.of(one).send(&frame).unwrap();
        inside.recv(Duration::from_millis(100)).unwrap().is_some_and(|heard| heard.bytes == frame)
    };
    assert!(wait_until(SOON, arrives), "the silent station behind the host does not hear");
    container.ip("link del mv0");
    ears.forget().unwrap();
    let by_xdp = || {
        let before = bridge.counters("vm1");
        ears.of(one).send(&frame).unwrap();
        wait_until(SOON, || bridge.counters("vm1").since(&before).rx.packets == 1);
        bridge.counters("vm1").since(&before).by_xdp() == 1
    };
    assert!(wait_until(SOON, by_xdp), "the host is alone again");
    bridge.stop();
}
