//! Two guests on TAPs, a third one beyond the uplink, and the host.

use std::net::IpAddr;

use xbr_lab::vm::{Kernel, Member, Nic, Seat, Station, Vm, all_reach, checksum_errors, reach, throughput};
use xbr_lab::{LinuxBridge, Namespace, Node, Segment, Xbr};

use super::XBR;

const SEATS: [Seat; 2] = [Seat(1), Seat(2)];

/// What the guests may leave to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offloads {
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
pub struct Scene {
    pub segment: Segment,
    vms: Vec<Vm>,
    far: Vm,
    offloads: Offloads,
}

const FAR: Seat = Seat(9);

impl Scene {
    pub fn set(offloads: Offloads, kernel: Kernel, mtu: u32) -> Scene {
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

    pub fn host(&self) -> &Node {
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
    pub fn works_by(&self, words: &str, bytes: u64, what: &str) {
        let bridge = self.xbr(words);
        self.works(bytes);
        println!("{what} {words}: everyone reaches everyone, no wrong checksum");
        bridge.stop();
    }

    /// Bulk TCP, in bits a second, on the paths that operators ask about.
    pub fn rates(&self, seconds: u32) -> [f64; 4] {
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
    pub fn all_rates(&self) -> [f64; 5] {
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

    pub fn xbr(&self, words: &str) -> Xbr {
        let bridge = Xbr::run(XBR, &self.host().ns, &format!("--uplink eth0 --port vm1 --port vm2 {words}"));
        bridge.wait_forwarding();
        bridge
    }
}
