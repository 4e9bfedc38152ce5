//! Frames that are none: of every length, cut off anywhere, of any EtherType, and of nothing but noise.

use xbr_lab::{Mac, frames, require_privileges};

use crate::{KINDS, alone, scene::Scene};

const LONGEST: usize = 9200;

/// xorshift64: the same in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// What is alike in the beginning: whole headers, IPv4 and IPv6 that say more than there is, and tags without end.
fn templates(scene: &Scene) -> Vec<Vec<u8>> {
    let (to, from) = (scene.two().mac, scene.one().mac);
    let tags = vec![(0x8100, 0); 2400];
    vec![
        frames::finished(to, from, LONGEST),
        frames::tagged(to, from, &[], 0x0800, LONGEST),
        frames::tagged(to, from, &[], 0x86dd, LONGEST),
        frames::tagged(to, from, &[], 0x0806, LONGEST),
        frames::tagged(to, from, &tags, 0x0800, 0),
    ]
}

/// To a victim, from the guest's own address: so each frame is dropped for a reason, or leaves at the victim's port. Gives how many
/// the kernel took.
fn cut_off(scene: &Scene, dice: &mut Dice) -> u64 {
    let mut taken = 0;
    for template in templates(scene) {
        for length in 0..=LONGEST {
            taken += u64::from(scene.say(&template[..length]));
        }
    }
    let mut frame = frames::frame(scene.two().mac, scene.one().mac, LONGEST);
    for length in 0..=LONGEST {
        // Any EtherType that is not a length, and noise behind it.
        dice.fill(&mut frame[12..]);
        taken += u64::from(scene.say(&frame[..length]));
    }
    taken
}

/// Noise from the first byte on.
fn noise(scene: &Scene, dice: &mut Dice, say: impl Fn(&[u8]) -> bool) -> u64 {
    let mut frame = vec![0; LONGEST];
    let mut taken = 0;
    for length in 0..=LONGEST {
        dice.fill(&mut frame);
        taken += u64::from(say(&frame[..length]));
    }
    assert!(taken > 1000, "{}: {taken} taken", scene.told);
    taken
}

fn all(scene: &Scene) -> (u64, u64, u64) {
    let all = scene.bridge.all_counters();
    (all.of("vm1").rx.packets, all.of("vm2").tx.packets, all.drops().values().sum())
}

#[test]
fn garbage_of_every_length_harms_nobody_and_all_of_it_is_counted() {
    if !require_privileges() {
        return;
    }
    let _alone = alone();
    for (kind, hook) in KINDS {
        // A veth takes no more than its MTU, and what the victims' devices cannot take is to be seen too.
        let scene = Scene::with_mtu(kind, hook, "--metrics 127.0.0.1:9475", 9000);
        let (what, mut dice) = (&scene.told, Dice(0x2545_f491_4f6c_dd1d));
        scene.segment.host().ns.ip("link set vm2 mtu 1500");
        // The victims' own frames to the second guest are none of the sum.
        let before = all(&scene);
        let taken = cut_off(&scene, &mut dice);
        let after = all(&scene);
        let [came, left, dropped] = [after.0 - before.0, after.1 - before.1, after.2 - before.2];
        eprintln!(
            "{what}: {taken} frames taken, {came} came in, {left} left, {dropped} dropped: {:?}",
            scene.bridge.all_counters().drops()
        );
        assert_eq!(came, taken, "{what}: what the kernel took has come in: {}", scene.bridge.text("stats"));
        assert_eq!(left + dropped, came, "{what}: nothing vanishes: {}", scene.bridge.text("stats"));
        let ((taken, came), report) = scene.beside(|| {
            let before = all(&scene).0;
            let taken = noise(&scene, &mut dice, |frame| scene.say(frame));
            (taken, all(&scene).0 - before)
        });
        assert_eq!(came, taken, "{what}: noise: {}", scene.bridge.text("stats"));
        scene.unharmed("noise", &report);
        // Headers of virtio that are noise too: lengths of segments, offsets of sums.
        let (taken, report) = scene.beside(|| noise(&scene, &mut dice, |frame| scene.say_raw(frame)));
        scene.unharmed(&format!("noise with {taken} of {LONGEST} headers that the kernel takes"), &report);
        let (_, report) = scene.beside(|| cut_off(&scene, &mut dice));
        scene.unharmed("frames cut off", &report);
        assert!(scene.bridge.station(Mac([0; 6])).is_none());
        scene.victims_are_known("after garbage");
        scene.tcp_flows();
        let Scene { bridge, .. } = scene;
        bridge.stop();
    }
}
