//! What xbr counts agrees with what the peers sent and received, to the packet and to the byte.

use std::collections::BTreeSet;
use std::time::Duration;

use xbr_lab::{
    AllCounters, Direction, GuestKind, Mac, Metrics, Node, Segment, Xbr, ethtool, frames, require_privileges,
    tcp_transfer, udp_segments, wait_until,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const SOON: Duration = Duration::from_secs(3);
const METRICS: &str = "127.0.0.1:9473";

/// The ports' names, in the order of [`Segment::nodes`] for two guests.
const PORTS: [&str; 4] = ["vm1", "vm2", "host", "eth0"];

/// What ought to be counted, written down as frames are sent.
struct Books<'a> {
    nodes: Vec<&'a Node>,
    xdp: bool,
    counted: AllCounters,
}

impl Books<'_> {
    /// A frame of so many bytes from one participant to some.
    fn frame(&mut self, from: usize, to: &[usize], bytes: usize) {
        self.counted.at(PORTS[from]).rx.add(bytes);
        to.iter().for_each(|to| self.counted.at(PORTS[*to]).tx.add(bytes));
        if self.xdp && PORTS[from] != "host" {
            match to {
                // XDP copies what the host gets none of.
                [_, _, ..] if to.contains(&2) => self.slow(from, "flood"),
                [2] => self.slow(from, "to_host"),
                _ => {}
            }
        }
    }

    fn slow(&mut self, from: usize, reason: &str) {
        *self.counted.at(PORTS[from]).slow.entry(reason.into()).or_default() += 1;
    }

    fn dropped(&mut self, from: usize, reason: &str, bytes: usize) {
        self.frame(from, &[], bytes);
        *self.counted.at(PORTS[from]).drops.entry(reason.into()).or_default() += 1;
    }

    fn others(&self, from: usize) -> Vec<usize> {
        (0..self.nodes.len()).filter(|to| *to != from).collect()
    }
}

fn frames_are_counted(kind: GuestKind, hook: &str, xdp: bool) {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().quiet().guests(2, kind).build();
    let plain = if kind == GuestKind::Tap { "--no-vnet-hdr" } else { "" };
    let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook} {plain} --metrics {METRICS}"));
    let at_work = PORTS.map(|port| port == "host" || (bridge.port(port)["hook"] == "xdp") == xdp);
    assert_eq!(at_work, [true; 4], "{}", bridge.text("port show"));
    let ears = segment.ears();
    let mut books = Books { nodes: segment.nodes(), xdp, counted: AllCounters::default() };
    let nodes = books.nodes.clone();
    for port in PORTS {
        books.counted.at(port);
    }
    let hear = |to: &[usize], sent: &[Vec<u8>]| {
        let hearers: Vec<_> = to.iter().map(|to| nodes[*to]).collect();
        ears.hear(&hearers, sent).unwrap_or_else(|e| panic!("{kind:?} {hook}: {e}"));
    };
    // Everyone becomes known. The host is known from the start.
    for from in 0..4 {
        let others = books.others(from);
        let hello = frames::finished(Mac::BROADCAST, nodes[from].mac, 60);
        ears.of(nodes[from]).send(&hello).unwrap();
        hear(&others, &[hello]);
        books.frame(from, &others, 60);
        if PORTS[from] != "host" {
            books.counted.at(PORTS[from]).learned += 1;
        }
    }
    for from in 0..4 {
        let ear = ears.of(nodes[from]);
        // Each pair its own number of frames, of all sizes.
        for to in books.others(from) {
            let number = 5 + 4 * from + to;
            let sent: Vec<_> = (0..number)
                .map(|n| frames::finished(nodes[to].mac, nodes[from].mac, 60 + (n * 1454) / (number - 1)))
                .collect();
            for frame in &sent {
                ear.send(frame).unwrap();
                books.frame(from, &[to], frame.len());
            }
            hear(&[to], &sent);
        }
        // Stations that nobody knows, and groups.
        for to in [Mac::numbered(0x900), Mac([1, 0, 0x5e, 0, 0, 9])] {
            let mut others = books.others(from);
            // The host, behind which nobody is, takes no unicasts to nobody known.
            others.retain(|other| to != Mac::numbered(0x900) || PORTS[*other] != "host");
            let sent: Vec<_> =
                (0..3 + from).map(|n| frames::finished(to, nodes[from].mac, 100 + 200 * n)).collect();
            for frame in &sent {
                ear.send(frame).unwrap();
                books.frame(from, &others, frame.len());
            }
            hear(&others, &sent);
        }
    }
    // What is dropped, each from a guest and from the outside.
    let second = Mac::numbered(0x902);
    for (from, learned) in [(0, second), (3, Mac::numbered(0x903))] {
        let own = nodes[from].mac;
        let mut drops = vec![
            (nodes[2].mac, nodes[1].mac, "host_source", 70),
            (Mac([3, 0, 0, 0, 0, 1]), nodes[1].mac, "bad_source", 80),
            (Mac([0; 6]), Mac::BROADCAST, "bad_source", 90),
            // Another station behind the same port speaks with the first.
            (learned, own, "same_port", 100),
        ];
        if PORTS[from] == "vm1" {
            drops.push((own, Mac([1, 0x80, 0xc2, 0, 0, 14]), "link_local", 110));
        }
        for (source, to, reason, bytes) in drops {
            ears.of(nodes[from]).send(&frames::finished(to, source, bytes)).unwrap();
            books.dropped(from, reason, bytes);
        }
        books.counted.at(PORTS[from]).learned += 1;
        hear(&[], &[]);
    }
    assert!(
        wait_until(SOON, || bridge.all_counters() == books.counted),
        "{kind:?} {hook}: counted\n{:#?}\nand not\n{:#?}",
        bridge.all_counters(),
        books.counted
    );
    fdb_agrees(&bridge, &books, second);
    metrics_agree(&bridge, &segment, &books);
    bridge.stop();
}

fn fdb_agrees(bridge: &Xbr, books: &Books<'_>, second: Mac) {
    let rows = bridge.json("fdb show");
    let text = |row: &serde_json::Value, key: &str| row[key].as_str().expect("a text").to_owned();
    let found: BTreeSet<_> = rows
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| (text(row, "mac"), text(row, "ifname"), text(row, "state")))
        .collect();
    let mut wanted = BTreeSet::new();
    for (node, port) in books.nodes.iter().zip(PORTS) {
        let state = if port == "host" { "permanent" } else { "" };
        wanted.insert((node.mac.to_string(), port.to_owned(), state.to_owned()));
    }
    for (mac, port) in [(second, "vm1"), (Mac::numbered(0x903), "eth0")] {
        wanted.insert((mac.to_string(), port.to_owned(), String::new()));
    }
    assert_eq!(found, wanted);
}

fn metrics_agree(bridge: &Xbr, segment: &Segment, books: &Books<'_>) {
    let metrics = Metrics::scrape(&segment.host().ns, METRICS).unwrap();
    for port in PORTS {
        let counters = books.counted.of(port);
        let place = [("bridge", bridge.name.as_str()), ("port", port)];
        let families = [
            ("xbr_port_receive_packets_total", counters.rx.packets),
            ("xbr_port_receive_bytes_total", counters.rx.bytes),
            ("xbr_port_transmit_packets_total", counters.tx.packets),
            ("xbr_port_transmit_bytes_total", counters.tx.bytes),
        ];
        for (family, wanted) in families {
            assert_eq!(metrics.value(family, &place).unwrap(), wanted, "{family} of {port}");
        }
        for reason in ["host_source", "bad_source", "same_port", "link_local", "too_big"] {
            let labels = [place[0], place[1], ("reason", reason)];
            let value = metrics.value("xbr_port_drops_total", &labels).unwrap();
            assert_eq!(value, counters.dropped(reason), "{reason} of {port}");
        }
    }
}

#[test]
fn frames_by_veth_and_tc() {
    frames_are_counted(GuestKind::Veth, "tc", false);
}

#[test]
fn frames_by_veth_and_xdp() {
    frames_are_counted(GuestKind::Veth, "xdp", true);
}

#[test]
fn frames_by_tap_and_tc() {
    frames_are_counted(GuestKind::Tap, "tc", false);
}

#[test]
fn frames_by_tap_and_xdp() {
    frames_are_counted(GuestKind::Tap, "xdp", true);
}

#[test]
fn frames_by_vnet_hdr() {
    frames_are_counted(GuestKind::TapVnetHdr, "auto", false);
}

/// A chain of segments counts as what it becomes on a wire.
#[test]
fn segments_are_counted_one_by_one() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in [(GuestKind::Veth, "auto"), (GuestKind::TapVnetHdr, "auto"), (GuestKind::Tap, "auto")]
    {
        let mut segment = Segment::builder().quiet().guests(2, kind).build();
        let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook}"));
        segment.address_quietly();
        let nodes = segment.nodes();
        for (from, to) in (0..4).flat_map(|from| (0..4).map(move |to| (from, to))).filter(|(a, b)| a != b) {
            let before = bridge.all_counters();
            udp_segments(&nodes[from].ns, &nodes[to].ns, nodes[to].v4, 1000, 13).unwrap();
            let counted = bridge.all_counters().since(&before);
            let (rx, tx) = (counted.of(PORTS[from]).rx, counted.of(PORTS[to]).tx);
            let wanted = (13, 13 * (14 + 20 + 8 + 1000));
            assert_eq!((rx.packets, rx.bytes), wanted, "{kind:?}: in at {}", PORTS[from]);
            assert_eq!((tx.packets, tx.bytes), wanted, "{kind:?}: out at {}", PORTS[to]);
        }
        bridge.stop();
    }
}

/// A TAP without vnet_hdr gets every segment as a frame of its own, so its reader is the witness for all of TCP's lengths.
#[test]
fn tcp_is_counted_as_the_receiver_sees_it() {
    if !require_privileges() {
        return;
    }
    let mut segment =
        Segment::builder().quiet().guests(1, GuestKind::TapVnetHdr).guests(1, GuestKind::Tap).build();
    let bridge = Xbr::on(XBR, &mut segment, "");
    segment.address_quietly();
    // Room for a whole window, or the TAP's queue drops frames that were sent.
    segment.host().ns.ip("link set vm2 txqueuelen 10000");
    ethtool(&segment.guest(2).ns, "eth0", "gro off");
    let two = segment.guest(2);
    for (from, port) in [(segment.guest(1), "vm1"), (segment.host(), "host"), (segment.outside(), "eth0")] {
        let counted = bridge.all_counters();
        let crossed = [Direction::ToGuest, Direction::FromGuest].map(|way| segment.crossed(2, way));
        tcp_transfer(&from.ns, &two.ns, two.v4, 3_000_001).unwrap();
        let agree = || {
            let counted = bridge.all_counters().since(&counted);
            let now = [Direction::ToGuest, Direction::FromGuest].map(|way| segment.crossed(2, way));
            let seen = |at: usize| (now[at].frames - crossed[at].frames, now[at].bytes - crossed[at].bytes);
            let pair = |traffic: xbr_lab::Traffic| (traffic.packets, traffic.bytes);
            let (vm2, peer) = (counted.of("vm2"), counted.of(port));
            let rows = [(seen(0), pair(vm2.tx), pair(peer.rx)), (seen(1), pair(vm2.rx), pair(peer.tx))];
            (rows.iter().all(|(seen, out, into)| seen == out && out == into), rows)
        };
        assert!(wait_until(SOON, || agree().0), "{port}: seen, at vm2, at {port}: {:?}", agree().1);
        let [(there, ..), (back, ..)] = agree().1;
        assert!(there.0 > 2000 && back.0 > 2000, "{port}: it is segments that count: {there:?} {back:?}");
        println!("{port}: {there:?} there, {back:?} back");
    }
    assert_eq!(bridge.stats("vm2")["device_tx_dropped"], 0);
    bridge.stop();
}
