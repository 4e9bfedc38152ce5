//! The real QEMU, as an ordinary user: `-netdev bridge,br=NAME,helper=…`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use xbr_lab::vm::{Kernel, Member, Nic, Seat, Vm, all_reach, checksum_errors, require_full, require_guests};
use xbr_lab::{Process, Rights, USER, require_privileges, require_program, wait_until};

use crate::{BYTES, Lab, PORT};

const MAC: &str = "52:54:00:12:34:99";

/// `more` decides whether the machine runs.
fn qemu(lab: &Lab, more: &[&str]) -> Command {
    let netdev = format!("bridge,id=n0,br={},helper={}", lab.bridge.name, lab.helper.program().display());
    let device = format!("virtio-net-pci,netdev=n0,mac={MAC}");
    let mut words: Vec<_> =
        "-M q35 -accel tcg -cpu Nehalem -m 64 -nodefaults -display none".split(' ').collect();
    words.extend(["-netdev", &netdev, "-device", &device]);
    words.extend(more);
    lab.helper.command(lab.host(), USER, Path::new("qemu-system-x86_64"), &words)
}

#[test]
fn qemu_gets_a_port_that_ends_with_it() {
    if !require_privileges() || !require_program("qemu-system-x86_64") {
        return;
    }
    let lab = Lab::new(Rights::Setuid);
    // A machine without a disk boots from the network: its firmware is a guest that speaks.
    let machine = Process::spawn(qemu(&lab, &["-boot", "n"]));
    let heard = wait_until(Duration::from_secs(60), || {
        lab.has_port(PORT) && lab.bridge.station(MAC).is_some_and(|row| row["ifname"] == PORT)
    });
    assert!(heard, "{machine}\n{}", lab.bridge.text("port show"));
    let port = lab.bridge.port(PORT);
    assert_eq!((port["hook"].as_str(), port["state"].as_str()), (Some("tc"), Some("forwarding")), "{port}");
    assert!(lab.host().output(&format!("ip -d link show dev {PORT}")).contains("vnet_hdr on"));
    machine.kill9();
    assert!(wait_until(Duration::from_secs(4), || !lab.has_port(PORT)), "{}", lab.bridge.text("port show"));
    assert!(lab.bridge.station(MAC).is_none());
    lab.bridge.stop();
}

#[test]
fn qemu_that_gets_nothing_says_why() {
    if !require_privileges() || !require_program("qemu-system-x86_64") {
        return;
    }
    let lab = Lab::new(Rights::Setuid);
    lab.helper.write("bridge.conf", "deny all\n", 0o644);
    let machine = Process::spawn(qemu(&lab, &["-S"]));
    assert!(!machine.wait(Duration::from_secs(20)).success());
    let said = machine.stderr_text();
    assert!(
        said.contains("user 65534 may not use bridge") && said.contains("bridge helper failed"),
        "{said}"
    );
    lab.bridge.stop();
}

/// A guest that boots, started by root: the kernels' images are root's. The helper becomes its caller here too.
#[test]
fn a_guest_that_boots_reaches_everyone() {
    if !require_full() || !require_guests(Kernel::Newest) {
        return;
    }
    let mut lab = Lab::new(Rights::Setuid);
    let (host, seat) = (lab.host().clone(), Seat(2));
    let netdev = format!("bridge,br={},helper={}", lab.bridge.name, lab.helper.program().display());
    let nic = Nic::netdev(&netdev).mac(seat.mac());
    let vm = Vm::builder("lent")
        .nic(nic)
        .launch_by(&host, |qemu, words| lab.helper.command(&host, 0, Path::new(qemu), words));
    vm.wait_ready();
    seat.address(&vm, "eth0").unwrap();
    lab.bridge.wait_forwarding();
    let guest = Member::guest(&vm, seat);
    for other in [lab.segment.guest(1), lab.segment.host(), lab.segment.outside()] {
        all_reach(&[guest, other.into()], BYTES).unwrap();
        assert_eq!(checksum_errors(other).unwrap(), 0, "at {}", other.ns.name());
    }
    assert_eq!(checksum_errors(&vm).unwrap(), 0);
    assert_eq!(lab.bridge.station(seat.mac()).unwrap()["ifname"], "xu0-0");
    lab.bridge.kill();
    lab.bridge.restart("");
    all_reach(&[Member::guest(&vm, seat), lab.segment.guest(1).into()], BYTES).unwrap();
    drop(vm);
    assert!(
        wait_until(Duration::from_secs(4), || !lab.has_port("xu0-0")),
        "{}",
        lab.bridge.text("port show")
    );
    assert!(lab.bridge.station(seat.mac()).is_none());
    lab.bridge.stop();
}
