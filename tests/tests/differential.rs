//! The programs in the kernel against the model in user space: the same sequences of frames, and after each
//! frame the same action, counters, stations and events.
//!
//! `XBR_DIFFERENTIAL_SEQUENCES` runs more of them, `XBR_DIFFERENTIAL_SEED` begins elsewhere.

#[path = "differential/kernel.rs"]
mod kernel;

use std::{env, fs};

use bridge_common::{
    DropReason, PortCounters, SlowReason,
    model::{
        Action, Arrival, Model, Program, Sent,
        laws::{self, changed},
        script::{CLOCKS, Devices, GUESTS, Script, Step, random},
    },
    vlan::Retag,
};
use kernel::{Kernel, device};
use xbr_lab::{Namespace, RawPort, Veth, require_privileges, vm::full};

/// Ports whose other ends only take.
fn lab() -> (Namespace, Namespace, Devices) {
    let (bridge, sinks) = (Namespace::new("bridge"), Namespace::new("sinks"));
    for namespace in [&bridge, &sinks] {
        namespace.sysctl("net/ipv6/conf/default/disable_ipv6", "1");
    }
    let mut indexes = (0..GUESTS as usize + 2).map(|index| {
        let name = device(index);
        Veth::between(&sinks, &format!("sink{index}"), &bridge, &name).create();
        bridge.run(|| nix::net::if_::if_nametoindex(name.as_str())).unwrap()
    });
    let ports = std::array::from_fn(|_| indexes.next().unwrap());
    let stranger = indexes.next().unwrap();
    drop(indexes);
    (bridge, sinks, Devices { ports, absent: 4_000_000, stranger })
}

/// The kernel has no test run for a frame of less than a header, nor in TC for one of no more or without the whole
/// of its IP header (`bpf_test_init`, `bpf_prog_test_run_skb`). It cannot cut a segmented one whose kind nobody
/// declared, which the copies of a flood would ask for.
fn possible(model: &Model, arrival: &Arrival) -> Option<Arrival> {
    let mut arrival = arrival.clone();
    let least = match arrival.bytes.get(12..14)? {
        _ if arrival.program == Program::Xdp => 14,
        [0x08, 0x00] => 14 + 20,
        [0x86, 0xdd] => 14 + 40,
        _ => 15,
    };
    let cut = arrival.program != Program::Xdp && has_half_a_tag(&arrival.bytes);
    if arrival.bytes.len() < least || cut {
        return None;
    }
    if model.floods(&arrival) {
        arrival.gso_size = 0;
    }
    Some(arrival)
}

/// With such a frame TC's kernel is at a loss: it takes off no tag when that or the next one is cut (`skb_vlan_pop`), and nobody
/// receives it (`skb_vlan_untag`).
fn has_half_a_tag(frame: &[u8]) -> bool {
    let is_tag = |at: usize| matches!(frame.get(at..at + 2), Some([0x81, 0x00] | [0x88, 0xa8]));
    is_tag(12) && (frame.len() < 20 || is_tag(16) && frame.len() < 24)
}

/// What the frame itself is when the program has ended, unless it was one for many.
fn bytes_out(model: &Model, arrival: &Arrival, action: Action, sent: &[Sent]) -> Option<Vec<u8>> {
    if action == Action::Spread {
        return sent.first().map(|copy| changed(&arrival.bytes, copy.retag, copy.vlan));
    }
    let [sent] = sent else { return (action == Action::Pass).then(|| arrival.bytes.clone()) };
    match (arrival.program, sent.retag) {
        (Program::Xdp, retag) => Some(changed(&arrival.bytes, retag, sent.vlan)),
        _ if model.floods(arrival) => None,
        // TC's new tag is beside the bytes.
        (_, Retag::Push) => Some(arrival.bytes.clone()),
        (_, Retag::Rewrite) => Some(changed(&arrival.bytes, Retag::Pop, sent.vlan)),
        (_, retag) => Some(changed(&arrival.bytes, retag, sent.vlan)),
    }
}

fn number(action: Action, program: Program) -> u32 {
    match (action, program) {
        // TC_ACT_UNSPEC, TC_ACT_SHOT, TC_ACT_REDIRECT
        (Action::LetThrough, _) => u32::MAX,
        (Action::Consume, _) => 2,
        (Action::Redirect(_), Program::Port | Program::Wire | Program::Host) => 7,
        // XDP_PASS, XDP_DROP, XDP_REDIRECT
        (Action::Pass, _) => 2,
        (Action::Drop, _) => 1,
        (Action::Redirect(_), Program::Xdp) | (Action::Spread, _) => 4,
    }
}

/// Says where it was when a comparison fails.
struct Place<'a>(&'a str, usize, &'a Step);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("*** script {}, step {}: {:02x?}", self.0, self.1, self.2);
        }
    }
}

/// Runs a script on both, once as it is, once on a bridge where XDP copies floods, and some where groups are snooped: all in a full run.
fn replay(kernel: &mut Kernel, devices: &Devices, name: &str, bytes: &[u8], total: &mut Total) {
    let script = Script::decode(bytes, devices);
    let seed = bytes.iter().fold(bytes.len() as u64, |seed, byte| seed.wrapping_mul(31) + u64::from(*byte));
    if full() || seed.is_multiple_of(3) {
        run(kernel, &format!("{name}, with groups"), script.clone().where_groups_are_snooped(seed), total);
    }
    run(kernel, name, script.clone(), total);
    run(kernel, name, script.where_xdp_floods(), total);
}

/// What was run.
#[derive(Default)]
struct Total {
    frames: u64,
    /// Copies that XDP made.
    spread: u64,
    /// Frames for groups that went to some ports, and of them those that the controller was shown.
    grouped: u64,
    shown: u64,
    counters: PortCounters,
}

fn run(kernel: &mut Kernel, name: &str, script: Script, total: &mut Total) {
    let Script { mut model, steps } = script;
    kernel.begin(&model);
    for (index, step) in steps.iter().enumerate() {
        let _place = Place(name, index, step);
        let Step::Frame(arrival) = step else {
            step.operate(&mut model);
            kernel.operate(step, &model);
            continue;
        };
        let Some(arrival) = possible(&model, arrival) else { continue };
        let clock = CLOCKS.iter().position(|clock| *clock == model.now).unwrap();
        let before = model.clone();
        let done = model.run(&arrival);
        // Members hear a group whatever is said of floods; what holds of groups is a law of its own (`bridge-common/src/tests/groups.rs`).
        if !model.config.snoops() {
            laws::check(&before, &arrival, &done, &model);
        }
        let (action, bytes) = kernel.run(&arrival, clock, model.guard, 1 << (index % 32));
        assert_eq!(action, number(done.action, arrival.program), "action, instead of {done:?}");
        if let Some(expected) = bytes_out(&before, &arrival, done.action, &done.sent) {
            assert_eq!(bytes, expected, "the frame's bytes, instead of {done:?}");
        }
        kernel.compare(&model);
        let is_flood = before.floods(&arrival) && arrival.program != Program::Xdp;
        // No test run carries out what was only asked for: the original of a guest's, to the last port.
        let cloned = |sent: &&Sent| is_flood && done.action != Action::Redirect(sent.port);
        let copies: Vec<Sent> = done.sent.iter().filter(cloned).copied().collect();
        kernel.copies(&arrival, before.ingress(&arrival), &copies);
        total.frames += 1;
        total.shown += (model.shown.len() - before.shown.len()) as u64;
        total.grouped += u64::from(model.config.snoops() && arrival.bytes[0] & 1 != 0 && !copies.is_empty());
        if done.action == Action::Spread {
            // Once more, and this time the kernel makes the copies.
            let again = model.run(&arrival);
            kernel.live(&arrival, clock, model.guard);
            kernel.compare(&model);
            let copies = if again.action == Action::Spread { again.sent.as_slice() } else { &[] };
            kernel.copies(&arrival, None, copies);
            total.spread += copies.len() as u64;
        }
    }
    model.counters.values().for_each(|counters| total.counters.add(counters));
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}

#[test]
fn the_kernel_does_what_the_model_does() {
    if !require_privileges() {
        return;
    }
    let (bridge, sinks, devices) = lab();
    let first = setting("XBR_DIFFERENTIAL_SEED", 1);
    let sequences = setting("XBR_DIFFERENTIAL_SEQUENCES", 60);
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../bridge-common/fuzz/corpus/sequence");
    let ears =
        (0..=usize::from(GUESTS)).map(|index| RawPort::open(&sinks, &format!("sink{index}"))).collect();
    bridge.run(|| {
        let mut kernel = Kernel::load(&devices, ears);
        let mut corpus_total = Total::default();
        for entry in fs::read_dir(corpus).unwrap() {
            let path = entry.unwrap().path();
            replay(
                &mut kernel,
                &devices,
                &path.display().to_string(),
                &fs::read(&path).unwrap(),
                &mut corpus_total,
            );
        }
        let mut total = Total::default();
        for seed in first..first + sequences {
            let name = format!("of XBR_DIFFERENTIAL_SEED={seed} XBR_DIFFERENTIAL_SEQUENCES=1");
            replay(&mut kernel, &devices, &name, &random(seed, 1200), &mut total);
        }
        let Total { frames, spread, grouped, shown, counters } = total;
        println!(
            "{frames} frames of {sequences} sequences, {grouped} for groups and {shown} about them, {spread} copies of XDP: {counters:?}"
        );
        if sequences >= 60 {
            every_outcome_was_there(&counters);
            assert!(spread > 100, "XDP made no copies");
            assert!(grouped > 100 && shown > 10, "{grouped} frames for groups, {shown} about them");
        }
    });
}

/// Agreement about frames that never came would prove nothing.
fn every_outcome_was_there(total: &PortCounters) {
    // No test run takes a malformed frame, what a flood leaves out is no drop, and a test run has room for a tag.
    let never = [DropReason::Malformed, DropReason::NoFlood, DropReason::Retag];
    for reason in DropReason::ALL.iter().filter(|reason| !never.contains(reason)) {
        assert_ne!(total.drops[*reason as usize], 0, "no drop: {}", reason.name());
    }
    for reason in SlowReason::ALL.iter().filter(|reason| **reason != SlowReason::Retag) {
        assert_ne!(total.slow[*reason as usize], 0, "no slow path: {}", reason.name());
    }
    let told = [
        total.learned,
        total.moved,
        total.refused_full,
        total.refused_static,
        total.refused_quota,
        total.refused_flap,
        total.events_suppressed,
    ];
    assert!(told.iter().all(|count| *count > 0), "{told:?}");
}
