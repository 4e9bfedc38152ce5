//! The kernels that people run: the data path, the kill under load and the way back, in short form, inside a guest of each.
//!
//! Without `XBR_FULL` (`cargo xtask test --full`) only the newest is booted, for half of the tests.

#[path = "matrix/inside.rs"]
mod inside;

use std::{env, time::Duration};

use xbr_lab::{
    Namespace,
    vm::{Kernel, Vm, full, require_full, require_guests},
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");

/// How many times slower an emulated guest is than the machine that the lab's times are meant for, with other tests beside it.
const SLOWNESS: u32 = 10;

/// How long one test may take inside.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs the tests of [`inside`] in a guest of this kernel: this very program, with the lab in it.
fn on(kernel: Kernel) {
    if !require_guests(kernel) {
        return;
    }
    let me = env::current_exe().expect("this program");
    let builder = Vm::builder("machine").kernel(kernel).memory(768).cpus(2);
    // Not busybox's ping, whose words are others.
    let builder = builder.program("/usr/bin/ping", "/sbin/ping");
    let vm = builder.program(me, "/bin/matrix").program(XBR, XBR).start(&Namespace::new("machine"));
    let release = vm.sh("uname -r; modprobe -a tun veth sch_ingress cls_bpf").expect("a kernel with modules");
    let tests = if full() { &inside::NAMES[..] } else { &inside::SHORT };
    for test in tests {
        let started = std::time::Instant::now();
        let words =
            format!("CI=true XBR_LAB_SLOWNESS={SLOWNESS} matrix --ignored --exact inside::{test} 2>&1");
        let answer = vm.run(LIMIT, &words).unwrap_or_else(|error| panic!("{release}: {test}: {error:#}"));
        assert_eq!(answer.status, 0, "{release}: {test}:\n{}", answer.output);
        // A name that is none would run no test and succeed.
        assert!(answer.output.contains("1 passed"), "{test}:\n{}", answer.output);
        println!("{}: {test}: {:.0} s", release.trim(), started.elapsed().as_secs_f32());
    }
    let complaints = vm.sh("dmesg | grep -E 'WARNING:|BUG:|Oops|Call Trace' || true").expect("dmesg");
    assert_eq!(complaints, "", "{release} complains");
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

/// No tcx: filters of clsact.
#[test]
fn v6_1() {
    if require_full() {
        on(Kernel::V6_1);
    }
}
