//! What a frame takes in the programs, and what guards add to it, in turns.
//!
//! `--ignored --nocapture` prints the book, in nanoseconds a frame. The loop of `BPF_PROG_TEST_RUN` is part of each figure, and of no difference.

use bridge_common::maps::programs;
use bridge_user::datapath::Options;
use xbr_lab::{
    loaded::{AS_USED, Loaded, in_lab},
    median, require_privileges,
};

const ROUNDS: usize = 7;
const REPEAT: u32 = 100_000;
/// Any time will do.
const CLOCK: u64 = 77_000_000_000;

fn book() -> Vec<(&'static str, Loaded)> {
    let [mut checksums, mut guards] = [(); 2].map(|()| Loaded::new(&AS_USED));
    checksums.guard_checksums();
    guards.guard_all();
    let clock = Loaded::new(&Options { clock: CLOCK, ..AS_USED });
    vec![
        ("as used", Loaded::new(&AS_USED)),
        ("without the clock", clock),
        ("with the checksum guard", checksums),
        ("with VLANs and all guards", guards),
    ]
}

/// Every program redirects the frame, which the figures need to be figures of anything.
#[test]
#[ignore = "prints figures"]
fn the_book() {
    if !require_privileges() {
        return;
    }
    in_lab(|| {
        let rows = book();
        for program in [programs::XDP, programs::PORT] {
            let mut times = vec![Vec::new(); rows.len()];
            for _ in 0..ROUNDS {
                for ((_, loaded), times) in rows.iter().zip(&mut times) {
                    times.push(loaded.redirects_in(program, 60, REPEAT) as f64);
                }
            }
            for ((name, _), mine) in rows.iter().zip(&times) {
                let (middle, low, _) = median(mine.clone());
                let (difference, ..) =
                    median(times[0].iter().zip(mine).map(|(used, mine)| mine - used).collect());
                println!("{program} {name:26} {middle:4.0} ns (least {low:.0}), {difference:+.0}");
            }
        }
    });
}
