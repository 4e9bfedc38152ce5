//! Real guests on TAPs that xbr made.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::ensure;
use xbr_lab::dhcp::Server;
use xbr_lab::vm::{
    Kernel, Member, Nic, Seat, Vm, all_reach, checksum_errors, full, reach, require_full, require_guests,
};
use xbr_lab::{Namespace, Segment, Xbr, wait_until};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const MIB: u64 = 1 << 20;
const SEATS: [Seat; 2] = [Seat(1), Seat(2)];

/// A bridge with two guests, which have no addresses yet.
fn scene(words: &str) -> (Segment, Xbr, [Vm; 2]) {
    on(Segment::builder().build(), words)
}

fn on(segment: Segment, words: &str) -> (Segment, Xbr, [Vm; 2]) {
    let host = &segment.host().ns;
    let bridge = Xbr::run(XBR, host, &format!("--uplink eth0 --tap vm1 --tap vm2 {words}"));
    let vms = SEATS.map(|seat| {
        let name = format!("vm{}", seat.0);
        Vm::builder(&name).nic(Nic::tap(&name).mac(seat.mac())).launch(host)
    });
    vms.iter().for_each(Vm::wait_ready);
    bridge.wait_forwarding();
    (segment, bridge, vms)
}

#[test]
fn everyone_reaches_everyone() {
    if !require_guests(Kernel::Newest) {
        return;
    }
    for words in ["", "--prefer packets"] {
        let (segment, bridge, vms) = scene(words);
        for (vm, seat) in vms.iter().zip(SEATS) {
            seat.address(vm, "eth0").unwrap();
        }
        let hook = if words.is_empty() { "tc" } else { "xdp" };
        assert_eq!(bridge.port("vm1")["hook"], hook);
        let members: [Member; 4] = [
            Member::guest(&vms[0], SEATS[0]),
            Member::guest(&vms[1], SEATS[1]),
            segment.host().into(),
            segment.outside().into(),
        ];
        all_reach(&members, MIB / 2).unwrap();
        for member in members {
            assert_eq!(checksum_errors(member.station).unwrap(), 0, "at {}", member.station.title());
        }
        for seat in SEATS {
            let station = bridge.station(seat.mac()).expect("a guest is in the FDB");
            assert_eq!(station["ifname"], format!("vm{}", seat.0));
        }
        bridge.stop();
    }
}

/// udhcpc reads raw frames and checks UDP's checksum, which the server's kernel leaves unfinished.
#[test]
fn leases_arrive_with_offloads_on() {
    if !require_guests(Kernel::Newest) {
        return;
    }
    let (segment, _bridge, vms) = scene("");
    for (server, first, vm) in [
        (segment.host(), Ipv4Addr::new(10, 77, 0, 100), &vms[0]),
        (segment.outside(), Ipv4Addr::new(10, 77, 0, 200), &vms[1]),
    ] {
        let serves = Server::start(server, first);
        vm.sh("/sbin/ip link set eth0 up && udhcpc -f -q -n -t 10 -T 1 -i eth0 -s /sbin/lease").unwrap();
        let lease: Ipv4Addr = vm.sh("cat /run/lease.eth0").unwrap().trim().parse().unwrap();
        assert_eq!(lease, first, "{}", vm.name());
        drop(serves);
        reach(vm, server, server.v4.into(), MIB).unwrap();
        reach(server, vm, lease.into(), MIB).unwrap();
    }
    for vm in &vms {
        assert_eq!(checksum_errors(vm).unwrap(), 0, "{}", vm.name());
    }
}

/// pktgen's own count, the guests' devices and xbr's counters, to the frame.
#[test]
fn pktgen_counts_agree() {
    if !require_guests(Kernel::Newest) {
        return;
    }
    let hooks = ["--hook xdp", "--hook tc"];
    for words in if full() { &hooks[..] } else { &hooks[..1] } {
        // QEMU filters groups that its guest has not joined, which would be frames that nobody counts.
        // And what goes over a limit makes suspicious: the guest would receive probes, which count nowhere as sent.
        let words = format!("{words} --loop-detect off");
        let (_segment, bridge, vms) = on(Segment::builder().quiet().build(), &words);
        let [from, to] = &vms;
        for vm in &vms {
            vm.sh("echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6; /sbin/ip link set eth0 up; modprobe pktgen").unwrap();
        }
        // In hand over hand, and as fast as it goes: the second fills the receiver's ring.
        for (count, delay) in [(2000, 200_000), (20_000, 0)] {
            let before = Counts::settled(&bridge, from, to);
            let report = from.sh_within(Duration::from_secs(120), &pktgen(count, delay)).unwrap();
            let after = Counts::settled(&bridge, from, to);
            assert!(report.contains(&format!("pkts-sofar: {count}  errors: 0")), "{report}");
            let delta = after.minus(before);
            println!("{words}, {count} frames, {delay} ns apart: {delta:?}");
            assert!(delta.sent >= count, "{delta:?}");
            assert_eq!(delta.came_in, delta.sent, "{words}: what the guest sent is what came in: {delta:?}");
            assert_eq!(delta.went_out + delta.dropped, delta.came_in, "{words}: {delta:?}");
            assert_eq!(delta.received + delta.refused, delta.went_out, "{words}: {delta:?}");
        }
        bridge.stop();
    }
}

fn pktgen(count: u64, delay: u64) -> String {
    let words = [
        format!("count {count}"),
        format!("delay {delay}"),
        "pkt_size 60".into(),
        "dst 10.77.0.12".into(),
        format!("dst_mac {}", SEATS[1].mac()),
    ];
    let set: String = words.iter().map(|word| format!("echo '{word}' >/proc/net/pktgen/eth0; ")).collect();
    format!(
        "cd /proc/net/pktgen; echo rem_device_all >kpktgend_0; echo add_device eth0 >kpktgend_0; {set} \
         echo start >pgctrl; cat eth0"
    )
}

/// Frames on the way from one guest to the other, as each place has counted them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Counts {
    /// By the sending guest's device.
    sent: u64,
    /// By xbr, at the sender's port.
    came_in: u64,
    /// By xbr, with a reason, at that port.
    dropped: u64,
    /// By xbr, towards the receiver's port.
    went_out: u64,
    /// By the receiver's TAP, since its ring was full.
    refused: u64,
    /// By the receiving guest's device.
    received: u64,
}

impl Counts {
    fn now(bridge: &Xbr, from: &Vm, to: &Vm) -> Counts {
        let device = |vm: &Vm, name: &str| -> u64 {
            vm.sh(&format!("cat /sys/class/net/eth0/statistics/{name}")).unwrap().trim().parse().unwrap()
        };
        let (one, two) = (bridge.stats("vm1"), bridge.stats("vm2"));
        let number = |value: &serde_json::Value| value.as_u64().unwrap();
        Counts {
            sent: device(from, "tx_packets"),
            came_in: number(&one["rx"]["packets"]),
            dropped: one["drops"].as_object().unwrap().values().map(number).sum(),
            went_out: number(&two["tx"]["packets"]),
            refused: number(&two["device_refused"]).max(number(&two["device_tx_dropped"])),
            received: device(to, "rx_packets"),
        }
    }

    /// When nothing moves any more.
    fn settled(bridge: &Xbr, from: &Vm, to: &Vm) -> Counts {
        let mut last = Counts::now(bridge, from, to);
        let still = wait_until(Duration::from_secs(30), || {
            std::thread::sleep(Duration::from_millis(500));
            let now = Counts::now(bridge, from, to);
            std::mem::replace(&mut last, now) == now
        });
        assert!(still, "the counters never rest");
        last
    }

    fn minus(self, before: Counts) -> Counts {
        Counts {
            sent: self.sent - before.sent,
            came_in: self.came_in - before.came_in,
            dropped: self.dropped - before.dropped,
            went_out: self.went_out - before.went_out,
            refused: self.refused - before.refused,
            received: self.received - before.received,
        }
    }
}

/// The line to a guest's agent loses nothing, however busy the machine is and whatever its commands leave behind: the end of an orphan
/// is a signal to the guest's first process.
#[test]
fn commands_arrive_on_a_busy_machine() {
    const COMMANDS: usize = 200;
    if !require_full() {
        return;
    }
    for kernel in Kernel::ALL.into_iter().filter(|kernel| require_guests(*kernel)) {
        let vm = Vm::builder("busy").kernel(kernel).start(&Namespace::new("host"));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !over.load(Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let began = Instant::now();
            let outcome = (0..COMMANDS).try_for_each(|number| {
                // Long enough for several fills of the line's buffers.
                let said = format!("{}{number}", "x".repeat(number));
                let heard = vm.sh(&format!("(sleep 0.0{} &); echo {said}; (sleep 0.1 &)", number % 10))?;
                ensure!(heard.trim_end() == said, "{heard} instead of {said}");
                Ok(())
            });
            over.store(true, Relaxed);
            outcome.unwrap_or_else(|error| panic!("{kernel:?}: {error:#}"));
            println!("{kernel:?}: {COMMANDS} commands in {:?}", began.elapsed());
        });
    }
}
