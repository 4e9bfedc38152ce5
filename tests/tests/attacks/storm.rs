//! Storms at full rate, and what is left of the victims' throughput.
//!
//! What a storm costs its victims is measured apart from what it costs the machine to make it, since no switch can save that. The
//! generator has a processor of its own, with the kernel's work for it, the programs included; victims, relays and controller have
//! another. And what a storm is compared with has a generator too, on the same processor, which writes the same frames into a TAP that
//! belongs to no bridge. What is left is what the switch lets through, which the victims must hear.
//!
//! The bound of 0.9 is that of full runs, on a machine where nothing else runs, and is asked of every port and kind of storm together
//! at the end; others see that the storm is held back, counted, and breaks no connection.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use xbr_lab::{
    Enough, GuestKind, Mac, Namespace, Ratio, Tap, TapMode, frames, on_processor, processors, ratios,
    require_privileges, tcp_transfer, vm::full,
};

use crate::{KINDS, alone, scene::Scene};

const NOBODY: Mac = Mac::numbered(0xffff);
const GROUP: Mac = Mac([1, 0, 0x5e, 1, 2, 3]);
const STORMS: [(&str, Mac); 3] = [("broadcast", Mac::BROADCAST), ("multicast", GROUP), ("unknown", NOBODY)];
const MIB: u64 = 1 << 20;
/// What victims keep of their rate at least.
const KEPT: f64 = 0.9;

/// The victims' throughput in bits a second, while `storm` writes frames on another processor.
fn speed(scene: &Scene, bytes: u64, processor: usize, storm: impl Fn() + Sync) -> f64 {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            on_processor(processor, || {
                while !over.load(Relaxed) {
                    storm();
                }
            });
        });
        std::thread::sleep(Duration::from_millis(20));
        let (two, outside) = (scene.two(), scene.segment.outside());
        let took = tcp_transfer(&two.ns, &outside.ns, outside.v4, bytes);
        over.store(true, Relaxed);
        (2 * bytes * 8) as f64 / took.unwrap_or_else(|e| panic!("{}: {e:#}", scene.told)).as_secs_f64()
    })
}

#[test]
fn a_storm_leaves_its_victims_their_rate() {
    if !require_privileges() {
        return;
    }
    let [.., victims, generator] = processors()[..] else {
        eprintln!("SKIPPED: one processor is not enough to tell a storm from its making");
        return;
    };
    let _alone = alone();
    let harmed = on_processor(victims, || KINDS.map(|(kind, hook)| storms(kind, hook, generator)).concat());
    // Where others work beside it, the turns differ by more than any storm makes out.
    assert!(!full() || harmed.is_empty(), "victims keep less than {KEPT}: {harmed:#?}");
}

/// One storm of each kind; gives those that left the victims too little.
fn storms(kind: GuestKind, hook: &str, generator: usize) -> Vec<String> {
    let mut scene = Scene::set(kind, hook, "");
    // One that only listens would take the victims' processor for what it hears.
    scene.segment.unplug(3);
    let nowhere = Namespace::new("nowhere");
    let apart = Tap::open(&nowhere, "apart", TapMode::Plain).expect("a TAP");
    nowhere.ip("link set apart up");
    let mut harmed = Vec::new();
    for (word, to) in STORMS {
        let kept = storm(&scene, &apart, word, to, generator);
        let told = format!("{}, {word}: victims keep {kept} of their rate", scene.told);
        eprintln!("{told}");
        if kept.middle < KEPT {
            harmed.push(told);
        }
    }
    let Scene { bridge, .. } = scene;
    bridge.stop();
    harmed
}

/// What a storm leaves the victims of their rate.
fn storm(scene: &Scene, apart: &Tap, word: &str, to: Mac, generator: usize) -> Ratio {
    let (enough, bytes) = if full() {
        (Enough { least: 5, most: 20, error: 0.01 }, 24 * MIB)
    } else {
        (Enough { least: 1, most: 1, error: 0.0 }, 4 * MIB)
    };
    let frame = frames::frame(to, scene.one().mac, 60);
    let elsewhere = || {
        for _ in 0..64 {
            let _ = apart.write(&frame);
        }
    };
    let here = || {
        for _ in 0..64 {
            scene.say(&frame);
        }
    };
    let counted =
        || (scene.bridge.counters("vm1").rx.packets, scene.count("vm1", &format!("drops/storm_{word}")));
    let before = counted();
    let [kept] = ratios(
        enough,
        || [speed(scene, bytes, generator, elsewhere)],
        || [speed(scene, bytes, generator, here)],
    );
    let after = counted();
    let (came, dropped) = (after.0 - before.0, after.1 - before.1);
    eprintln!("{}, {word}: {came} frames, {dropped} dropped", scene.told);
    assert!(dropped > came / 2, "{}: no storm: {before:?} {after:?}", scene.told);
    kept
}
