//! Ways in for guests of libvirt, beside a NAT network of libvirt's whose guests stay where they are.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use xbr_lab::{
    Domain, Helper, Libvirt, Mac, Namespace, Rights, Segment, Snapshot, Xbr, require_libvirt,
    vm::{Kernel, Nic, Seat, Station, Vm, checksum_errors, require_full, send},
    wait_until,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const HELPER: &str = env!("CARGO_BIN_EXE_xbr-bridge-helper-under-test");

/// What every transfer moves, in bytes.
const BYTES: u64 = 256 << 10;

const SOON: Duration = Duration::from_secs(10);

/// The network that libvirt's package defines, without spanning tree, whose timers change by themselves.
const NAT: &str = "<network><name>default</name><bridge name='virbr0' stp='off'/><forward/>
    <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip></network>";

/// The host as it is, with the firewall's rules.
fn picture(ns: &Namespace) -> (Snapshot, String) {
    (Snapshot::take(ns), ns.output("nft -s list ruleset"))
}

#[track_caller]
fn assert_same(before: &(Snapshot, String), after: &(Snapshot, String)) {
    before.0.assert_same(&after.0);
    assert_eq!(before.1, after.1, "the firewall's rules");
}

/// A ping, and TCP whose checksum is compared.
fn reach(from: &dyn Station, to: &dyn Station, address: impl Into<IpAddr>) {
    let address = address.into();
    from.shell(&format!("ping -c 1 -W 5 {address}")).unwrap();
    send(from, to, address, BYTES).unwrap();
}

/// The guest of the NAT network leases an address of libvirt's, and reaches the host, and through it the outside.
struct Natted {
    vm: Vm,
    tap: String,
}

impl Natted {
    fn check(&self, segment: &Segment) {
        let (host, outside) = (segment.host(), segment.outside());
        reach(&self.vm, host, Ipv4Addr::new(192, 168, 122, 1));
        reach(&self.vm, outside, outside.v4);
        let link = host.ns.output(&format!("ip -o link show {}", self.tap));
        assert!(link.contains("master virbr0"), "{link}");
    }
}

/// Everything between a guest on xbr and the host and the outside, both ways.
fn check(vm: &Vm, seat: Seat, segment: &Segment) {
    for node in [segment.host(), segment.outside()] {
        for (mine, theirs) in
            [(IpAddr::from(seat.v4()), IpAddr::from(node.v4)), (seat.v6().into(), node.v6.into())]
        {
            reach(vm, node, theirs);
            reach(node, vm, mine);
        }
    }
    assert_eq!(checksum_errors(vm).unwrap(), 0);
}

#[test]
fn ways_in_beside_a_nat_network() {
    if !require_full() || !require_libvirt() {
        return;
    }
    let segment = Segment::builder().build();
    let host = &segment.host().ns;
    let libvirt = Libvirt::start(host);
    libvirt.from_xml("net-define", NAT);
    libvirt.text("net-start default");
    let mac = Mac::numbered(0x70);
    let nat = Domain::new("nat").interface("network", mac, "<source network='default'/>").launch(&libvirt);
    let nat = Natted { vm: nat, tap: libvirt.tap_of(mac) };
    nat.vm.wait_ready();
    nat.vm.sh("/sbin/ip link set eth0 up && udhcpc -i eth0 -n -q -t 5 -T 1 -s /sbin/lease").unwrap();

    let without = picture(host);
    let bridge = Xbr::run(XBR, host, "--uplink eth0 --attach xvm*");
    let with = picture(host);
    libvirt.xbr(XBR, "libvirt install");
    libvirt.restart();
    let helper = Helper::install(HELPER, Rights::Setuid, &format!("allow {}\n", bridge.name));
    let (one, two, three, four) = (Seat(1), Seat(2), Seat(3), Seat(4));
    bridge.text("tap add vm1");
    let vm1 = Domain::new("vm1").ethernet(one.mac(), "<target dev='vm1' managed='no'/>").launch(&libvirt);
    let netdev = format!("bridge,br={},helper={}", bridge.name, helper.program().display());
    let vm2 = Vm::builder("vm2")
        .kernel(Kernel::V6_12)
        .nic(Nic::netdev(&netdev).mac(two.mac()))
        .launch_by(host, |qemu, words| helper.command(host, 0, Path::new(qemu), words));
    let vm3 = Domain::new("vm3").ethernet(three.mac(), "<target dev='xvm3'/>").launch(&libvirt);
    let vm4 = Domain::new("vm4").on(&bridge.name).ethernet(four.mac(), "").launch(&libvirt);

    nat.check(&segment);
    for (vm, seat) in [(&vm1, one), (&vm2, two), (&vm3, three), (&vm4, four)] {
        vm.wait_ready();
        seat.address(vm, "eth0").unwrap();
        check(vm, seat, &segment);
    }
    reach(&vm1, &vm4, four.v4());
    reach(&vm2, &vm3, three.v4());
    nat.check(&segment);

    libvirt.text("destroy vm1");
    bridge.text("tap del vm1");
    drop(vm2);
    libvirt.text("destroy vm3");
    libvirt.text("destroy vm4");
    let ports = || bridge.json("port show").as_array().map_or(0, Vec::len);
    assert!(wait_until(SOON, || ports() == 2), "host and uplink: {}", bridge.text("port show"));
    libvirt.xbr(XBR, "libvirt remove");
    assert_same(&with, &picture(host));
    bridge.stop();
    assert_same(&without, &picture(host));
    nat.check(&segment);
    assert!(!libvirt.path("/etc/libvirt/hooks/qemu.d").exists());
}

/// libvirt with the hook, and a bridge: for guests that need not boot.
struct Hooked {
    segment: Segment,
    bridge: Xbr,
    libvirt: Libvirt,
}

impl Hooked {
    fn new() -> Self {
        let segment = Segment::builder().build();
        let bridge = Xbr::run(XBR, &segment.host().ns, "--uplink eth0");
        let libvirt = Libvirt::start(&segment.host().ns);
        libvirt.xbr(XBR, "libvirt install");
        // Another hook comes after ours, by its name, and sees what QEMU will find.
        let after = libvirt.path("/etc/libvirt/hooks/qemu.d/zz");
        std::fs::write(
            &after,
            "#!/bin/sh\n[ $2 != start ] || ip -br addr show xvm1 >/run/libvirt/guests/seen\nexit 0\n",
        )
        .unwrap();
        std::fs::set_permissions(&after, std::fs::Permissions::from_mode(0o755)).unwrap();
        libvirt.restart();
        Self { segment, bridge, libvirt }
    }

    /// A domain whose TAP is called `xvm1`.
    fn bare(&self) -> Domain {
        Domain::new("g").ethernet(Seat(1).mac(), "<target dev='xvm1'/>")
    }

    /// Whether the bridge knows a port `xvm1`, and whether it is there.
    fn port(&self) -> Option<bool> {
        let rows = self.bridge.json("port show");
        let row = rows.as_array().unwrap().iter().find(|row| row["ifname"] == "xvm1")?.clone();
        Some(row["carrier"].is_boolean())
    }

    /// Waits until the bridge knows no port `xvm1`.
    #[track_caller]
    fn gone(&self) {
        assert!(wait_until(SOON, || self.port().is_none()), "{}", self.bridge.text("port show"));
    }

    /// Starts a domain in vain and gives what virsh said.
    fn refused(&self, domain: &Domain) -> String {
        let before = self.segment.host().ns.output("ip -br link");
        let output = domain.try_start(&self.libvirt);
        assert!(!output.status.success());
        assert!(self.libvirt.text("list --name").trim().is_empty(), "it does not run");
        self.libvirt.text("undefine g");
        assert_eq!(self.segment.host().ns.output("ip -br link"), before, "no TAP is left");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

#[test]
fn a_guest_that_cannot_be_attached_is_not_started_and_the_reason_is_libvirts_error() {
    if !require_libvirt() {
        return;
    }
    let hooked = Hooked::new();
    let said = hooked.refused(&hooked.bare().on("nowhere"));
    assert!(said.contains("there is no bridge nowhere\nhint: there is "), "{said}");
    let said = hooked.refused(&hooked.bare().on("not a name"));
    assert!(said.contains("\"not a name\" cannot name a bridge"), "{said}");
    let said = hooked.refused(&Domain::new("g").on(&hooked.bridge.name));
    assert!(said.contains("has no interface of type ethernet"), "{said}");
    hooked.bridge.kill();
    let said = hooked.refused(&hooked.bare().on(&hooked.bridge.name));
    assert!(said.contains("no controller is running for bridge"), "{said}");
    // One that does not ask for xbr is none of the hook's business.
    hooked.bare().launch(&hooked.libvirt);
    assert_eq!(hooked.port(), None);
}

#[test]
fn the_hook_goes_along_with_a_guests_life() {
    if !require_libvirt() {
        return;
    }
    let mut hooked = Hooked::new();
    let host = hooked.segment.host().ns.clone();
    // As the documentation says it.
    hooked.libvirt.from_xml("define", &hooked.bare().xml());
    let words = "-c qemu:///system metadata g --config --uri urn:xbr:libvirt:1 --key xbr --set";
    let mut metadata = hooked.libvirt.command("virsh", words);
    metadata.arg(format!("<bridge name='{}'/>", hooked.bridge.name));
    assert!(metadata.status().unwrap().success());
    hooked.libvirt.text("start g");
    assert_eq!(hooked.port(), Some(true));
    let seen = std::fs::read_to_string(hooked.libvirt.path("/run/libvirt/guests/seen")).unwrap();
    for addresses in [seen, host.output("ip -br addr show xvm1")] {
        assert!(addresses.contains("xvm1"), "before QEMU starts and afterwards");
        assert!(!addresses.contains("fe80"), "the host lives on the guest's TAP: {addresses}");
    }

    hooked.libvirt.restart();
    assert_eq!(hooked.port(), Some(true), "the guest ran on");
    hooked.bridge.text("port del xvm1");
    hooked.libvirt.restart();
    assert_eq!(hooked.port(), Some(true), "the hook sees to it when the daemon comes back");

    hooked.libvirt.text("save g /run/libvirt/guests/saved");
    hooked.gone();
    hooked.libvirt.text("restore /run/libvirt/guests/saved");
    assert_eq!(hooked.port(), Some(true));

    // The same name at once, before anybody can have told the controller of the end.
    for _ in 0..3 {
        hooked.libvirt.text("destroy g");
        hooked.libvirt.text("start g");
        assert_eq!(hooked.port(), Some(true));
    }

    // The guest ends while no controller runs.
    hooked.bridge.text("fdb add 52:54:00:75:dd:1a dev xvm1");
    hooked.bridge.kill();
    hooked.libvirt.restart();
    assert_eq!(hooked.port(), Some(true), "without a controller the guest runs on too");
    hooked.libvirt.text("destroy g");
    hooked.bridge.restart("");
    assert_eq!(hooked.port(), None, "it ends with its device");
    assert!(hooked.bridge.station("52:54:00:75:dd:1a").is_none());
    hooked.libvirt.text("start g");
    assert_eq!(hooked.port(), Some(true));

    // No port, and no controller that would make it one: that is no reason to end a guest.
    hooked.bridge.text("port del xvm1");
    hooked.bridge.kill();
    hooked.libvirt.restart();
    assert_eq!(hooked.libvirt.text("list --name").trim(), "g");
    hooked.bridge.restart("");
    hooked.libvirt.text("destroy g");
    hooked.bridge.stop();
}

#[test]
fn a_tap_that_outlives_its_guest_is_let_go() {
    if !require_libvirt() {
        return;
    }
    let hooked = Hooked::new();
    let host = &hooked.segment.host().ns;
    host.ip("tuntap add dev xvm1 mode tap vnet_hdr");
    // Not all of the machine, since libvirt and QEMU set the device up too.
    let ipv6 = || {
        host.run(|| {
            std::fs::read_to_string("/proc/sys/net/ipv6/conf/xvm1/disable_ipv6").expect("it is there")
        })
    };
    assert_eq!(ipv6(), "0\n");
    let domain = |name: &str| {
        Domain::new(name).on(&hooked.bridge.name).ethernet(Seat(1).mac(), "<target dev='xvm1' managed='no'/>")
    };
    domain("g").launch(&hooked.libvirt);
    assert_eq!((hooked.port(), ipv6().as_str()), (Some(true), "1\n"));
    // Another one cannot have it, and does not take it away.
    assert!(!domain("other").try_start(&hooked.libvirt).status.success());
    assert_eq!(hooked.port(), Some(true));
    hooked.libvirt.text("destroy g");
    assert_eq!(hooked.port(), None);
    assert_eq!(ipv6(), "0\n");
    // The operator's own port stays.
    hooked.bridge.text("port add xvm1");
    hooked.libvirt.text("start g");
    hooked.libvirt.text("destroy g");
    assert_eq!(hooked.port(), Some(true));
    hooked.bridge.stop();
}

#[test]
fn only_named_interfaces_are_attached_and_by_the_hook_that_is_asked_for() {
    if !require_libvirt() {
        return;
    }
    let hooked = Hooked::new();
    let (one, two) = (Mac::numbered(0x31), Mac::numbered(0x32));
    let metadata = format!(
        "<xbr:bridge xmlns:xbr='urn:xbr:libvirt:1' name='{}'><xbr:interface mac='{two}' hook='tc'/></xbr:bridge>",
        hooked.bridge.name
    );
    let domain = Domain::new("g").metadata(&metadata).ethernet(one, "").ethernet(two, "");
    let _vm = domain.launch(&hooked.libvirt);
    let taps = [one, two].map(|mac| hooked.libvirt.tap_of(mac));
    let ports = hooked.bridge.text("port show");
    assert!(!ports.contains(&taps[0]) && ports.contains(&taps[1]), "{taps:?}\n{ports}");
    assert_eq!(hooked.bridge.port(&taps[1])["hook_choice"], "tc");
    hooked.libvirt.text("destroy g");
    let gone = || !hooked.bridge.text("port show").contains(&taps[1]);
    assert!(wait_until(SOON, gone), "{}", hooked.bridge.text("port show"));
    hooked.bridge.stop();
}
