//! Native XDP on a real driver: a guest plays the host, its `eth0` is a virtio-net card with several queues, and what xbr connects
//! inside are namespaces behind veths. Everyone reaches everyone, outside included.
//!
//! virtio-net wants a transmit queue of its own for each CPU that redirects, so the card has four queues of which two are in use,
//! and the machine two CPUs. It also is what a veth is not: a card that drops what is for others unless it is promiscuous.

#[path = "virtio/machine.rs"]
mod machine;

use xbr_lab::vm::{Kernel, Station, all_reach, checksum_errors, require_full, require_guests};

use machine::{Machine, OUTSIDE};

const KIB: u64 = 1 << 10;

fn on(kernel: Kernel) {
    if !require_guests(kernel) {
        return;
    }
    let started = std::time::Instant::now();
    let so_far = |what: &str| println!("{kernel:?}: {what} after {:.0} s", started.elapsed().as_secs_f32());
    let machine = Machine::boot(kernel);
    let before = machine.card();
    so_far("booted");
    machine.run_xbr();
    so_far("ready");
    assert_eq!(machine.hooks(), [["eth0", "xdp"], ["v1", "xdp"], ["v2", "xdp"]]);

    let nested = machine.nested();
    let members = machine.members(&nested);
    all_reach(&members, 512 * KIB).unwrap_or_else(|e| panic!("{e:#}\n{}", machine.tell()));
    for member in &members {
        assert_eq!(checksum_errors(member.station).unwrap(), 0, "at {}", member.station.title());
    }
    // The first namespace leaves its checksums to the card, so its segments are TC's; all others were redirected in XDP.
    for port in ["eth0", "v2"] {
        let redirected = machine.by_xdp(port);
        assert!(redirected > 500, "{redirected} frames of {port} were redirected in XDP\n{}", machine.tell());
    }

    so_far("all reach all");

    promiscuity_is_needed_and_kept(&machine);

    machine.end_xbr();
    assert_eq!(machine.card(), before, "the card is as before");
    machine.host_reaches_outside().unwrap();
    machine.no_complaints();
    so_far("done");
}

/// Somebody clears the flag: xbr sets it again. While no controller lives, nobody does: the card drops what is for the namespaces,
/// and only that, until the next controller is there.
fn promiscuity_is_needed_and_kept(machine: &Machine) {
    machine.not_promiscuous();
    machine.wait_promiscuous();
    assert!(machine.outside_reaches(machine::NESTED[0]), "{}", machine.tell());

    machine.kill_xbr();
    assert!(machine.outside_reaches(machine::NESTED[0]), "the kernel forwards on: {}", machine.tell());
    machine.not_promiscuous();
    assert!(!machine.outside_reaches(machine::NESTED[0]), "a card that is not promiscuous lets all through");
    assert!(machine.outside_reaches(machine::HOST), "the host's own address is the card's");
    machine.run_xbr();
    machine.wait_promiscuous();
    assert!(machine.outside_reaches(machine::NESTED[0]), "{}", machine.tell());
    machine.vm.shell(&format!("ping -c 1 -W 5 {}", OUTSIDE.0)).unwrap();
}

#[test]
fn newest() {
    on(Kernel::Newest);
}

#[test]
fn v6_12() {
    if require_full() {
        on(Kernel::V6_12);
    }
}

#[test]
fn v6_1() {
    if require_full() {
        on(Kernel::V6_1);
    }
}
