//! The classic scene, with xbr in the place of br0: a host with two guests under libvirt, and the network outside.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use xbr_lab::{
    Domain, Libvirt, Segment, Snapshot, Xbr, bpffs_dir, dhcp, require_libvirt,
    vm::{Member, Seat, Vm, checksum_errors, send},
    wait_until,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");

/// What every transfer moves, in bytes.
const BYTES: u64 = 1 << 20;

/// Waits until the guest has booted, and lets it lease its IPv4 address from outside.
fn boot(vm: &Vm, seat: Seat) -> Ipv4Addr {
    vm.wait_ready();
    vm.sh("/sbin/ip link set eth0 up && udhcpc -i eth0 -n -q -t 5 -T 1 -s /sbin/lease").unwrap();
    // Afterwards, since a lease takes the place of all addresses.
    vm.sh(&format!("/sbin/ip address add {}/64 dev eth0 nodad", seat.v6())).unwrap();
    vm.sh("cat /run/lease.eth0").unwrap().trim().parse().expect("an address")
}

#[test]
fn two_guests_of_libvirt_the_host_and_the_outside_are_one_segment() {
    if !require_libvirt() {
        return;
    }
    let segment = Segment::builder().build();
    let (host, outside) = (segment.host(), segment.outside());
    let before = Snapshot::take(&host.ns);
    let first = Ipv4Addr::new(10, 77, 0, 100);
    let _server = dhcp::Server::start(outside, first);
    let bridge = Xbr::run(XBR, &host.ns, "--uplink eth0");
    let libvirt = Libvirt::start(&host.ns);
    let seats = [Seat(1), Seat(2)];

    // One guest by the hook, on a TAP that libvirt makes, and one on a TAP of xbr's.
    libvirt.xbr(XBR, "libvirt install");
    libvirt.restart();
    let vm1 = Domain::new("vm1").on(&bridge.name).ethernet(seats[0].mac(), "").launch(&libvirt);
    bridge.text("tap add vm2");
    let unmanaged = "<target dev='vm2' managed='no'/>";
    let vm2 = Domain::new("vm2").ethernet(seats[1].mac(), unmanaged).launch(&libvirt);
    let guests = [&vm1, &vm2];
    let leases = [boot(&vm1, seats[0]), boot(&vm2, seats[1])];
    assert_eq!(leases, [first, Ipv4Addr::new(10, 77, 0, 101)]);

    let mut everyone = vec![Member::from(host), Member::from(outside)];
    for ((vm, seat), v4) in guests.into_iter().zip(seats).zip(leases) {
        everyone.push(Member { station: vm, v4, v6: seat.v6() });
    }
    for (number, from) in everyone.iter().enumerate() {
        for (_, to) in everyone.iter().enumerate().filter(|(other, _)| *other != number) {
            for address in [IpAddr::from(to.v4), to.v6.into()] {
                from.station.shell(&format!("ping -c 1 -W 5 {address}")).unwrap();
                send(from.station, to.station, address, BYTES).unwrap();
            }
        }
    }

    let taps = seats.map(|seat| seat.mac()).map(|mac| (mac, libvirt.tap_of(mac)));
    assert_eq!(taps[1].1, "vm2", "virsh domiflist");
    let show = bridge.text("show");
    let stations = taps.iter().map(|(mac, tap)| (*mac, tap.as_str()));
    for (mac, port) in stations.chain([(outside.mac, "eth0"), (host.mac, "host")]) {
        assert!(port == "host" || show.contains(port), "no {port}:\n{show}");
        let station = bridge.station(mac).unwrap_or_else(|| panic!("no {mac}:\n{}", bridge.text("fdb show")));
        assert_eq!(station["ifname"], port, "{station}");
    }
    for one in &everyone {
        assert_eq!(checksum_errors(one.station).unwrap(), 0, "{} found wrong checksums", one.station.title());
    }
    let drops = bridge.all_counters().drops();
    assert!(drops.is_empty(), "{drops:?}");

    // The guests end, and nothing is left.
    libvirt.text("destroy vm1");
    libvirt.text("destroy vm2");
    let gone = || bridge.station(taps[0].0).is_none() && !bridge.text("port show").contains(&taps[0].1);
    assert!(wait_until(Duration::from_secs(10), gone), "{}", bridge.text("port show"));
    bridge.text("tap del vm2");
    libvirt.xbr(XBR, "libvirt remove");
    drop(libvirt);
    let pins = bpffs_dir(&bridge.name);
    bridge.stop();
    assert!(!pins.exists());
    before.assert_same(&Snapshot::take(&host.ns));
}
