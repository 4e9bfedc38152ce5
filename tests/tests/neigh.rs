//! Requests for neighbours, answered on behalf of ports with `neigh_suppress`.

use std::net::IpAddr;
use std::time::Duration;

use xbr_lab::{
    Ears, GuestKind, Mac, Node, Segment, Xbr, frames, ping, require_privileges, tcp_transfer, vm::full,
    wait_until,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const MIB: u64 = 1 << 20;
const SOON: Duration = Duration::from_secs(3);

/// TC and XDP, on a device each; the others take longer than CI has.
fn kinds() -> Vec<(GuestKind, &'static str)> {
    let few = [(GuestKind::Veth, "tc"), (GuestKind::Tap, "xdp")];
    let more = [(GuestKind::Veth, "xdp"), (GuestKind::TapVnetHdr, "auto")];
    few.into_iter().chain(more.into_iter().filter(|_| full())).collect()
}

fn quiet(kind: GuestKind, hook: &str, more: &str) -> (Segment, Xbr, Ears) {
    let mut segment = Segment::builder().quiet().guests(3, kind).build();
    let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook} {more}"));
    let ears = segment.ears();
    (segment, bridge, ears)
}

const REQUEST: u8 = 1;
const REPLY: u8 = 2;

fn arp(
    to: Mac,
    from: Mac,
    operation: u8,
    sender: [u8; 4],
    hardware: Mac,
    target: [u8; 4],
    tag: Option<u16>,
) -> Vec<u8> {
    let mut frame = [to.0, from.0].concat();
    if let Some(vid) = tag {
        frame.extend([[0x81, 0], vid.to_be_bytes()].concat());
    }
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(from.0);
    frame.extend(sender);
    frame.extend(hardware.0);
    frame.extend(target);
    frame.resize(60, 0);
    frame
}

/// `asker` asks who has an address.
fn request(asker: &Node, target: [u8; 4], tag: Option<u16>) -> Vec<u8> {
    arp(Mac::BROADCAST, asker.mac, REQUEST, asker.v4.octets(), Mac([0; 6]), target, tag)
}

/// What it is answered for `holder`.
fn answer(asker: &Node, holder: Mac, target: [u8; 4], tag: Option<u16>) -> Vec<u8> {
    arp(asker.mac, holder, REPLY, target, asker.mac, asker.v4.octets(), tag)
}

/// Says to all that a station has an address.
fn announcement(from: &Node, address: [u8; 4]) -> Vec<u8> {
    arp(Mac::BROADCAST, from.mac, REQUEST, address, Mac([0; 6]), address, None)
}

/// A request from guest 1 is answered for `holder`, and everybody but guest 2 hears it.
fn is_answered(segment: &Segment, ears: &Ears, holder: Mac, target: [u8; 4]) -> anyhow::Result<()> {
    let (one, three) = (segment.guest(1), segment.guest(3));
    let asked = request(one, target, None);
    ears.of(one).send(&asked)?;
    let heard = |node| (node, vec![asked.clone()]);
    ears.hear_each(&[
        (one, vec![answer(one, holder, target, None)]),
        heard(three),
        heard(segment.host()),
        heard(segment.outside()),
    ])
}

/// A request from guest 1 reaches everybody, and nobody answers it.
fn is_flooded(segment: &Segment, ears: &Ears, target: [u8; 4]) -> anyhow::Result<()> {
    let [one, two, three] = [1, 2, 3].map(|number| segment.guest(number));
    ears.send(one, &request(one, target, None), &[two, three, segment.host(), segment.outside()])
}

#[test]
fn a_known_neighbour_is_answered_for_and_not_asked() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in kinds() {
        let told = format!("{kind:?} {hook}");
        let (segment, mut bridge, ears) = quiet(kind, hook, "");
        ears.introduce(&segment);
        let [one, two, three] = [1, 2, 3].map(|number| segment.guest(number));
        let (host, outside) = (segment.host(), segment.outside());
        let (address, nobody) = (two.v4.octets(), [10, 77, 0, 99]);
        is_flooded(&segment, &ears, address).unwrap_or_else(|e| panic!("{told}, off: {e}"));
        bridge.text("port set vm2 neigh_suppress on");
        assert_eq!(bridge.port("vm2")["neigh_suppress"], true);
        is_flooded(&segment, &ears, address).unwrap_or_else(|e| panic!("{told}, not known: {e}"));
        // What it asks itself tells who it is, and is asked of everybody.
        ears.send(two, &request(two, nobody, None), &[one, three, host, outside]).unwrap();
        is_answered(&segment, &ears, two.mac, address).unwrap_or_else(|e| panic!("{told}: {e}"));
        assert_eq!(bridge.stats("vm1")["neigh_answered"], 1, "{told}");
        assert!(bridge.all_counters().drops().is_empty(), "{told}: {:?}", bridge.all_counters().drops());
        let shown = bridge.json("neigh show dev vm2");
        assert_eq!(
            (&shown[0]["dst"], &shown[0]["lladdr"], &shown[0]["state"][0]),
            (&two.v4.to_string().into(), &two.mac.to_string().into(), &"REACHABLE".into()),
            "{told}: {shown}"
        );
        is_flooded(&segment, &ears, nobody).unwrap_or_else(|e| panic!("{told}, nobody: {e}"));
        // A neighbour elsewhere is known too: nobody answers for it, but guest 2 is not asked.
        ears.send(three, &request(three, nobody, None), &[one, two, host, outside]).unwrap();
        ears.send(one, &request(one, three.v4.octets(), None), &[three, host, outside]).unwrap();
        // An announcement asks nobody, and nor does who asks for an address of its own.
        ears.send(one, &announcement(one, one.v4.octets()), &[three, host, outside]).unwrap();
        // Host and outside ask as well.
        ears.of(outside).send(&request(outside, address, None)).unwrap();
        let asked = vec![request(outside, address, None)];
        let replied = vec![answer(outside, two.mac, address, None)];
        ears.hear_each(&[(outside, replied), (one, asked.clone()), (three, asked.clone()), (host, asked)])
            .unwrap_or_else(|e| panic!("{told}, outside: {e}"));
        ears.of(host).send(&request(host, address, None)).unwrap();
        let (asked, replied) =
            (vec![request(host, address, None)], vec![answer(host, two.mac, address, None)]);
        ears.hear_each(&[(host, replied), (one, asked.clone()), (three, asked.clone()), (outside, asked)])
            .unwrap_or_else(|e| panic!("{told}, host: {e}"));
        // The kernel needs no controller for it, and an upgrade forgets nothing.
        bridge.kill();
        is_answered(&segment, &ears, two.mac, address)
            .unwrap_or_else(|e| panic!("{told}, no controller: {e}"));
        bridge.restart("--fdb-max 1000");
        is_answered(&segment, &ears, two.mac, address)
            .unwrap_or_else(|e| panic!("{told}, carried over: {e}"));
        // Who takes part in the suppression itself is answered by nobody.
        bridge.text("port set vm1 neigh_suppress on");
        ears.send(one, &request(one, address, None), &[two, three, host, outside]).unwrap();
        bridge.text("port set vm1 neigh_suppress off");
        bridge.text("port set vm2 neigh_suppress off");
        is_flooded(&segment, &ears, address).unwrap_or_else(|e| panic!("{told}, off again: {e}"));
        segment.address_quietly();
        tcp_transfer(&one.ns, &two.ns, two.v4, MIB).unwrap();
        bridge.stop();
    }
}

#[test]
fn nobody_else_changes_the_answer() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in kinds() {
        let told = format!("{kind:?} {hook}");
        let (segment, bridge, ears) = quiet(kind, hook, "");
        ears.introduce(&segment);
        let [one, two, three] = [1, 2, 3].map(|number| segment.guest(number));
        let (host, outside, address) = (segment.host(), segment.outside(), two.v4.octets());
        bridge.text("port set vm2 neigh_suppress on");
        ears.send(two, &announcement(two, address), &[one, three, host, outside]).unwrap();
        is_answered(&segment, &ears, two.mac, address).unwrap_or_else(|e| panic!("{told}: {e}"));
        // Guest 3 says that it has the address: from now on they are asked themselves.
        ears.send(three, &announcement(three, address), &[one, host, outside]).unwrap();
        is_flooded(&segment, &ears, address).unwrap_or_else(|e| panic!("{told}, doubted: {e}"));
        let shown = bridge.json("neigh show dev vm2");
        assert_eq!(shown[0]["state"][0], "DOUBTED", "{told}: {shown}");
        assert_eq!(shown[0]["lladdr"], two.mac.to_string(), "{told}");
        // The operator's word is beyond doubt.
        bridge.text(&format!("neigh add {} lladdr {} dev vm2", two.v4, two.mac));
        ears.send(three, &announcement(three, address), &[one, host, outside]).unwrap();
        is_answered(&segment, &ears, two.mac, address).unwrap_or_else(|e| panic!("{told}, static: {e}"));
        bridge.text(&format!("neigh del {} dev vm2", two.v4));
        is_flooded(&segment, &ears, address).unwrap_or_else(|e| panic!("{told}, deleted: {e}"));
        // A station that moves takes its addresses along.
        ears.send(two, &announcement(two, address), &[one, three, host, outside]).unwrap();
        bridge.text("port set vm3 neigh_suppress on");
        let moved = arp(Mac::BROADCAST, two.mac, REQUEST, address, Mac([0; 6]), address, None);
        ears.send(three, &moved, &[one, two, host, outside]).unwrap_or_else(|e| panic!("{told}, moves: {e}"));
        ears.of(one).send(&request(one, address, None)).unwrap();
        let asked = vec![request(one, address, None)];
        ears.hear_each(&[
            (one, vec![answer(one, two.mac, address, None)]),
            (host, asked.clone()),
            (outside, asked),
        ])
        .unwrap_or_else(|e| panic!("{told}, moved: {e}"));
        assert!(bridge.text("neigh show").contains(&format!("{} dev vm3", two.v4)), "{told}");
        // One guest does not fill the table.
        for number in 0..100 {
            ears.of(three).send(&announcement(three, [10, 78, 0, number])).unwrap();
        }
        assert!(
            wait_until(SOON, || bridge.json("neigh show dev vm3").as_array().unwrap().len() >= 64),
            "{told}"
        );
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(bridge.json("neigh show dev vm3").as_array().unwrap().len(), 64, "{told}");
        ears.forget().unwrap();
        ears.of(two).send(&announcement(two, [10, 79, 0, 1])).unwrap();
        assert!(wait_until(SOON, || bridge.text("neigh show").contains("10.79.0.1 dev vm2")), "{told}");
        bridge.stop();
    }
}

#[test]
fn who_is_silent_for_too_long_is_asked() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge, ears) = quiet(GuestKind::Veth, "tc", "--ageing-time 1");
    let [one, two, three] = [1, 2, 3].map(|number| segment.guest(number));
    let everyone = [one, three, segment.host(), segment.outside()];
    bridge.text("port set vm2 neigh_suppress on");
    ears.send(two, &announcement(two, two.v4.octets()), &everyone).unwrap();
    is_answered(&segment, &ears, two.mac, two.v4.octets()).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    is_flooded(&segment, &ears, two.v4.octets()).unwrap();
    // It is there again, and so is what is known of it; but not of an address of which it has not spoken for four times as long.
    let alive = || ears.send(two, &frames::frame(Mac::BROADCAST, two.mac, 60), &everyone).unwrap();
    alive();
    is_answered(&segment, &ears, two.mac, two.v4.octets()).unwrap();
    std::thread::sleep(Duration::from_millis(3500));
    alive();
    is_flooded(&segment, &ears, two.v4.octets()).unwrap();
}

#[test]
fn tags_are_those_of_the_request() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in kinds() {
        let told = format!("{kind:?} {hook}");
        let (segment, bridge, ears) = quiet(kind, hook, "--vlan-filtering");
        let [one, two, three] = [1, 2, 3].map(|number| segment.guest(number));
        for (port, words) in
            [("vm1", "vid 10"), ("vm2", "vid 10 pvid untagged"), ("vm3", "vid 20 pvid untagged")]
        {
            bridge.text(&format!("vlan del dev {port} vid 1-4094"));
            bridge.text(&format!("vlan add dev {port} {words}"));
        }
        bridge.text("port set vm2 neigh_suppress on");
        let address = two.v4.octets();
        let announced = announcement(two, address);
        let mut tagged = announced.clone();
        tagged.splice(12..12, [0x81, 0, 0, 10]);
        ears.of(two).send(&announced).unwrap();
        ears.hear_each(&[(one, vec![tagged])]).unwrap_or_else(|e| panic!("{told}: {e}"));
        assert_eq!(bridge.json("neigh show vid 10")[0]["vlan"], 10, "{told}");
        ears.of(one).send(&request(one, address, Some(10))).unwrap();
        ears.hear_each(&[(one, vec![answer(one, two.mac, address, Some(10))])])
            .unwrap_or_else(|e| panic!("{told}, tagged: {e}"));
        // Another VLAN is another network.
        ears.send(three, &request(three, address, None), &[])
            .unwrap_or_else(|e| panic!("{told}, apart: {e}"));
        bridge.stop();
    }
    // Without filtering a tag is somebody else's affair.
    let (segment, bridge, ears) = quiet(GuestKind::Veth, "tc", "");
    let (one, two, three) = (segment.guest(1), segment.guest(2), segment.guest(3));
    bridge.text("port set vm2 neigh_suppress on");
    ears.send(two, &announcement(two, two.v4.octets()), &[one, three, segment.host(), segment.outside()])
        .unwrap();
    let tagged = request(one, two.v4.octets(), Some(10));
    ears.send(one, &tagged, &[two, three, segment.host(), segment.outside()]).unwrap();
}

#[test]
fn stacks_find_each_other_by_the_answers() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in kinds() {
        let told = format!("{kind:?} {hook}");
        let mut segment = Segment::builder().guests(2, kind).build();
        let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook}"));
        bridge.text("port set vm2 neigh_suppress on");
        let (one, two) = (segment.guest(1), segment.guest(2));
        // What guest 2 asks tells who it is.
        for address in [IpAddr::from(one.v4), one.v6.into()] {
            two.ns.ip("neigh flush all");
            ping(&two.ns, address).unwrap_or_else(|e| panic!("{told}: {e}"));
        }
        for address in [two.v4.to_string(), two.v6.to_string()] {
            assert!(
                bridge.text("neigh show").contains(&format!("{address} dev vm2")),
                "{told}: {}",
                bridge.text("neigh show")
            );
        }
        let answered = |node: &str| bridge.stats(node)["neigh_answered"].as_u64().unwrap();
        for (from, port) in [(one, "vm1"), (segment.host(), "host"), (segment.outside(), "eth0")] {
            for address in [IpAddr::from(two.v4), two.v6.into()] {
                let before = answered(port);
                from.ns.ip("neigh flush all");
                ping(&from.ns, address).unwrap_or_else(|e| panic!("{told} {port} {address}: {e}"));
                assert_eq!(answered(port), before + 1, "{told}: {port} asks for {address}");
                tcp_transfer(&from.ns, &two.ns, address, MIB)
                    .unwrap_or_else(|e| panic!("{told} {port}: {e}"));
            }
        }
        bridge.stop();
    }
}
