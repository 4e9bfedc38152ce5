//! How many copies of a flood a second, against the Linux bridge: in turns, counted where they arrive.
//!
//! `--ignored --nocapture` prints the figures. Both switches run as users run them, on veths of their own; a guest's end of one is fed by
//! the kernel's generator.

use std::time::{Duration, Instant};

use bridge_user::link::Links;
use xbr_lab::{
    GuestKind, LinuxBridge, LiveFrames, Mac, Node, Segment, TapsBy, Xbr, ethtool, frames, require_privileges,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const ROUNDS: usize = 9;
/// Copies of one turn.
const COPIES: u32 = 400_000;
const NOBODY: Mac = Mac::numbered(0xffff);

/// A segment whose first guest floods: to the other guests, and to the outside.
struct Subject {
    segment: Segment,
    live: LiveFrames,
    frame: Vec<u8>,
    _switch: Box<dyn std::any::Any>,
}

fn subject(
    recipients: usize,
    to: Mac,
    switch: impl FnOnce(&mut Segment) -> Box<dyn std::any::Any>,
) -> Subject {
    let mut segment = Segment::builder().quiet().guests(recipients, GuestKind::Veth).build();
    let switch = switch(&mut segment);
    // What comes out of one end of a veth by redirect is only taken in by another that polls: one with XDP or GRO.
    ethtool(&segment.host().ns, "vm1", "gro on");
    let one = segment.guest(1);
    let live = LiveFrames::out_of(&one.ns, "eth0");
    let frame = frames::finished(to, one.mac, 64);
    Subject { live, frame, segment, _switch: switch }
}

fn came(node: &Node) -> u64 {
    let link = node.ns.run(|| Links::open().unwrap().get(&"eth0".parse().unwrap()).unwrap().unwrap());
    link.statistics.rx_packets
}

impl Subject {
    fn heard(&self) -> u64 {
        self.segment.guests().skip(1).chain([self.segment.outside()]).map(came).sum()
    }

    /// Copies a second, of those that arrived.
    fn turn(&self, recipients: usize) -> f64 {
        let count = COPIES / recipients as u32;
        let before = self.heard();
        let start = Instant::now();
        self.live.send(&self.frame, count, 512 / recipients as u32);
        let mut elapsed = start.elapsed();
        let wanted = u64::from(count) * recipients as u64;
        let mut heard = self.heard() - before;
        while heard < wanted * 99 / 100 && start.elapsed() < elapsed * 2 + Duration::from_millis(100) {
            heard = self.heard() - before;
        }
        if heard < wanted * 99 / 100 {
            println!("  only {heard} of {wanted} came");
            elapsed = start.elapsed().max(elapsed);
        }
        heard as f64 / elapsed.as_secs_f64()
    }
}

fn compare(what: &str, to: Mac, recipients: usize, words: &'static str) {
    let ours = subject(recipients, to, |segment| Box::new(Xbr::on(XBR, segment, words)));
    let theirs =
        subject(recipients, to, |segment| Box::new(segment.start(TapsBy::Switch, LinuxBridge::start)));
    let mut ratios = Vec::new();
    let mut rates = Vec::new();
    for round in 0..ROUNDS {
        let (one, other) = (ours.turn(recipients), theirs.turn(recipients));
        if round > 0 {
            ratios.push(one / other);
            rates.push(one);
        }
    }
    ratios.sort_by(f64::total_cmp);
    rates.sort_by(f64::total_cmp);
    println!(
        "{what}, {recipients} recipients, {words}: {:.2} of a Linux bridge ({:.2} to {:.2}), {:.2} million copies a second",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1],
        rates[rates.len() / 2] / 1e6
    );
}

#[test]
#[ignore = "prints figures"]
fn unknown_unicasts_and_broadcasts() {
    if !require_privileges() {
        return;
    }
    for recipients in [8, 64] {
        compare("unknown unicast", NOBODY, recipients, "--hook xdp");
        compare("unknown unicast", NOBODY, recipients, "--hook tc");
        compare("broadcast", Mac::BROADCAST, recipients, "--hook xdp");
    }
}
