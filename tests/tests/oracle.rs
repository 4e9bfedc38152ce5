//! The Linux bridge as the oracle: the same ports, the same configuration and the same frames through it and through xbr, and the
//! same frames come out, bit by bit, at the same places.
//!
//! The differences that are meant are in `docs/guide.md`: second tags that would be bared, link-local groups, and what is sent to the host.

#[path = "oracle/host.rs"]
mod host;
#[path = "oracle/inside.rs"]
mod inside;

use std::{env, time::Duration};

use xbr_lab::{
    Namespace,
    vm::{Kernel, Vm, require_full, require_guests},
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");

/// This kernel's own bridge may lack VLAN filtering, so that is asked in a guest, whose kernel has it.
#[test]
fn with_vlans_in_a_guest() {
    // Four minutes under emulation, which CI has not: `flags` is its row.
    if !require_full() || !require_guests(Kernel::Newest) {
        return;
    }
    let me = env::current_exe().expect("this program");
    let builder = Vm::builder("machine").kernel(Kernel::Newest).memory(768).cpus(2);
    // Not busybox's ping, whose words are others.
    let builder = builder.program("/usr/bin/ping", "/sbin/ping");
    let vm = builder.program(me, "/bin/oracle").program(XBR, XBR).start(&Namespace::new("machine"));
    let first = env::var("XBR_ORACLE_FIRST").unwrap_or("1".into());
    vm.sh("modprobe -a tun veth bridge 8021q sch_ingress cls_bpf").expect("a kernel with modules");
    for test in
        ["host::the_host_has_a_vlan_on_tc", "host::the_host_has_a_vlan_on_xdp", "inside::vlans_and_flags"]
    {
        let words = format!(
            "CI=true XBR_LAB_SLOWNESS=10 XBR_ORACLE_FIRST={first} XBR_ORACLE_SEEDS=40 oracle --ignored --nocapture --exact {test} 2>&1"
        );
        let answer = vm.run(Duration::from_secs(3600), &words).expect("an answer");
        assert_eq!(answer.status, 0, "{test}:\n{}", answer.output);
        // A name that is none would run no test and succeed.
        assert!(answer.output.contains("1 passed"), "{test}:\n{}", answer.output);
        println!("{test}: passed");
        answer.output.lines().filter(|line| line.contains(" frames ")).for_each(|line| println!("{line}"));
    }
}
