//! Guests with two cards, of which one leads to xbr and the other to a Linux bridge: both switches run all the time, and turns at them
//! are a fraction of a second long.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use xbr_lab::vm::{Kernel, Nic, Seat, Vm};
use xbr_lab::{
    Bulk, Enough, LinuxBridge, Mac, Namespace, Segment, Xbr, bulk, keep_on_processor, on_processor,
    processors, serve_bulk,
};

use super::{XBR, scene::Offloads};

const PORT: u16 = 7400;
const ONE: Seat = Seat(1);
const TWO: Seat = Seat(2);
const FAR: Seat = Seat(9);
/// A way takes about a minute at most.
const ENOUGH: Enough = Enough { least: 12, most: 45, error: 0.01 };

/// Where somebody is beside the Linux bridge, who has `address` beside xbr.
fn beside(address: Ipv4Addr) -> Ipv4Addr {
    let [_, _, _, last] = address.octets();
    Ipv4Addr::new(10, 88, 0, last)
}

/// Two segments alike, and guests that are on both.
pub struct Sides {
    ours: Segment,
    theirs: Segment,
    one: Vm,
    two: Vm,
    far: Vm,
    xbr: Xbr,
    _bridges: [LinuxBridge; 3],
}

impl Sides {
    pub fn set(offloads: Offloads, kernel: Kernel, mtu: u32) -> Sides {
        let ours = Segment::builder().mtu(mtu).build();
        let theirs = Segment::builder().mtu(mtu).quiet().build();
        let (host, outside) = (&ours.host().ns, &ours.outside().ns);
        let one = launch(host, "vm1", ONE, offloads, kernel, mtu);
        let two = launch(host, "vm2", TWO, offloads, kernel, mtu);
        let far = launch(outside, "far", FAR, Offloads::Default, kernel, mtu);
        for (vm, seat) in [(&one, ONE), (&two, TWO), (&far, FAR)] {
            prepare(vm, seat, seat != FAR && offloads == Offloads::Ethtool);
        }
        // QEMU has them open by now, in the only namespace that it knows.
        for (from, to, names) in
            [(host, &theirs.host().ns, &["vm1", "vm2"][..]), (outside, &theirs.outside().ns, &["far"])]
        {
            for name in names {
                from.ip(&format!("link set {name}b netns {} name {name}", to.path().display()));
            }
        }
        // Beyond the uplinks are Linux bridges, which take the outside's address as they do on a host.
        let bridges = [
            LinuxBridge::over(ours.outside(), mtu, &["far"]),
            LinuxBridge::over(theirs.outside(), mtu, &["far"]),
            LinuxBridge::over(theirs.host(), mtu, &["vm1", "vm2"]),
        ];
        theirs.host().ns.ip(&format!("addr add {}/24 dev br0", beside(ours.host().v4)));
        let xbr = Xbr::run(XBR, host, "--uplink eth0 --port vm1 --port vm2");
        xbr.wait_forwarding();
        let sides = Sides { ours, theirs, one, two, far, xbr, _bridges: bridges };
        sides.stay_on_processors();
        sides.serve();
        sides
    }

    /// Both ends of a transfer have a processor each: two of the guests never talk to each other.
    fn stay_on_processors(&self) {
        for (vm, processor) in [(&self.one, first()), (&self.two, last()), (&self.far, first())] {
            keep_on_processor(vm.qemu().pid(), processor);
        }
    }

    fn serve(&self) {
        self.two.sh(&format!("(bulk serve {PORT} >/tmp/bulk 2>&1 &)")).unwrap();
        let there = "i=0; until grep -q listening /tmp/bulk; do i=$((i+1)); [ $i -lt 100 ] || exit 1; sleep 0.1; done";
        self.two.sh(there).unwrap();
        on_processor(last(), || {
            for segment in [&self.ours, &self.theirs] {
                let ns = &segment.host().ns;
                idle_as_busy(ns);
                let listener = ns.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap());
                ns.spawn(move || serve_bulk(&listener));
            }
        });
    }

    /// Bulk TCP through xbr to that through a Linux bridge, on the paths that operators ask about.
    pub fn compare(&self) -> [Bulk; 4] {
        let host = self.ours.host().v4;
        [
            by_guest(&self.one, TWO.v4()),
            by_guest(&self.one, host),
            self.by_host(TWO.v4()),
            by_guest(&self.far, TWO.v4()),
        ]
    }

    fn by_host(&self, to: Ipv4Addr) -> Bulk {
        let connect = |segment: &Segment, to: Ipv4Addr| {
            segment.host().ns.run(|| TcpStream::connect(SocketAddr::from((to, PORT))).unwrap())
        };
        let [first_one, second] = [connect(&self.theirs, beside(to)), connect(&self.ours, to)];
        on_processor(first(), || bulk(&first_one, &second, ENOUGH).unwrap())
    }

    pub fn end(self) {
        self.xbr.stop();
    }
}

fn launch(ns: &Namespace, name: &str, seat: Seat, offloads: Offloads, kernel: Kernel, mtu: u32) -> Vm {
    let mut builder =
        Vm::builder(name).kernel(kernel).program(env!("CARGO_BIN_EXE_xbr-lab-bulk"), "/bin/bulk");
    let header = if offloads == Offloads::NoHeader { "" } else { "vnet_hdr" };
    for (tap, mac) in
        [(name.to_owned(), seat.mac()), (format!("{name}b"), Mac::numbered(0x200 + u32::from(seat.0)))]
    {
        ns.ip(&format!("tuntap add dev {tap} mode tap {header}"));
        ns.ip(&format!("link set {tap} mtu {mtu} up"));
        ns.sysctl(&format!("net/ipv6/conf/{tap}/disable_ipv6"), "1");
        let nic = Nic::tap(&tap).mac(mac).device(&format!("host_mtu={mtu}"));
        builder = builder.nic(match offloads {
            Offloads::Device => nic.no_offloads(),
            Offloads::NoHeader => nic.no_vnet_hdr(),
            Offloads::Default | Offloads::Ethtool => nic,
        });
    }
    builder.launch(ns)
}

/// Addresses of a guest on both segments.
fn prepare(vm: &Vm, seat: Seat, without_offloads: bool) {
    vm.wait_ready();
    seat.address(vm, "eth0").unwrap();
    vm.sh(&format!(
        "/sbin/ip link set eth1 up && /sbin/ip addr add {}/24 dev eth1; echo 0 >/proc/sys/net/ipv4/tcp_slow_start_after_idle",
        beside(seat.v4())
    ))
    .unwrap();
    if without_offloads {
        vm.sh("for dev in eth0 eth1; do ethtool -K $dev tx off rx off tso off gso off gro off; done")
            .unwrap();
    }
}

/// A connection that had to wait for its turn goes on as it was.
fn idle_as_busy(ns: &Namespace) {
    ns.sysctl("net/ipv4/tcp_slow_start_after_idle", "0");
}

fn by_guest(vm: &Vm, to: Ipv4Addr) -> Bulk {
    let Enough { least, most, error } = ENOUGH;
    let words = format!("bulk {}:{PORT} {to}:{PORT} {least} {most} {error}", beside(to));
    let text = vm.sh_within(Duration::from_secs(300), &words).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words}: {error}: {text}"))
}

fn first() -> usize {
    processors()[0]
}

fn last() -> usize {
    processors().pop().expect("the one that this runs on")
}
