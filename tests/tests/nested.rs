//! xbr in a guest of xbr: stations behind the inner bridge are stations at one port of the outer one.

use std::time::Duration;

use xbr_lab::vm::{
    Inside, Kernel, Member, Nic, Seat, Vm, checksum_errors, reach, require_full, require_guests,
};
use xbr_lab::{Mac, Segment, Xbr, wait_until};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const KIB: u64 = 1 << 10;
const MIDDLE: Seat = Seat(1);
const OTHER: Seat = Seat(2);
const INNER: [Seat; 2] = [Seat(41), Seat(42)];
/// A start takes some seconds on an emulated machine, and others run beside it.
const PATIENCE: Duration = Duration::from_secs(240);

/// Starts xbr in the guest, over two namespaces.
fn nest(middle: &Vm) {
    let sh = |script: &str| middle.sh_within(PATIENCE, script).unwrap();
    sh("modprobe -a veth sch_ingress cls_bpf; mkdir -p /run/netns");
    for (number, seat) in (1..).zip(INNER) {
        sh(&format!(
            "/sbin/ip netns add g{number} && /sbin/ip link add v{number} type veth peer name eth0 address {} netns g{number} && \
             /sbin/ip -n g{number} link set eth0 up && /sbin/ip -n g{number} addr add {}/24 dev eth0 && \
             /sbin/ip -n g{number} addr add {}/64 dev eth0 nodad",
            seat.mac(),
            seat.v4(),
            seat.v6()
        ));
    }
    sh("xbr run --uplink eth0 --port v1 --port v2 >/tmp/xbr.log 2>&1 &");
    let ready = || sh("grep -c ^ready /tmp/xbr.log || true").trim() == "1";
    assert!(wait_until(PATIENCE, ready), "{}", sh("cat /tmp/xbr.log; ps; dmesg | tail -5"));
    let forwards = || sh("xbr port show -j").matches("\"forwarding\"").count() == 4;
    assert!(wait_until(PATIENCE, forwards), "{}", sh("xbr port show; cat /tmp/xbr.log"));
}

#[test]
fn xbr_in_a_guest_of_xbr() {
    if !require_full() || !require_guests(Kernel::Newest) {
        return;
    }
    let segment = Segment::builder().build();
    let ns = segment.host().ns.clone();
    let outer = Xbr::run(XBR, &ns, "--uplink eth0 --tap vm1 --tap vm2");
    let middle = Vm::builder("middle")
        .memory(512)
        .cpus(2)
        .program(XBR, "/bin/xbr")
        .nic(Nic::tap("vm1").mac(MIDDLE.mac()));
    let middle = middle.launch(&ns);
    let other = Vm::builder("other").nic(Nic::tap("vm2").mac(OTHER.mac())).launch(&ns);
    for (vm, seat) in [(&middle, MIDDLE), (&other, OTHER)] {
        vm.wait_ready();
        seat.address(vm, "eth0").unwrap();
    }
    outer.wait_forwarding();
    nest(&middle);

    let inside = ["g1", "g2"].map(|name| Inside::of(&middle, name));
    let inner: Vec<Member> = (inside.iter().zip(INNER))
        .map(|(station, seat)| Member { station, v4: seat.v4(), v6: seat.v6() })
        .collect();
    let mut members: Vec<Member> = vec![
        Member::guest(&middle, MIDDLE),
        Member::guest(&other, OTHER),
        segment.host().into(),
        segment.outside().into(),
    ];
    let mut pairs = vec![(inner[0], inner[1])];
    pairs.extend(inner.iter().flat_map(|inner| members.iter().map(|member| (*inner, *member))));
    for (a, b) in pairs {
        for (from, to) in [(a, b), (b, a)] {
            reach(from.station, to.station, to.v4.into(), 256 * KIB).unwrap();
            reach(from.station, to.station, to.v6.into(), 256 * KIB).unwrap();
        }
        println!("{} and {} reach each other", a.station.title(), b.station.title());
    }
    members.extend(inner);
    for member in members {
        assert_eq!(checksum_errors(member.station).unwrap(), 0, "at {}", member.station.title());
    }
    let at = |mac: Mac| outer.station(mac).map(|row| row["ifname"].clone());
    for seat in [MIDDLE, INNER[0], INNER[1]] {
        assert_eq!(at(seat.mac()), Some("vm1".into()), "{}", outer.text("fdb show"));
    }
    outer.stop();
}
