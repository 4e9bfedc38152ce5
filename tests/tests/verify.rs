//! What the verifier has to do, bounded: `cargo xtask verify` prints the figures.

use std::{env, time::Duration};

use bridge_user::datapath::{Options, PinDir, Programs, stack_frames};
use xbr_lab::{
    Cleanup, Namespace, require_privileges, unique_name,
    vm::{Kernel, Vm, require_full, require_guests},
};

/// A kernel walks a million instructions at most; this many take 60 ms, and all programs together are most of a start.
const INSTRUCTIONS: u32 = 40_000;
/// Of all programs.
const TOGETHER: u32 = 160_000;
/// Of the 512 bytes of a chain of calls.
const STACK: u32 = 352;

#[test]
fn the_programs_are_far_from_the_verifier_s_limits() {
    if !require_privileges() {
        return;
    }
    let name = unique_name();
    let _cleanup = Cleanup::after(&name);
    let pins = PinDir::of(&name.parse().unwrap()).unwrap();
    let (programs, ..) = Programs::load(&pins, &Options::new(1024, 0)).unwrap();
    let verified = programs.verified().unwrap();
    assert!(verified.len() >= 6, "{verified:?}");
    let mut together = 0;
    for program in verified {
        let Some(instructions) = program.instructions else { continue };
        println!("{:16} {instructions:6} instructions verified", program.name);
        together += instructions;
        assert!(instructions > 10 && instructions < INSTRUCTIONS, "{}: {instructions}", program.name);
    }
    assert!(together < TOGETHER, "{together} instructions");
    let frames = stack_frames().unwrap();
    for frame in frames.iter().filter(|frame| frame.stack > 0) {
        println!("{:3} bytes of stack: {}", frame.stack, frame.name);
    }
    assert!(frames[0].stack > 64 && frames[0].stack <= STACK, "{:?}", frames[0]);
}

/// The kernel's own limit.
const LIMIT: u32 = 1_000_000;

/// On the kernel that walks the most and counts the stack in steps. Not nearer to its limit than half: it is the walk that a start takes there.
#[test]
fn linux_6_1_takes_them_too() {
    if !require_full() || !require_guests(Kernel::V6_1) {
        return;
    }
    let me = env::current_exe().expect("this program");
    let builder = Vm::builder("machine").kernel(Kernel::V6_1).memory(768).cpus(2);
    let vm = builder.program(me, "/bin/verify").start(&Namespace::new("machine"));
    vm.sh("modprobe -a sch_ingress cls_bpf").expect("a kernel with modules");
    let words = "CI=true verify --ignored --exact --nocapture walked 2>&1";
    let answer = vm.run(Duration::from_secs(900), words).expect("an answer");
    println!("{}", answer.output);
    assert_eq!(answer.status, 0);
    assert!(answer.output.contains("1 passed"));
}

#[test]
#[ignore = "run in a guest by the test above"]
fn walked() {
    let name = unique_name();
    let _cleanup = Cleanup::after(&name);
    let pins = PinDir::of(&name.parse().unwrap()).unwrap();
    let (programs, ..) = Programs::load(&pins, &Options::new(1024, 0)).unwrap();
    let mut most = 0;
    for program in programs.verified().unwrap() {
        let Some(instructions) = program.instructions else { continue };
        println!("{:16} {instructions:6} instructions verified", program.name);
        most = instructions.max(most);
    }
    assert!(most > 10 && most < LIMIT / 2, "{most} instructions");
}
