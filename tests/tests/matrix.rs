//! The kernels that people run: the data path, the kill under load and the way back, in short form, inside a guest of each.
//!
//! Without `XBR_FULL` (`cargo xtask test --full`) only the newest is booted.

#[path = "matrix/inside.rs"]
mod inside;

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use xbr_lab::{
    Namespace,
    vm::{Kernel, Vm, full, require_guests},
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");

/// How many times slower an emulated guest is than the machine that the lab's times are meant for, with other tests beside it.
const SLOWNESS: u32 = 10;

/// How long one test may take inside.
const LIMIT: Duration = Duration::from_secs(600);

/// A program without what only a debugger reads, which is most of it.
fn slim(program: &Path) -> PathBuf {
    let name = format!("{}-{}", program.file_name().expect("a file").to_string_lossy(), std::process::id());
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let status = Command::new("strip").arg("-g").arg("-o").arg(&to).arg(program).status();
    assert!(status.is_ok_and(|status| status.success()), "strip {}", program.display());
    to
}

/// Runs the tests of [`inside`] in a guest of this kernel: this very program, with the lab in it.
fn on(kernel: Kernel) {
    if !require_guests(kernel) {
        return;
    }
    let me = env::current_exe().expect("this program");
    let programs = [(me.as_path(), "/bin/matrix"), (Path::new(XBR), XBR)];
    let slim = programs.map(|(here, in_guest)| (slim(here), in_guest));
    let builder = Vm::builder("machine").kernel(kernel).memory(768).cpus(2);
    // Not busybox's ping, whose words are others.
    let builder = builder.program("/usr/bin/ping", "/sbin/ping");
    let builder = slim.iter().fold(builder, |builder, (here, in_guest)| builder.program(here, in_guest));
    let vm = builder.start(&Namespace::new("machine"));
    for (path, _) in &slim {
        let _ = std::fs::remove_file(path);
    }
    let release = vm.sh("uname -r; modprobe -a tun veth sch_ingress cls_bpf").expect("a kernel with modules");
    for test in inside::NAMES {
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
    if full() {
        on(Kernel::V6_12);
    }
}

/// No tcx: filters of clsact.
#[test]
fn v6_1() {
    if full() {
        on(Kernel::V6_1);
    }
}
