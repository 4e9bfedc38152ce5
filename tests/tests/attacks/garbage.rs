//! Frames that are none: of every length, cut off anywhere, of any EtherType, and of nothing but noise.

use xbr_lab::{GuestKind, Mac, frames, require_privileges};

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

    fn below(&mut self, most: u64) -> u64 {
        (self.next() >> 32) % most
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// What is alike in the beginning: whole headers, IPv4 and IPv6 that say more than there is, and tags without end.
fn templates(to: Mac, from: Mac) -> Vec<Vec<u8>> {
    let tags = vec![(0x8100, 0); 2400];
    vec![
        frames::finished(to, from, LONGEST),
        frames::tagged(to, from, &[], 0x0800, LONGEST),
        frames::tagged(to, from, &[], 0x86dd, LONGEST),
        frames::tagged(to, from, &[], 0x0806, LONGEST),
        frames::tagged(to, from, &tags, 0x0800, 0),
    ]
}

/// To a station that is known, from the guest's own address: so each frame is dropped for a reason, or leaves at that one's port. Gives
/// how many the kernel took.
fn cut_off(scene: &Scene, to: Mac, dice: &mut Dice) -> u64 {
    let mut taken = 0;
    for template in templates(to, scene.one().mac) {
        for length in 0..=LONGEST {
            taken += u64::from(scene.say(&template[..length]));
        }
    }
    let mut frame = frames::frame(to, scene.one().mac, LONGEST);
    for length in 0..=LONGEST {
        // Any EtherType that is not a length, and noise behind it.
        dice.fill(&mut frame[12..]);
        taken += u64::from(scene.say(&frame[..length]));
    }
    taken
}

/// Noise from the first byte on. Gives how many the kernel took.
fn noise(scene: &Scene, dice: &mut Dice) -> u64 {
    let mut frame = vec![0; LONGEST];
    let mut taken = 0;
    for length in 0..=LONGEST {
        dice.fill(&mut frame);
        taken += u64::from(scene.say(&frame[..length]));
    }
    taken
}

/// Headers of virtio that lie about segments and sums, before frames that are whole and before noise. Gives how many the kernel took.
fn lies(scene: &Scene, dice: &mut Dice) -> u64 {
    let whole = frames::finished(scene.segment.outside().mac, scene.one().mac, LONGEST);
    let mut noise = vec![0; LONGEST];
    let mut taken = 0;
    for length in 0..=LONGEST {
        dice.fill(&mut noise);
        let kind = [0, 0, 1, 3, 4, 5, 0x81, 0x84][dice.below(8) as usize];
        let mut bytes = vec![dice.below(4) as u8, kind];
        for most in [200, 2000, 100, 40] {
            bytes.extend((dice.below(most) as u16).to_ne_bytes());
        }
        bytes.extend(&[&whole, &noise][dice.below(2) as usize][..length]);
        taken += u64::from(scene.say_raw(&bytes));
    }
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
        let taken = cut_off(&scene, scene.two().mac, &mut dice);
        let after = all(&scene);
        let [came, left, dropped] = [after.0 - before.0, after.1 - before.1, after.2 - before.2];
        eprintln!(
            "{what}: {taken} frames taken, {came} came in, {left} left, {dropped} dropped: {:?}",
            scene.bridge.all_counters().drops()
        );
        // Those with a tag and not six bytes behind: `skb_vlan_untag` frees them before TC, and no device counts them.
        let untold = if kind == GuestKind::Tap { 0 } else { 6 };
        assert_eq!(
            came + untold,
            taken,
            "{what}: what the kernel took has come in: {}",
            scene.bridge.text("stats")
        );
        assert_eq!(left + dropped, came, "{what}: nothing vanishes: {}", scene.bridge.text("stats"));
        let ((taken, came), report) = scene.beside(|| {
            let before = all(&scene).0;
            let taken = noise(&scene, &mut dice);
            (taken, all(&scene).0 - before)
        });
        assert!(
            taken > 5000 && came == taken,
            "{what}: noise, {came} of {taken}: {}",
            scene.bridge.text("stats")
        );
        scene.unharmed("noise", &report);
        if kind == GuestKind::TapVnetHdr {
            let (taken, report) = scene.beside(|| lies(&scene, &mut dice));
            assert!(taken > 1000, "{what}: {taken} headers taken");
            scene.unharmed(&format!("{taken} headers of virtio that lie"), &report);
        }
        // To nobody known, which has a limit: what is sent to one station at full rate takes places in its queue from others.
        let (_, report) = scene.beside(|| cut_off(&scene, Mac::numbered(0xffff), &mut dice));
        scene.unharmed("frames cut off", &report);
        assert!(scene.bridge.station(Mac([0; 6])).is_none());
        scene.victims_are_known("after garbage");
        // What the second guest sends and is sent by TCP goes by its own device's MTU.
        scene.segment.host().ns.ip("link set vm2 mtu 9000");
        scene.tcp_flows();
        let Scene { bridge, .. } = scene;
        bridge.stop();
    }
}
