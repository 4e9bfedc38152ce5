//! Storms at full rate, and what is left of the victims' throughput.
//!
//! What a storm costs its victims is measured apart from what it costs the machine to make it. The generator has a processor of its
//! own, with the kernel's work for it; victims, relays and controller have another. And the turns with which a storm is compared have a
//! generator too, which writes the same frames into a TAP that belongs to no bridge. The bound of 0.9 is that of full runs, on a
//! machine where nothing else runs; others see that the storm is held back, counted, and breaks no connection.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use xbr_lab::{
    GuestKind, Mac, Namespace, Tap, TapMode, frames, require_privileges, tcp_transfer, vm::full, vm::median,
};

use crate::{KINDS, alone, scene::Scene};

const NOBODY: Mac = Mac::numbered(0xffff);
const GROUP: Mac = Mac([1, 0, 0x5e, 1, 2, 3]);
const MIB: u64 = 1 << 20;

/// The processors that this process may use.
fn processors() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).expect("sched_getaffinity");
    (0..CpuSet::count()).filter(|number| set.is_set(*number).unwrap_or(false)).collect()
}

/// The calling thread, and those that it starts, stay on one processor.
fn stay_on(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor).expect("a number of a processor");
    sched_setaffinity(Pid::from_raw(0), &set).expect("sched_setaffinity");
}

/// The victims' throughput in bits a second, while `storm` writes frames on another processor.
fn speed(scene: &Scene, bytes: u64, processor: usize, storm: impl Fn() + Sync) -> f64 {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            stay_on(processor);
            while !over.load(Relaxed) {
                storm();
            }
        });
        std::thread::sleep(Duration::from_millis(20));
        let (two, outside) = (scene.two(), scene.segment.outside());
        let took = tcp_transfer(&two.ns, &outside.ns, outside.v4, bytes);
        over.store(true, Relaxed);
        (2 * bytes * 8) as f64 / took.unwrap_or_else(|e| panic!("{}: {e:#}", scene.told)).as_secs_f64()
    })
}

/// The median of how the second is to the first, in turns.
fn ratio(turns: usize, first: impl Fn() -> f64, second: impl Fn() -> f64) -> (f64, f64, f64) {
    let turn = |number: usize| {
        // What drifts favours neither.
        if number.is_multiple_of(2) {
            let a = first();
            second() / a
        } else {
            let b = second();
            b / first()
        }
    };
    median((0..turns).map(turn).collect())
}

#[test]
fn a_storm_leaves_its_victims_their_rate() {
    if !require_privileges() {
        return;
    }
    let cpus = processors();
    let [.., victims, generator] = cpus[..] else {
        eprintln!("SKIPPED: one processor is not enough to tell a storm from its making");
        return;
    };
    let _alone = alone();
    let inherit = std::thread::spawn(move || {
        stay_on(victims);
        for (kind, hook) in KINDS {
            storms(kind, hook, generator);
        }
    });
    inherit.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn storms(kind: GuestKind, hook: &str, generator: usize) {
    let (turns, bytes) = if full() { (9, 64 * MIB) } else { (1, 8 * MIB) };
    let mut scene = Scene::set(kind, hook, "");
    // One that only listens would take the victims' processor for what it hears.
    scene.segment.unplug(3);
    let scene = scene;
    let nowhere = Namespace::new("nowhere");
    let apart = Tap::open(&nowhere, "apart", TapMode::Plain).expect("a TAP");
    nowhere.ip("link set apart up");
    for (word, to) in [("broadcast", Mac::BROADCAST), ("multicast", GROUP), ("unknown", NOBODY)] {
        let frame = frames::frame(to, scene.one().mac, 60);
        let storm = || {
            for _ in 0..64 {
                scene.say(&frame);
            }
        };
        let elsewhere = || (0..64).for_each(|_| drop(apart.write(&frame)));
        let counted =
            || (scene.bridge.counters("vm1").rx.packets, scene.count("vm1", &format!("drops/storm_{word}")));
        let before = counted();
        let (middle, low, high) = ratio(
            turns,
            || speed(&scene, bytes, generator, elsewhere),
            || speed(&scene, bytes, generator, storm),
        );
        let after = counted();
        eprintln!(
            "{}, {word}: victims keep {middle:.2} ({low:.2} to {high:.2}) of their rate; {} frames, {} dropped",
            scene.told,
            after.0 - before.0,
            after.1 - before.1
        );
        assert!(
            after.1 - before.1 > (after.0 - before.0) / 2,
            "{}: no storm: {before:?} {after:?}",
            scene.told
        );
        // Where others work beside it, the turns differ by more than any storm makes out.
        assert!(!full() || middle >= 0.9, "{}, {word}: {middle:.2}", scene.told);
    }
    let Scene { bridge, .. } = scene;
    bridge.stop();
}
