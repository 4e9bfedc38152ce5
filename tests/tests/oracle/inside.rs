//! The comparison itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    time::Duration,
};

use xbr_lab::{
    GuestKind::Veth, LinuxBridge, Mac, Namespace, RawPort, Segment, Xbr, frames, patience, require_privileges,
};

use crate::XBR;

/// Ports: the uplink and the guests'.
const GUESTS: usize = 4;
const STATIONS: u64 = 8;
/// The first of them.
const STATICS: u64 = 2;
const FRAMES: usize = 150;
/// Between two frames, so that what the first one teaches is known to the second.
const PACE: Duration = Duration::from_millis(3);
const QUIET: Duration = Duration::from_millis(100);

/// What a broken switch leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Nothing,
    Flags,
    Vlans,
    Statics,
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len() as u64) as usize]
    }
}

/// What both switches are told, in the words that both understand.
struct Plan {
    /// `dev vm1 isolated on`
    flags: Vec<String>,
    /// `add dev vm1 vid 10 pvid untagged`
    vlans: Vec<String>,
    /// Address, port, VLAN.
    statics: Vec<(Mac, String, Option<u16>)>,
    /// The port where each comes in, and the frame.
    frames: Vec<(usize, Vec<u8>)>,
}

const VIDS: [u16; 3] = [10, 20, 30];

fn port(index: usize) -> String {
    if index == 0 { "eth0".into() } else { format!("vm{index}") }
}

fn station(number: u64) -> Mac {
    Mac::numbered(100 + number as u32)
}

impl Plan {
    fn make(seed: u64, vlans: bool) -> Plan {
        let mut dice = Dice(seed);
        let mut plan = Plan { flags: Vec::new(), vlans: Vec::new(), statics: Vec::new(), frames: Vec::new() };
        for index in 1..=GUESTS {
            for flag in [
                "isolated on",
                "learning off",
                "flood off",
                "mcast_flood off",
                "bcast_flood off",
                "hairpin on",
                "locked on",
            ] {
                let often = if flag == "locked on" { 8 } else { 4 };
                if dice.roll(often) == 0 {
                    plan.flags.push(format!("dev {} {flag}", port(index)));
                }
            }
        }
        for index in (0..=GUESTS).filter(|_| vlans) {
            for vid in VIDS {
                let how = dice.pick(&["", "", "untagged", "pvid untagged", "pvid"]);
                if dice.roll(3) != 0 {
                    plan.vlans.push(format!("add dev {} vid {vid} {how}", port(index)));
                }
            }
            // A PVID of its own takes the place of VLAN 1 in xbr, and stands beside it in the Linux bridge: see the guide.
            let own = format!("dev {} ", port(index));
            let own = plan.vlans.iter().any(|words| words.contains(&own) && words.contains("pvid"));
            if !own && dice.roll(3) == 0 {
                plan.vlans.push(format!("del dev {} vid 1", port(index)));
            }
        }
        for number in 0..STATICS {
            let dev = port(1 + dice.roll(GUESTS as u64) as usize);
            let member = |vid: &&u16| {
                plan.vlans.iter().any(|words| words.starts_with(&format!("add dev {dev} vid {vid} ")))
            };
            let vids: Vec<u16> = VIDS.iter().filter(member).copied().collect();
            if vlans && vids.is_empty() {
                continue;
            }
            let vid = vlans.then(|| dice.pick(&vids));
            plan.statics.push((station(number), dev, vid));
        }
        for id in 0..FRAMES as u16 {
            plan.frames.push((dice.roll(1 + GUESTS as u64) as usize, frame(&mut dice, id, vlans)));
        }
        plan
    }
}

fn frame(dice: &mut Dice, id: u16, vlans: bool) -> Vec<u8> {
    // In xbr, what is static in one VLAN is learned at no other port in any; in the Linux bridge each VLAN stands alone.
    let mute = if vlans { STATICS } else { 0 };
    let from = station(mute + dice.roll(STATIONS - mute));
    let to = match dice.roll(12) {
        0 => Mac([0xff; 6]),
        1 => Mac([0x01, 0, 0x5e, 1, 2, 3]),
        2 => Mac([0x33, 0x33, 0, 1, 2, 3]),
        3 => Mac::numbered(200),
        _ => station(dice.roll(STATIONS)),
    };
    let priority = (dice.roll(8) as u16) << 13;
    let tag = match dice.roll(6) {
        0 | 1 => None,
        2 => Some(priority),
        3 => Some(priority | dice.pick(&[1, 40, 4094])),
        _ => Some(priority | dice.pick(&VIDS)),
    };
    let tags: Vec<(u16, u16)> = tag.map(|tci| (0x8100, tci)).into_iter().collect();
    let mut frame = frames::tagged(to, from, &tags, frames::EXPERIMENTAL, 60);
    let end = frame.len();
    frame[end - 2..].copy_from_slice(&id.to_be_bytes());
    frame
}

/// Where each frame came out, and how it looked there.
type Heard = BTreeMap<u16, BTreeSet<(usize, Vec<u8>)>>;

fn segment() -> Segment {
    Segment::builder().guests(GUESTS, Veth).quiet().build()
}

fn hear(segment: &Segment, plan: &Plan) -> Heard {
    let ports: Vec<RawPort> = std::iter::once(segment.outside())
        .chain(segment.guests())
        .map(|node| RawPort::open(&node.ns, "eth0"))
        .collect();
    for (at, frame) in &plan.frames {
        ports[*at].send(frame).unwrap();
        std::thread::sleep(patience(PACE));
    }
    let mut heard = Heard::new();
    for (at, port) in ports.iter().enumerate() {
        for frame in port.collect(patience(QUIET)).unwrap() {
            let [.., a, b] = frame.bytes[..] else { continue };
            if frame.bytes.len() >= 74 {
                heard.entry(u16::from_be_bytes([a, b])).or_default().insert((at, frame.bytes));
            }
        }
    }
    heard
}

fn bridge(ns: &Namespace, words: &str) {
    let output = ns.command("bridge", words.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "bridge {words}: {}", String::from_utf8_lossy(&output.stderr));
}

fn through_linux(plan: &Plan) -> Heard {
    let segment = segment();
    let _bridge = LinuxBridge::start(&segment);
    let ns = &segment.host().ns;
    if !plan.vlans.is_empty() {
        ns.ip("link set br0 type bridge vlan_filtering 1");
    }
    for words in &plan.vlans {
        bridge(ns, &format!("vlan {words}"));
        if words.contains("pvid") {
            let dev = words.split_whitespace().nth(2).expect("a device");
            bridge(ns, &format!("vlan del dev {dev} vid 1"));
        }
    }
    plan.flags.iter().for_each(|words| bridge(ns, &format!("link set {words}")));
    for (mac, dev, vlan) in &plan.statics {
        let vlan = vlan.map_or(String::new(), |vlan| format!("vlan {vlan}"));
        // Static alone would move with the first frame from elsewhere (`br_fdb_update`), which in xbr no static station does.
        bridge(ns, &format!("fdb add {mac} dev {dev} master static sticky {vlan}"));
    }
    hear(&segment, plan)
}

fn through_xbr(plan: &Plan, hook: &str, broken: Broken) -> Heard {
    let mut segment = segment();
    let xbr = Xbr::on(XBR, &mut segment, &format!("--hook {hook}"));
    if broken != Broken::Vlans {
        if !plan.vlans.is_empty() {
            xbr.text("vlan filtering on");
        }
        plan.vlans.iter().for_each(|words| drop(xbr.text(&format!("vlan {words}"))));
    }
    if broken != Broken::Flags {
        plan.flags.iter().for_each(|words| drop(xbr.text(&format!("port set {words}"))));
    }
    for (mac, dev, vlan) in plan.statics.iter().filter(|_| !matches!(broken, Broken::Statics | Broken::Vlans))
    {
        let vlan = vlan.map_or(String::new(), |vlan| format!("vlan {vlan}"));
        xbr.text(&format!("fdb add {mac} dev {dev} {vlan}"));
    }
    let heard = hear(&segment, plan);
    xbr.stop();
    heard
}

/// How many frames come out elsewhere, or otherwise.
fn differences(ours: &Heard, theirs: &Heard) -> Vec<u16> {
    let ids: BTreeSet<u16> = ours.keys().chain(theirs.keys()).copied().collect();
    ids.into_iter().filter(|id| ours.get(id) != theirs.get(id)).collect()
}

fn compare(vlans: bool) {
    if !require_privileges() {
        return;
    }
    let seeds: u64 = env::var("XBR_ORACLE_SEEDS").map_or(4, |text| text.parse().expect("a number"));
    let first: u64 = env::var("XBR_ORACLE_FIRST").map_or(1, |text| text.parse().expect("a number"));
    let mut missed: BTreeMap<String, usize> = BTreeMap::new();
    for seed in first..=seeds {
        let plan = Plan::make(seed, vlans);
        let theirs = through_linux(&plan);
        let hook = ["tc", "xdp"][seed as usize % 2];
        let ours = through_xbr(&plan, hook, Broken::Nothing);
        let wrong = differences(&ours, &theirs);
        let show = |id: &u16| {
            let brief = |heard: &Heard| {
                let places = heard.get(id).into_iter().flatten();
                places.map(|(at, bytes)| format!("{}: {:02x?}", port(*at), &bytes[..18])).collect::<Vec<_>>()
            };
            let (at, bytes) = &plan.frames[usize::from(*id)];
            format!(
                "\n{id} from {}: {:02x?}\n  xbr   {:?}\n  Linux {:?}",
                port(*at),
                &bytes[..18],
                brief(&ours),
                brief(&theirs)
            )
        };
        let shown: String = wrong.iter().take(5).map(show).collect();
        assert!(
            wrong.is_empty(),
            "seed {seed}, {hook}: {} of {FRAMES} frames differ: {:?} {:?} {:?}{shown}",
            wrong.len(),
            plan.flags,
            plan.vlans,
            plan.statics
        );
        println!(
            "seed {seed}, {hook}: {} of {FRAMES} frames came out somewhere, everywhere the same",
            theirs.len()
        );
        // And would it show? A switch that leaves something out has to fail.
        for broken in [Broken::Flags, Broken::Vlans, Broken::Statics] {
            if seed == first && (vlans || broken != Broken::Vlans) {
                let ours = through_xbr(&plan, hook, broken);
                *missed.entry(format!("{broken:?}")).or_default() += differences(&ours, &theirs).len();
            }
        }
    }
    println!("frames that showed what was left out: {missed:?}");
    assert!(
        missed.values().all(|count| *count > 0),
        "the comparison does not see what is left out: {missed:?}"
    );
}

#[test]
#[ignore = "run inside guests"]
fn vlans_and_flags() {
    compare(true);
}

#[test]
fn flags() {
    compare(false);
}
