//! Loops through guests: a guest that joins two of its ports brings every flood back.
//!
//! Nothing is sent while nothing is suspicious. Where something is, a probe goes out of every port, and the programs note where it comes
//! in again. Of the guests' ports where it does the youngest is stopped, and the rest probed anew: there may be more loops.
//!
//! Invariant: a port is stopped only if a probe came in there. So no guest can have the port of another stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read as _,
    time::Duration,
};

use bridge_common::{DropReason, PortCounters, PortId, Vlan, config::ConfigFlags, policy::Stop, probe};
use tokio::time::Instant;

use super::Bridge;
use crate::{Error, Result, control::Event, plan::steps::Member};

/// Stations that move to a port in a second, or are refused there, beyond which that is suspicious. A router behind a port may bring many
/// at once: then a probe finds nothing, which harms nobody.
const MANY_MOVES: u64 = 10;
/// How long a probe may be on its way.
const WAY: Duration = Duration::from_millis(150);
/// How often it is sent: the queue to a guest may be full in a storm.
const TRIES: u32 = 5;
/// How often more once it has come in somewhere: the other end of the loop may be slower.
const TRIES_AFTER: u32 = 2;
/// The most frames of one try.
const FRAMES: usize = 4096;
/// The most seconds between probes that find nothing while the suspicion lasts.
const LONGEST_PAUSE: u32 = 8;
/// Without a tag, the shortest that Ethernet knows.
const LENGTH: usize = 60;

/// What is known about loops.
#[derive(Default)]
pub(super) struct Loops {
    /// The counters that make suspicious, as they were a second ago.
    signs: BTreeMap<PortId, Signs>,
    /// Ports that a probe has found nothing about, and that have been suspicious since.
    known: BTreeSet<PortId>,
    round: Option<Round>,
    /// Seconds until the next probe, and how many it will be after one that finds nothing.
    pause: u32,
    next_pause: u32,
    /// The loop beyond the uplink was told of.
    told_outside: bool,
}

/// What rises where frames come back.
#[derive(Clone, Copy, Default)]
struct Signs {
    /// The host's own frames, and floods over their limit.
    frames: u64,
    /// Stations that moved here, or were not let.
    moves: u64,
}

impl Signs {
    fn of(counters: &PortCounters) -> Self {
        let dropped = |reason: DropReason| counters.drops[reason as usize];
        let storms = [DropReason::StormBroadcast, DropReason::StormMulticast, DropReason::StormUnknown];
        Self {
            frames: dropped(DropReason::HostSource) + storms.map(dropped).iter().sum::<u64>(),
            moves: counters.moved + counters.refused_static + counters.refused_flap,
        }
    }

    /// Whether what happened since `before` is suspicious.
    fn are_suspicious(&self, before: &Self) -> bool {
        // They were set to zero meanwhile, for a new port of an old number.
        let anew = self.frames < before.frames || self.moves < before.moves;
        let before = if anew { Self::default() } else { *before };
        self.frames > before.frames || self.moves > before.moves + MANY_MOVES
    }
}

/// One probe.
struct Round {
    nonce: u64,
    /// How often it is still to be sent.
    tries: u32,
    /// It came in somewhere.
    seen: bool,
    /// When to look, and to send it again.
    next: Instant,
}

impl Bridge {
    /// When [`Self::probe_on`] is to be called, if at all.
    pub(super) fn probe_due(&self) -> Option<Instant> {
        self.loops.round.as_ref().map(|round| round.next)
    }

    /// What was counted until now is no reason to look.
    pub(super) fn begin_watching_loops(&mut self) -> Result<()> {
        self.suspicious().map(drop)
    }

    /// Called every second.
    pub(super) fn watch_loops(&mut self) -> Result<()> {
        if self.hands.tables.config().flags.has(ConfigFlags::NO_LOOP_DETECT) {
            self.loops = Loops::default();
            return self.begin_watching_loops();
        }
        let suspicious = self.suspicious()?;
        if self.loops.round.is_some() {
            return Ok(());
        }
        self.loops.known.retain(|id| suspicious.contains(id));
        if suspicious.is_empty() {
            (self.loops.next_pause, self.loops.pause) = (1, 0);
            self.loops.told_outside = false;
        } else if suspicious.is_subset(&self.loops.known) && self.loops.pause > 0 {
            self.loops.pause -= 1;
        } else {
            // Who only pretends hides no loop of others: those are suspicious anew.
            self.loops.known = suspicious;
            self.begin_probe()?;
        }
        Ok(())
    }

    /// The ports where what happened since the last call looks like a loop, without those that are stopped.
    fn suspicious(&mut self) -> Result<BTreeSet<PortId>> {
        let (mut signs, mut suspicious) = (BTreeMap::new(), BTreeSet::new());
        for id in self.members.keys().copied() {
            if self.is_stopped(id)? {
                continue;
            }
            let now = Signs::of(&self.hands.tables.counters(id)?);
            if now.are_suspicious(&self.loops.signs.get(&id).copied().unwrap_or_default()) {
                suspicious.insert(id);
            }
            signs.insert(id, now);
        }
        self.loops.signs = signs;
        Ok(suspicious)
    }

    /// A port forwards that was stopped. What came in there while it was is no reason to stop it again.
    pub(super) fn probe_anew(&mut self) -> Result<()> {
        if self.loops.round.is_some() { self.begin_probe() } else { Ok(()) }
    }

    fn begin_probe(&mut self) -> Result<()> {
        let nonce = random()?;
        self.hands.tables.set_probe(nonce)?;
        tracing::debug!("looking for a loop");
        self.loops.round = Some(Round { nonce, tries: TRIES, seen: false, next: Instant::now() });
        self.probe_on()
    }

    /// Looks where the probe came in, and sends it again or draws the conclusion.
    pub(super) fn probe_on(&mut self) -> Result<()> {
        let Some(mut round) = self.loops.round.take() else { return Ok(()) };
        let found = self.looped(round.nonce)?;
        if !round.seen && !found.is_empty() {
            (round.seen, round.tries) = (true, TRIES_AFTER);
        }
        if round.tries > 0 {
            round.tries -= 1;
            self.send_probes(round.nonce)?;
            round.next = Instant::now() + WAY;
            self.loops.round = Some(round);
            return Ok(());
        }
        self.hands.tables.set_probe(0)?;
        self.conclude(&found)
    }

    /// The ports where a probe came in, without those that are stopped.
    fn looped(&self, nonce: u64) -> Result<Vec<PortId>> {
        let mut found = Vec::new();
        for id in self.members.keys().copied() {
            if self.hands.tables.probed(id)? == nonce && !self.is_stopped(id)? {
                found.push(id);
            }
        }
        Ok(found)
    }

    fn conclude(&mut self, found: &[PortId]) -> Result<()> {
        let mut guests = Vec::new();
        for id in found.iter().copied().filter(|id| id.is_guest()) {
            guests.push((self.hands.tables.joined(id)?, id));
        }
        let Some((_, youngest)) = guests.iter().copied().max() else {
            self.loops.pause = self.loops.next_pause;
            self.loops.next_pause = (self.loops.next_pause * 2).clamp(1, LONGEST_PAUSE);
            if !found.is_empty() && !self.loops.told_outside {
                self.loops.told_outside = true;
                let uplink = self.name_of(PortId::UPLINK);
                tracing::warn!("a loop beyond {uplink}: what was sent out there comes back");
                self.tell_port(
                    Event::PortChanged,
                    PortId::UPLINK,
                    "what was sent out comes back: a loop outside",
                );
            }
            return Ok(());
        };
        let names: Vec<_> = found.iter().map(|id| self.name_of(*id)).collect();
        let name = self.name_of(youngest);
        tracing::warn!("port {name} is stopped: what was sent out came back at {}", names.join(" and "));
        self.set_stop(youngest, Stop::Loop)?;
        self.begin_probe()
    }

    /// A probe out of every port that forwards, in each VLAN that could loop.
    fn send_probes(&self, nonce: u64) -> Result<()> {
        let Some(programs) = &self.hands.programs else { return Ok(()) };
        let config = self.hands.tables.config();
        let vlans = if config.filters_vlans() { self.hands.tables.vlans().all()? } else { Vec::new() };
        let in_vlans = |id: PortId| {
            let others = move |vlan: &Vlan| !vlan.members.with(id, false).is_empty();
            let members = vlans.iter().filter(move |(_, vlan)| vlan.members.has(id) && others(vlan));
            members.map(move |(vid, vlan)| (id, *vid, !vlan.untagged.has(id)))
        };
        let untagged = |id: PortId| (!config.filters_vlans()).then_some((id, 0, false));
        let mut ports = Vec::new();
        for (id, member) in &self.members {
            if member.forwards() && !self.is_stopped(*id)? {
                ports.push(member);
            }
        }
        let probes = ports.iter().flat_map(|port: &&Member| {
            let probes = untagged(port.id).into_iter().chain(in_vlans(port.id));
            probes.map(|(_, vid, tagged)| (port.ifindex, vid, tagged))
        });
        for (ifindex, vid, tagged) in probes.take(FRAMES) {
            // A queue that is full takes the next one.
            programs.send_probe(ifindex, &frame(config.uplink.mac().0, nonce, vid, tagged))?;
        }
        Ok(())
    }
}

/// A probe as it goes out.
fn frame(source: [u8; 6], nonce: u64, vid: u16, tagged: bool) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(source);
    if tagged {
        frame.extend([[0x81, 0], vid.to_be_bytes()].concat());
    }
    frame.extend(probe::ETHER_TYPE.to_be_bytes());
    frame.extend(probe::payload(nonce, vid));
    // For whoever captures it.
    frame.extend(b"xbr looks for a loop");
    frame.resize(frame.len().max(LENGTH), 0);
    frame
}

/// A number that no guest can guess, and that is not 0.
fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(Error::io("read a random number"))?;
    Ok(u64::from_ne_bytes(bytes).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_come_back_and_many_moves_are_suspicious() {
        let signs = |frames, moves| Signs { frames, moves };
        let before = signs(5, 100);
        assert!(!signs(5, 110).are_suspicious(&before));
        assert!(signs(6, 100).are_suspicious(&before));
        assert!(signs(5, 111).are_suspicious(&before));
        assert!(!signs(0, 0).are_suspicious(&before), "a new port of an old number");
        assert!(signs(0, 11).are_suspicious(&before), "which is looped");
    }

    #[test]
    fn a_probe_is_a_whole_frame_that_the_programs_know() {
        for (vid, tagged) in [(0, false), (10, false), (10, true)] {
            let frame = frame([2; 6], 7, vid, tagged);
            assert_eq!(frame.len(), LENGTH);
            assert_eq!(probe::nonce(&&frame[..], vid), Some(7));
        }
    }
}
