//! A million sources, one after the other: where the port has a quota, and where the table fills.

use std::time::Duration;

use xbr_lab::{Mac, percent, require_privileges, vm::full};

use crate::{KINDS, alone, scene::Scene};

/// How many.
fn sources() -> u32 {
    if full() { 1_000_000 } else { 200_000 }
}

/// For so many seconds the victims' entries live, and so many they rest before the attack.
fn ageing_and_idle() -> (u64, u64) {
    if full() { (300, 200) } else { (60, 8) }
}

/// Each source says one frame to a station of its own port, so that neither a queue nor storm control is in the way of the table.
fn million(scene: &Scene) -> u64 {
    let to = scene.one().mac;
    let (mut taken, mut frame) = (0, xbr_lab::frames::finished(to, to, 60));
    assert!(scene.say(&frame));
    for number in 0..sources() {
        // Scrambled, so that neighbours in number are none in a table; and each once.
        let source = 0x0300_0000 | number.wrapping_mul(0x9e_3779) & 0xff_ffff;
        frame[6..12].copy_from_slice(&Mac::numbered(source).0);
        taken += u64::from(scene.say(&frame));
    }
    taken
}

#[test]
fn a_million_sources_push_nobody_out() {
    if !require_privileges() {
        return;
    }
    let _alone = alone();
    let (ageing, idle) = ageing_and_idle();
    // A veth has no quota unless asked for: there the table is what fills.
    let scenes = KINDS.map(|(kind, hook)| {
        let scene = Scene::set(kind, hook, &format!("--ageing-time {ageing}"));
        scene.beside(|| ()).1.lost.eq(&0).then_some(scene).expect("victims that reach each other")
    });
    std::thread::sleep(Duration::from_secs(idle));
    scenes.iter().for_each(nobody_is_pushed_out);
    for scene in scenes {
        // And now while they speak.
        let (_, report) = scene.beside(|| million(&scene));
        scene.unharmed("a million sources", &report);
        scene.victims_are_known("after another million");
        scene.tcp_flows();
        let Scene { bridge, .. } = scene;
        bridge.stop();
    }
}

fn nobody_is_pushed_out(scene: &Scene) {
    let named = || ["learned", "refused/quota", "refused/full"].map(|path| scene.count("vm1", path));
    let (before, came) = (named(), scene.bridge.counters("vm1"));
    let (taken, share) = percent(scene.bridge.process.pid(), || million(scene));
    let came = scene.bridge.counters("vm1").since(&came).rx.packets;
    let after = named();
    let [learned, quota, full] = std::array::from_fn(|at| after[at] - before[at]);
    eprintln!(
        "{}: {came} sources after an idle time: {learned} learned, {quota} refused by quota, {full} by the table; the controller \
         used {share:.2} % of a core",
        scene.told
    );
    assert!(taken >= u64::from(sources()) * 9 / 10, "{}: {taken} taken", scene.told);
    assert_eq!(learned + quota + full, came, "{}: {}", scene.told, scene.bridge.text("stats vm1"));
    // A TAP's quota is its own; a veth has none.
    assert!(quota == 0 || learned <= 256, "{}: {learned} learned", scene.told);
    assert!(quota + full > came / 2, "{}: the table took them all", scene.told);
    scene.victims_are_known("after a million sources, idle before");
}
