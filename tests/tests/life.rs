//! What happens in a guest's life, and that xbr follows without a restart. Each case says how many pings were lost, and how long
//! nothing got through; then TCP flows again.

use std::net::IpAddr;
use std::time::Duration;

use xbr_lab::vm::{
    Inside, Kernel, Nic, Seat, Station, Vm, Watch, checksum_errors, full, reach, require_full,
    require_guests, send,
};
use xbr_lab::{Mac, Namespace, Process, Segment, Xbr, wait_until};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const MIB: u64 = 1 << 20;
const ONE: Seat = Seat(1);
const TWO: Seat = Seat(2);

/// A bridge with two guests; the first has a second card.
struct Scene {
    // Dropped in this order: guests first.
    one: Vm,
    two: Vm,
    monitor: Process,
    bridge: Xbr,
    segment: Segment,
}

impl Scene {
    fn set() -> Scene {
        let segment = Segment::builder().build();
        let host = segment.host().ns.clone();
        let bridge = Xbr::run(XBR, &host, "--uplink eth0 --tap vm1 --tap vm2 --tap spare");
        let monitor = bridge.monitor();
        let spare = Nic::tap("spare").mac(Mac::numbered(77));
        let one = Vm::builder("one").reboots().nic(Nic::tap("vm1").mac(ONE.mac())).nic(spare).launch(&host);
        let two = Vm::builder("two").nic(Nic::tap("vm2").mac(TWO.mac())).launch(&host);
        for (vm, seat) in [(&one, ONE), (&two, TWO)] {
            vm.wait_ready();
            seat.address(vm, "eth0").unwrap();
        }
        bridge.wait_forwarding();
        Scene { one, two, monitor, bridge, segment }
    }

    fn outside(&self) -> &Namespace {
        &self.segment.outside().ns
    }

    /// TCP between the two guests, both ways, and from outside, with every checksum right.
    fn flows(&self, what: &str) {
        let outside = self.segment.outside();
        send(&self.one, &self.two, TWO.v4().into(), MIB).unwrap_or_else(|e| panic!("{what}: {e:#}"));
        send(&self.two, &self.one, ONE.v4().into(), MIB).unwrap_or_else(|e| panic!("{what}: {e:#}"));
        send(outside, &self.one, ONE.v4().into(), MIB).unwrap_or_else(|e| panic!("{what}: {e:#}"));
        assert!(self.bridge.process.is_running(), "{what}: xbr ended");
        for station in [&self.one as &dyn Station, &self.two, outside] {
            assert_eq!(checksum_errors(station).unwrap(), 0, "{what}: at {}", station.title());
        }
    }

    /// Does something to the first guest while it is watched from outside.
    fn case(&self, what: &str, act: impl FnOnce()) {
        let watch = Watch::begin(self.outside(), ONE.v4());
        act();
        let seen = watch.end();
        println!("{what}: {} of {} pings lost, {:?} without an answer", seen.lost, seen.sent, seen.gap);
        self.flows(what);
    }

    fn tells(&self, words: &[&str]) {
        let told = wait_until(Duration::from_secs(5), || {
            self.monitor.stdout_text().lines().any(|line| words.iter().all(|word| line.contains(word)))
        });
        assert!(told, "no event with {words:?}: {}", self.monitor);
    }
}

fn scene() -> Option<Scene> {
    require_guests(Kernel::Newest).then(Scene::set)
}

#[test]
fn it_reboots_and_changes() {
    let Some(scene) = scene() else { return };
    let one = &scene.one;
    scene.flows("at first");

    scene.case("a reboot", || {
        one.sh("(sleep 0.2; reboot -f) >/dev/null 2>&1 &").unwrap();
        one.wait_ready();
        ONE.address(one, "eth0").unwrap();
    });

    scene.case("offloads off", || drop(one.sh("ethtool -K eth0 tx off tso off gso off gro off").unwrap()));
    scene.case("offloads on", || drop(one.sh("ethtool -K eth0 tx on tso on gso on gro on").unwrap()));

    // Neighbours go by their ARP entries, whatever the switch knows, so whoever changes an address announces it.
    let other = Mac::numbered(99);
    one.sh("echo 1 >/proc/sys/net/ipv4/conf/eth0/arp_notify").unwrap();
    scene.case("another MAC address", || {
        one.sh(&format!("/sbin/ip link set eth0 address {other} && /sbin/ip link set eth0 up")).unwrap();
    });
    scene.tells(&["learned", &other.to_string(), "vm1"]);
    scene.case("the former one again", || {
        one.sh(&format!("/sbin/ip link set eth0 address {}", ONE.mac())).unwrap();
    });

    scene.case("two cards in a bond", || {
        one.sh(&format!(
            "modprobe bonding max_bonds=0; /sbin/ip link add bond0 type bond mode active-backup miimon 50 \
             num_grat_arp 3 && /sbin/ip addr flush dev eth0 && for d in eth0 eth1; do /sbin/ip link set $d down; \
             /sbin/ip link set $d master bond0; done && /sbin/ip link set bond0 up && \
             /sbin/ip addr add {}/24 brd + dev bond0",
            ONE.v4()
        ))
        .unwrap();
    });
    scene.case("the bond fails over", || {
        one.sh("echo eth1 >/sys/class/net/bond0/bonding/active_slave").unwrap();
    });
    scene.tells(&["moved", &ONE.mac().to_string(), "spare"]);
}

#[test]
fn it_has_a_bridge_of_its_own() {
    if !require_full() {
        return;
    }
    let Some(scene) = scene() else { return };
    let nested = Seat(40);
    let (one, two) = (&scene.one, &scene.two);
    // A container in the guest, behind the guest's own bridge.
    one.sh(&format!(
        "modprobe bridge; modprobe veth; mkdir -p /run/netns; /sbin/ip netns add in && /sbin/ip link add br0 type bridge && \
         /sbin/ip link add v0 type veth peer name eth0 netns in && /sbin/ip addr flush dev eth0 && \
         /sbin/ip link set v0 master br0 up && /sbin/ip link set eth0 master br0 && /sbin/ip link set br0 up && \
         /sbin/ip addr add {}/24 brd + dev br0 && /sbin/ip -n in addr add {}/24 dev eth0 && /sbin/ip -n in link set eth0 up",
        ONE.v4(),
        nested.v4()
    ))
    .unwrap();
    scene.flows("a guest's own bridge");
    let inside = Inside::of(one, "in");
    reach(two, &inside, nested.v4().into(), MIB).unwrap();
    reach(&inside, two, TWO.v4().into(), MIB).unwrap();
    reach(scene.segment.host(), &inside, nested.v4().into(), MIB).unwrap();
    assert_eq!(checksum_errors(&inside).unwrap(), 0);
}

#[test]
fn it_ends_tunnels() {
    let Some(scene) = scene() else { return };
    let kinds = [
        ("vxlan", "type vxlan id 5 dstport 4789 local L remote R"),
        ("geneve", "type geneve id 5 remote R"),
        ("gre", "type gre local L remote R"),
        ("gretap", "type gretap local L remote R"),
        ("ipip", "type ipip local L remote R"),
    ];
    // One whose outer checksum is whole, and one without any.
    let short = ["vxlan", "gre"];
    for (number, (name, words)) in kinds.iter().enumerate() {
        if full() || short.contains(name) {
            tunnel(&scene, name, words, 1 + number as u8);
        }
    }
    if !full() {
        return;
    }
    // Two tags, the outer one the provider's.
    for (vm, seat) in [(&scene.one, ONE), (&scene.two, TWO)] {
        vm.sh(&format!(
            "modprobe 8021q; /sbin/ip link add s0 link eth0 type vlan protocol 802.1ad id 100 && \
             /sbin/ip link add c0 link s0 type vlan id 7 && /sbin/ip link set s0 up && /sbin/ip link set c0 up && \
             /sbin/ip addr add 10.79.20.{}/24 dev c0",
            seat.0
        ))
        .unwrap();
    }
    through(&scene, "QinQ", 20);
}

fn tunnel(scene: &Scene, name: &str, words: &str, number: u8) {
    for (vm, from, to) in [(&scene.one, ONE, TWO), (&scene.two, TWO, ONE)] {
        let words = words.replace('L', &from.v4().to_string()).replace('R', &to.v4().to_string());
        vm.sh(&format!(
            "modprobe {}; /sbin/ip link add t0 {words} && /sbin/ip link set t0 up && \
             /sbin/ip addr add 10.79.{number}.{}/24 dev t0",
            if name == "gre" || name == "gretap" { "ip_gre" } else { name },
            from.0
        ))
        .unwrap_or_else(|e| panic!("{name}: {e:#}"));
    }
    through(scene, name, number);
    for vm in [&scene.one, &scene.two] {
        vm.sh("/sbin/ip link del t0").unwrap();
    }
}

/// TCP inside a tunnel, both ways.
fn through(scene: &Scene, name: &str, number: u8) {
    let at = |seat: Seat| IpAddr::from([10, 79, number, seat.0]);
    reach(&scene.one, &scene.two, at(TWO), MIB).unwrap_or_else(|e| panic!("{name}: {e:#}"));
    reach(&scene.two, &scene.one, at(ONE), MIB).unwrap_or_else(|e| panic!("{name}: {e:#}"));
    for vm in [&scene.one, &scene.two] {
        assert_eq!(checksum_errors(vm).unwrap(), 0, "{name}: at {}", vm.name());
    }
    println!("{name}: ping and TCP, both ways, no wrong checksum");
}

/// QEMU ends, and another comes: with no header, then with another number of queues.
#[test]
fn qemu_comes_back() {
    if !require_full() {
        return;
    }
    if !require_guests(Kernel::Newest) {
        return;
    }
    let segment = Segment::builder().build();
    let host = segment.host().ns.clone();
    let bridge = Xbr::run(XBR, &host, "--uplink eth0");
    bridge.text("tap add vm1 --multi-queue");
    let monitor = bridge.monitor();
    let nics: [(&str, Nic); 4] = [
        ("as it comes", Nic::tap("vm1").queues(2)),
        ("without a header", Nic::tap("vm1").queues(2).no_vnet_hdr()),
        ("without offloads", Nic::tap("vm1").queues(2).no_offloads()),
        ("with four queues", Nic::tap("vm1").queues(4)),
    ];
    for (what, nic) in nics {
        let vm = Vm::builder("vm1").cpus(2).nic(nic.mac(ONE.mac())).start(&host);
        ONE.address(&vm, "eth0").unwrap();
        reach(&vm, segment.outside(), segment.outside().v4.into(), MIB)
            .unwrap_or_else(|e| panic!("{what}: {e:#}"));
        reach(segment.outside(), &vm, ONE.v4().into(), MIB).unwrap_or_else(|e| panic!("{what}: {e:#}"));
        reach(segment.host(), &vm, ONE.v4().into(), MIB).unwrap_or_else(|e| panic!("{what}: {e:#}"));
        assert_eq!(checksum_errors(&vm).unwrap(), 0, "{what}");
        println!("{what}: {}", bridge.port("vm1")["hook"]);
        drop(vm);
        monitor.wait_line("port-down", Duration::from_secs(5));
    }
}

#[test]
fn live_migration_loses_no_connection() {
    if !require_guests(Kernel::Newest) {
        return;
    }
    let segment = Segment::builder().build();
    let host = segment.host().ns.clone();
    let bridge = Xbr::run(XBR, &host, "--uplink eth0 --tap vm1 --tap there");
    let monitor = bridge.monitor();
    let nic = |tap: &str| Nic::tap(tap).mac(ONE.mac());
    let here = Vm::builder("here").nic(nic("vm1")).start(&host);
    ONE.address(&here, "eth0").unwrap();
    let there = Vm::builder("there").nic(nic("there")).incoming(4444).launch(&host);

    // A connection that lasts: a line each 50 ms from the guest, over the whole migration.
    let outside = segment.outside();
    let receiver = outside
        .start("d=$(mktemp -d); mkfifo $d/f; exec 3<>$d/f; rm -r $d; busybox nc -l -p 7000 <&3")
        .unwrap();
    let lines = 200;
    here.sh(&format!(
        "(sleep 1; i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; sleep 0.05; done | \
         nc {} 7000 >/dev/null 2>&1 &)",
        outside.v4
    ))
    .unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let watch = Watch::begin(&outside.ns, ONE.v4());
    let took = here.migrate(&there).unwrap();
    let seen = watch.end();
    println!(
        "live migration in {took:?}: {} of {} pings lost, {:?} without an answer",
        seen.lost, seen.sent, seen.gap
    );
    let received = receiver.finish(Duration::from_secs(60)).unwrap();
    let wanted: Vec<String> = (1..=lines).map(|number| format!("line {number}")).collect();
    assert_eq!(received.lines().collect::<Vec<_>>(), wanted, "the connection did not live through it");
    monitor.wait_line("\"moved\"", Duration::from_secs(5));
    assert_eq!(bridge.station(ONE.mac()).expect("the guest's station")["ifname"], "there");
    drop(here);
    reach(outside, &there, ONE.v4().into(), MIB).unwrap();
    assert_eq!(checksum_errors(&there).unwrap(), 0);
}
