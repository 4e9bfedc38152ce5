//! TCP between guests, the host and the outside, whatever offloads the guests have: checksums are right, and it is no slower
//! than through a Linux bridge. The guests stay; the switch between them changes.
//!
//! `cargo xtask test --full` runs every row, CI one.

use std::net::IpAddr;

use xbr_lab::vm::{
    Kernel, Member, Nic, Seat, Station, Vm, all_reach, checksum_errors, full, median, reach, require_full,
    require_guests, throughput,
};
use xbr_lab::{LinuxBridge, Namespace, Node, Segment, Xbr};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const MIB: u64 = 1 << 20;
const SEATS: [Seat; 2] = [Seat(1), Seat(2)];

/// What the guests may leave to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Offloads {
    /// As QEMU and virtio-net come.
    Default,
    /// None, says the device.
    Device,
    /// None, says the guest's ethtool.
    Ethtool,
    /// None, since there is no header between QEMU and TAP.
    NoHeader,
}

/// Two guests on TAPs of the host's namespace, and a third one beyond the uplink, so that tags can go everywhere.
struct Scene {
    segment: Segment,
    vms: Vec<Vm>,
    far: Vm,
    offloads: Offloads,
}

const FAR: Seat = Seat(9);

impl Scene {
    fn set(offloads: Offloads, kernel: Kernel, mtu: u32) -> Scene {
        let segment = Segment::builder().mtu(mtu).build();
        let host = segment.host().ns.clone();
        let outside = segment.outside().ns.clone();
        let nic = |name: &str, seat: Seat| {
            let nic = Nic::tap(name).mac(seat.mac()).device(&format!("host_mtu={mtu}"));
            match offloads {
                Offloads::Device => nic.no_offloads(),
                Offloads::NoHeader => nic.no_vnet_hdr(),
                Offloads::Default | Offloads::Ethtool => nic,
            }
        };
        let header = if offloads == Offloads::NoHeader { "" } else { "vnet_hdr" };
        let launch = |ns: &Namespace, name: &str, seat: Seat, header: &str, nic: Nic| {
            ns.ip(&format!("tuntap add dev {name} mode tap {header}"));
            ns.ip(&format!("link set {name} mtu {mtu} up"));
            ns.sysctl(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1");
            let _ = seat;
            Vm::builder(name).kernel(kernel).nic(nic).launch(ns)
        };
        let vms: Vec<Vm> = [("vm1", SEATS[0]), ("vm2", SEATS[1])]
            .map(|(name, seat)| launch(&host, name, seat, header, nic(name, seat)))
            .into();
        // Beyond the uplink is a Linux bridge, which takes the outside's address as it does on a host.
        let plain = Nic::tap("far").mac(FAR.mac()).device(&format!("host_mtu={mtu}"));
        let far = launch(&outside, "far", FAR, "vnet_hdr", plain);
        std::mem::forget(LinuxBridge::over(segment.outside(), mtu, &["far"]));
        let scene = Scene { segment, vms, far, offloads };
        scene.address();
        scene
    }

    fn address(&self) {
        for (vm, seat) in self.guests() {
            vm.wait_ready();
            seat.address(vm, "eth0").unwrap();
            // A VLAN on top, in which the guests have addresses of their own.
            vm.sh(&format!(
                "modprobe 8021q; /sbin/ip link add link eth0 name eth0.7 type vlan id 7 && /sbin/ip link set eth0.7 up && \
                 /sbin/ip addr add 10.78.0.{}/24 dev eth0.7",
                seat.0
            ))
            .unwrap();
        }
        if self.offloads == Offloads::Ethtool {
            for vm in &self.vms {
                vm.sh("ethtool -K eth0 tx off rx off tso off gso off gro off").unwrap();
            }
        }
    }

    fn guests(&self) -> [(&Vm, Seat); 3] {
        [(&self.vms[0], SEATS[0]), (&self.vms[1], SEATS[1]), (&self.far, FAR)]
    }

    fn host(&self) -> &Node {
        self.segment.host()
    }

    fn members(&self) -> Vec<Member<'_>> {
        let guests = self.guests().map(|(vm, seat)| Member::guest(vm, seat));
        guests.into_iter().chain([self.host().into()]).collect()
    }

    /// Both ways between every two of the four, by both families, and between guests with a tag.
    fn works(&self, bytes: u64) {
        let members = self.members();
        let before: Vec<u64> =
            members.iter().map(|member| checksum_errors(member.station).unwrap()).collect();
        all_reach(&members, bytes).unwrap();
        for (from, a) in self.guests() {
            for (to, b) in self.guests().into_iter().filter(|(_, b)| *b != a) {
                let address: IpAddr = [10, 78, 0, b.0].into();
                reach(from, to, address, bytes).unwrap_or_else(|e| panic!("with a tag: {e:#}"));
            }
        }
        for (member, before) in members.iter().zip(before) {
            let bad = checksum_errors(member.station).unwrap() - before;
            assert_eq!(bad, 0, "{bad} wrong checksums at {}", member.station.title());
        }
    }

    /// [`Self::works`] by an xbr of its own.
    fn works_by(&self, words: &str, bytes: u64, what: &str) {
        let bridge = self.xbr(words);
        self.works(bytes);
        println!("{what} {words}: everyone reaches everyone, no wrong checksum");
        bridge.stop();
    }

    /// Bulk TCP, in bits a second, on the paths that operators ask about.
    fn rates(&self, seconds: u32) -> [f64; 4] {
        let [(one, _), (two, at), (far, _)] = self.guests();
        let host = self.host();
        let ways: [(&dyn Station, &dyn Station, IpAddr); 4] = [
            (one, two, at.v4().into()),
            (one, host, host.v4.into()),
            (host, two, at.v4().into()),
            (far, two, at.v4().into()),
        ];
        ways.map(|(from, to, address)| throughput(from, to, address, seconds).unwrap())
    }

    /// [`Self::rates`], and 60-byte frames a second from one guest to the other, as that has counted them.
    fn all_rates(&self) -> [f64; 5] {
        let [a, b, c, d] = self.rates(2);
        let [(one, _), (two, at), _] = self.guests();
        let received = || -> f64 {
            two.sh("cat /sys/class/net/eth0/statistics/rx_packets").unwrap().trim().parse().unwrap()
        };
        let before = received();
        let set: String = ["count 0", "pkt_size 60", "dst 10.77.0.12", &format!("dst_mac {}", at.mac())]
            .map(|word| format!("echo '{word}' >eth0; "))
            .concat();
        one.sh(&format!(
            "modprobe pktgen; cd /proc/net/pktgen; echo rem_device_all >kpktgend_0; echo add_device eth0 >kpktgend_0; \
             {set} (sleep 3; echo stop >pgctrl) & cd /proc/net/pktgen; echo start >pgctrl; wait"
        ))
        .unwrap();
        [a, b, c, d, (received() - before) / 3.0]
    }

    fn xbr(&self, words: &str) -> Xbr {
        let bridge = Xbr::run(XBR, &self.host().ns, &format!("--uplink eth0 --port vm1 --port vm2 {words}"));
        bridge.wait_forwarding();
        bridge
    }
}

const WAYS: [&str; 4] = ["guest→guest", "guest→host", "host→guest", "outside→guest"];

/// xbr and a Linux bridge in turns, on the same guests; now the one is first and now the other, since what runs beside comes and goes.
fn compare(scene: &Scene, words: &str, rounds: usize, what: &str) {
    let ours = || {
        let bridge = scene.xbr(words);
        let rates = scene.rates(2);
        bridge.stop();
        rates
    };
    let theirs = || {
        let _bridge = LinuxBridge::over(scene.host(), scene.segment.mtu(), &["vm1", "vm2"]);
        scene.rates(2)
    };
    let mut ratios: [Vec<f64>; 4] = Default::default();
    for round in 0..rounds {
        let (ours, theirs) = if round % 2 == 0 {
            let ours = ours();
            (ours, theirs())
        } else {
            let theirs = theirs();
            (ours(), theirs)
        };
        for ((ratios, ours), theirs) in ratios.iter_mut().zip(ours).zip(theirs) {
            ratios.push(ours / theirs);
        }
    }
    // The machine is shared, and a single round is no measurement: what must not be is a path that has fallen off.
    let floor = if full() { 0.95 } else { 0.5 };
    let mut slow = Vec::new();
    for (way, ratios) in WAYS.iter().zip(ratios) {
        let (middle, low, high) = median(ratios);
        println!("{what} {words:12} {way:14} to a Linux bridge: {middle:.2} ({low:.2} to {high:.2})");
        if middle < floor {
            slow.push(format!("{way} at {middle:.2}"));
        }
    }
    assert!(slow.is_empty(), "{what} {words}: of a Linux bridge, {}", slow.join(", "));
}

/// What `auto` is to choose for a TAP with vnet_hdr: bulk TCP and small frames by tc and by XDP, to a Linux bridge. A figure, no proof:
/// only a full run makes it, and it fails only if what it would prefer is the wrong way round by far.
#[test]
fn what_each_hook_is_good_for() {
    if !require_full() || !require_guests(Kernel::V6_12) {
        return;
    }
    let scene = Scene::set(Offloads::Default, Kernel::V6_12, 1500);
    let mut ratios: [[Vec<f64>; 5]; 2] = Default::default();
    for _ in 0..5 {
        let [tc, xdp] = ["--prefer throughput", "--prefer packets"].map(|words| {
            let bridge = scene.xbr(words);
            let rates = scene.all_rates();
            bridge.stop();
            rates
        });
        let bridge = LinuxBridge::over(scene.host(), 1500, &["vm1", "vm2"]);
        let theirs = scene.all_rates();
        drop(bridge);
        for (ratios, ours) in ratios.iter_mut().zip([tc, xdp]) {
            for ((ratios, ours), theirs) in ratios.iter_mut().zip(ours).zip(theirs) {
                ratios.push(ours / theirs);
            }
        }
    }
    for (name, ratios) in ["throughput (tc)", "packets (xdp)"].iter().zip(&ratios) {
        for (way, ratios) in WAYS.iter().chain(&["small frames"]).zip(ratios) {
            let (middle, low, high) = median(ratios.clone());
            println!("prefer {name:16} {way:14} to a Linux bridge: {middle:.2} ({low:.2} to {high:.2})");
        }
    }
    let [bulk_tc, bulk_xdp] = ratios.map(|ratios| median(ratios[0].clone()).0);
    assert!(bulk_tc > 0.7 * bulk_xdp, "bulk TCP is far faster by XDP: auto is wrong");
}

/// Whether it works, with every hook.
fn row(offloads: Offloads, mtu: u32) {
    let kernel = if full() { Kernel::V6_12 } else { Kernel::Newest };
    if !require_guests(kernel) {
        return;
    }
    let scene = Scene::set(offloads, kernel, mtu);
    let what = format!("{offloads:?} MTU {mtu}");
    if !full() {
        scene.works_by("", MIB / 2, &what);
        compare(&scene, "", 1, &what);
        return;
    }
    for hook in ["", "--hook xdp", "--hook tc"] {
        scene.works_by(hook, 2 * MIB, &what);
    }
}

/// How fast it is, with the hook that is chosen.
fn rates(offloads: Offloads, mtu: u32) {
    if require_full() && require_guests(Kernel::V6_12) {
        let scene = Scene::set(offloads, Kernel::V6_12, mtu);
        compare(&scene, "", 6, &format!("{offloads:?} MTU {mtu}"));
    }
}

#[test]
fn by_default() {
    row(Offloads::Default, 1500);
}

/// The rows that only a full run has.
fn more(offloads: Offloads, mtu: u32) {
    if require_full() {
        row(offloads, mtu);
    }
}

#[test]
fn by_default_jumbo() {
    more(Offloads::Default, 9000);
}

#[test]
fn off_at_the_device() {
    more(Offloads::Device, 1500);
}

#[test]
fn off_at_the_device_jumbo() {
    more(Offloads::Device, 9000);
}

#[test]
fn off_by_ethtool() {
    more(Offloads::Ethtool, 1500);
}

#[test]
fn off_by_ethtool_jumbo() {
    more(Offloads::Ethtool, 9000);
}

#[test]
fn no_header() {
    more(Offloads::NoHeader, 1500);
}

#[test]
fn no_header_jumbo() {
    more(Offloads::NoHeader, 9000);
}

/// A full run's, and to be run with nothing beside.
mod rates_of {
    use super::{Offloads, rates};

    #[test]
    fn defaults() {
        rates(Offloads::Default, 1500);
    }

    #[test]
    fn defaults_jumbo() {
        rates(Offloads::Default, 9000);
    }

    #[test]
    fn off_at_the_device() {
        rates(Offloads::Device, 1500);
    }

    #[test]
    fn off_at_the_device_jumbo() {
        rates(Offloads::Device, 9000);
    }

    #[test]
    fn off_by_ethtool() {
        rates(Offloads::Ethtool, 1500);
    }

    #[test]
    fn off_by_ethtool_jumbo() {
        rates(Offloads::Ethtool, 9000);
    }

    #[test]
    fn no_header() {
        rates(Offloads::NoHeader, 1500);
    }

    #[test]
    fn no_header_jumbo() {
        rates(Offloads::NoHeader, 9000);
    }
}
