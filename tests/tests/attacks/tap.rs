//! A guest that opens and closes its TAP over and over.

use std::time::{Duration, Instant};

use xbr_lab::{GuestKind, Mac, Tap, TapMode, frames, percent, require_privileges};

use crate::{KINDS, alone, scene::Scene};

const TIMES: u32 = 100;

#[test]
fn a_tap_that_opens_and_closes_disturbs_nobody() {
    if !require_privileges() {
        return;
    }
    let _alone = alone();
    for (kind, hook) in KINDS.into_iter().filter(|(kind, _)| *kind != GuestKind::Veth) {
        let mut scene = Scene::set(kind, hook, "");
        scene.close();
        let mode = if kind == GuestKind::Tap { TapMode::Plain } else { TapMode::VnetHdr };
        let host = &scene.segment.host().ns;
        let began = Instant::now();
        let ((_, share), report) = scene.beside(|| {
            percent(scene.bridge.process.pid(), || {
                for time in 0..TIMES {
                    let tap = Tap::open(host, "vm1", mode).expect("its TAP");
                    let frame = frames::frame(Mac::BROADCAST, scene.one().mac, 60);
                    let header = if mode == TapMode::Plain { &[][..] } else { &[0; 10] };
                    // Before its port forwards, that is counted, and no more.
                    tap.write(&[header, &frame].concat()).expect("a frame");
                    if time % 4 == 0 {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                }
            })
        });
        eprintln!("{}: {TIMES} times in {:?}, {share:.1} % of a core", scene.told, began.elapsed());
        scene.unharmed("a TAP opened and closed", &report);
        // Closed for good: what others send to all has nobody to go to there.
        let hello = frames::frame(Mac::BROADCAST, scene.two().mac, 60);
        let two = xbr_lab::RawPort::open(&scene.two().ns, "eth0");
        let (_, report) = scene.beside(|| (0..1000).for_each(|_| two.send(&hello).expect("a frame")));
        scene.unharmed("a TAP with no reader", &report);
        scene.open();
        scene.victims_are_known("after that");
        scene.tcp_flows();
        let Scene { bridge, .. } = scene;
        bridge.stop();
    }
}
