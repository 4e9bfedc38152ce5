//! What is for many: the host's multicast with a member of its own, which loops back inside the kernel; reports of
//! membership; any mark; and floods from everyone.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Result, ensure};
use xbr_lab::{
    Datagram, Frame, GuestKind, Listener, Mac, RawPort, Segment, Xbr, frames, ping, require_privileges,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
/// For a second copy to come.
const MOMENT: Duration = Duration::from_millis(100);
const KINDS: [(GuestKind, &str); 4] = [
    (GuestKind::Veth, "auto"),
    (GuestKind::Veth, "xdp"),
    (GuestKind::Tap, "auto"),
    (GuestKind::TapVnetHdr, "auto"),
];

/// The addresses in the FDB, and where.
fn stations(bridge: &Xbr) -> BTreeSet<(String, String)> {
    let rows = bridge.json("fdb show");
    let text = |row: &serde_json::Value, key: &str| row[key].as_str().expect("a text").to_owned();
    let rows = rows.as_array().expect("a list").iter();
    rows.map(|row| (text(row, "mac"), text(row, "ifname"))).collect()
}

/// `listener` hears this within `time`, and nothing else.
fn hears_once(name: &str, listener: &Listener, time: Duration, wanted: &[u8]) -> Result<()> {
    let heard = listener.heard(time)?;
    let lengths: Vec<_> = heard.iter().map(Vec::len).collect();
    ensure!(heard.len() == 1 && heard[0] == wanted, "{name}: {lengths:?}, not {} bytes once", wanted.len());
    Ok(())
}

#[test]
fn the_hosts_multicast_loops_back_and_reaches_everyone_once() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in KINDS {
        let mut segment = Segment::builder().guests(2, kind).build();
        let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook}"));
        // All stations are known, and the host's neighbours, so that nothing is learned for a good reason.
        for (a, b) in segment.pairs() {
            ping(&a.ns, b.v4).unwrap();
            ping(&a.ns, b.v6).unwrap();
        }
        let groups: [IpAddr; 4] = [
            Ipv4Addr::new(239, 1, 2, 3).into(),
            "ff05::1:3".parse::<Ipv6Addr>().unwrap().into(),
            Ipv4Addr::BROADCAST.into(),
            Ipv4Addr::new(10, 77, 0, 255).into(),
        ];
        for (group, port) in groups.into_iter().zip(7001..) {
            // The host listens too: that makes its kernel loop each datagram back at eth0.
            let listen = |node: &xbr_lab::Node| match group.is_multicast() {
                true => Listener::join(&node.ns, "eth0", group, port),
                false => Listener::open(&node.ns, "eth0", group, port),
            };
            let listeners: Vec<_> =
                segment.nodes().into_iter().map(|node| (node.ns.name(), listen(node).unwrap())).collect();
            let (before, counted) = (stations(&bridge), bridge.all_counters());
            // One frame, and several fragments.
            for length in [100, 3000] {
                let payload: Vec<u8> = (0..length).map(|at: u32| at as u8).collect();
                let to = std::net::SocketAddr::new(group, port).to_string();
                Datagram::from(&segment.host().ns).on("eth0").send(&to, &payload).unwrap();
                // While one is waited for, the others' copies come too.
                let times = std::iter::once(MOMENT).chain(std::iter::repeat(MOMENT / 20));
                for ((name, listener), time) in listeners.iter().zip(times) {
                    hears_once(name, listener, time, &payload)
                        .unwrap_or_else(|e| panic!("{kind:?} {hook} {group}: {e}"));
                }
            }
            assert_eq!(stations(&bridge), before, "{kind:?} {hook} {group}: the FDB changed");
            let counted = bridge.all_counters().since(&counted);
            assert!(counted.drops().is_empty(), "{kind:?} {hook} {group}: {counted:?}");
        }
        let nodes: BTreeSet<String> = segment.nodes().iter().map(|node| node.mac.to_string()).collect();
        let known: BTreeSet<String> = stations(&bridge).into_iter().map(|(mac, _)| mac).collect();
        assert_eq!(known, nodes, "{kind:?} {hook}: only stations are in the FDB");
        bridge.stop();
    }
}

/// A report of membership from the host: IGMPv3 to 224.0.0.22 or MLDv2 to ff02::16.
fn is_report(frame: &Frame, host: Mac, to: Mac, protocol_at: usize, protocol: u8) -> bool {
    frame.addresses() == (to, host) && frame.bytes.get(protocol_at) == Some(&protocol)
}

#[test]
fn the_hosts_reports_and_marked_frames_reach_guests() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(1, GuestKind::Veth).guests(1, GuestKind::TapVnetHdr).build();
    let bridge = Xbr::on(XBR, &mut segment, "");
    let host = segment.host();
    ping(&host.ns, segment.guest(1).v4).unwrap();

    let ears: Vec<_> = segment.guests().map(|guest| RawPort::open(&guest.ns, "eth0")).collect();
    let joined = [
        Listener::join(&host.ns, "eth0", Ipv4Addr::new(239, 7, 7, 7), 7100).unwrap(),
        Listener::join(&host.ns, "eth0", "ff05::7:7".parse::<Ipv6Addr>().unwrap(), 7101).unwrap(),
    ];
    // IGMP is protocol 2, byte 9 of the IPv4 header; MLD comes behind a hop-by-hop header (0), byte 6 of the IPv6 header.
    for (to, at, protocol) in
        [(Mac([1, 0, 0x5e, 0, 0, 22]), 23, 2), (Mac([0x33, 0x33, 0, 0, 0, 0x16]), 20, 0)]
    {
        for ear in &ears {
            let report = |frame: &Frame| is_report(frame, host.mac, to, at, protocol);
            // The kernel sends it within a second, at random, and once again.
            let heard = ear.recv_matching(Duration::from_secs(3), report).unwrap();
            assert!(heard.is_some(), "no report to {to}");
        }
    }
    drop(joined);

    for (group, port) in [(None, 7200), (Some(Ipv4Addr::new(239, 9, 9, 9)), 7201)] {
        for guest in segment.guests() {
            let listener = match group {
                Some(group) => Listener::join(&guest.ns, "eth0", group, port).unwrap(),
                None => Listener::open(&guest.ns, "eth0", guest.v4, port).unwrap(),
            };
            let to = format!("{}:{port}", group.unwrap_or(guest.v4));
            for bit in 0..32 {
                Datagram::from(&host.ns).on("eth0").mark(1 << bit).send(&to, &[bit]).unwrap();
            }
            Datagram::from(&host.ns).on("eth0").mark(u32::MAX).send(&to, &[32]).unwrap();
            let heard = listener.heard(MOMENT).unwrap();
            let wanted: Vec<Vec<u8>> = (0..=32).map(|bit| vec![bit]).collect();
            assert_eq!(heard, wanted, "from the host to {to}, by bit of the mark");
        }
    }
    bridge.stop();
}

#[test]
fn what_is_for_all_reaches_all_once_and_never_its_sender() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in KINDS {
        let mut segment = Segment::builder().quiet().guests(2, kind).guests(1, GuestKind::TapVnetHdr).build();
        let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook}"));
        let ears = segment.ears();
        for sender in segment.nodes() {
            let others: Vec<_> = segment.nodes().into_iter().filter(|node| node.mac != sender.mac).collect();
            // A station that nobody has heard of; the host, behind which nobody is, takes no part in that.
            let nobody = Mac::numbered(0x999);
            for to in
                [Mac::BROADCAST, Mac([1, 0, 0x5e, 0x7f, 0, 1]), Mac([0x33, 0x33, 0, 0, 0, 0xfb]), nobody]
            {
                let mut others = others.clone();
                others.retain(|node| to != nobody || node.mac != segment.host().mac);
                for frame in [frames::frame(to, sender.mac, 60), frames::finished(to, sender.mac, 1514)] {
                    ears.send(sender, &frame, &others)
                        .unwrap_or_else(|e| panic!("{kind:?} {hook}, {sender:?} → {to}: {e}"));
                }
            }
        }
        bridge.stop();
    }
}
