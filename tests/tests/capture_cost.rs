//! What a capture costs a frame: nothing while there is none, and a bounded time while there is one.
//!
//! `--ignored --nocapture` prints the figures, in nanoseconds a frame.

use bridge_common::PortId;
use bridge_common::capture::{Capture, SNAPLEN_MAX, Wanted};
use bridge_common::maps::programs;
use bridge_user::datapath::{CaptureRings, CaptureSwitch};
use xbr_lab::{
    loaded::{AS_USED, Loaded, RUNS, in_lab},
    require_privileges,
};

const REPEAT: u32 = 500_000;
/// While every frame is copied.
const FEWER: u32 = 50_000;

#[test]
#[ignore = "prints figures"]
fn while_there_is_none() {
    if !require_privileges() {
        return;
    }
    in_lab(|| {
        let bench = Loaded::new(&AS_USED);
        println!(
            "off: xdp {} tc {}",
            bench.redirects_in(programs::XDP, 60, REPEAT),
            bench.redirects_in(programs::PORT, 60, REPEAT)
        );
    });
}

#[test]
#[ignore = "prints figures"]
fn while_there_is_one() {
    if !require_privileges() {
        return;
    }
    in_lab(|| {
        let bench = Loaded::new(&AS_USED);
        let mut switch = CaptureSwitch::open(bench.pins()).unwrap();
        let mut figures = |what: &str, lengths: &[usize], capture: &Capture| {
            switch.set(capture);
            let lost = switch.unseen().unwrap();
            for length in lengths {
                let [xdp, tc] = [programs::XDP, programs::PORT]
                    .map(|program| bench.redirects_in(program, *length, FEWER));
                println!("{what}, {length} bytes: xdp {xdp} tc {tc}");
            }
            println!(
                "    {} of {} lost",
                switch.unseen().unwrap() - lost,
                lengths.len() * 2 * RUNS * FEWER as usize
            );
        };
        let capture = Capture { wanted: Wanted::FRAMES, snaplen: SNAPLEN_MAX, ..Capture::default() };
        let (mut there, mut elsewhere) = (capture, capture);
        there.set(PortId(2), true);
        elsewhere.set(PortId(7), true);
        let other_mac = Capture { wanted: Wanted(Wanted::FRAMES.0 | Wanted::MAC.0), ..there };
        figures("off", &[60], &Capture::default());
        figures("of another port", &[60], &elsewhere);
        figures("of another address", &[60], &other_mac);
        figures("of a process that died", &[60], &there);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _inside = runtime.enter();
        let mut rings = CaptureRings::open(bench.pins()).unwrap();
        figures("of a process that does not read", &[60, 1514], &there);
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut read = Vec::new();
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    rings.take(&mut read);
                    read.clear();
                }
            });
            figures("of a process that reads", &[60, 1514], &there);
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    });
}
