//! What the verifier has to do, bounded: `cargo xtask verify` prints the figures.

use bridge_user::datapath::{Options, PinDir, Programs, stack_frames};
use xbr_lab::{Cleanup, require_privileges, unique_name};

/// A kernel walks a million instructions at most, and this many take a quarter of a second.
const INSTRUCTIONS: u32 = 100_000;
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
    for program in verified {
        let Some(instructions) = program.instructions else { continue };
        println!("{:16} {instructions:6} instructions verified", program.name);
        assert!(instructions > 10 && instructions < INSTRUCTIONS, "{}: {instructions}", program.name);
    }
    let frames = stack_frames().unwrap();
    for frame in frames.iter().filter(|frame| frame.stack > 0) {
        println!("{:3} bytes of stack: {}", frame.stack, frame.name);
    }
    assert!(frames[0].stack > 64 && frames[0].stack <= STACK, "{:?}", frames[0]);
}
