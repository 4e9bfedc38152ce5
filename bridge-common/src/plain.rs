//! Most frames: from a station that is where it was to another one, as they are, with nothing to write down.
//!
//! What becomes of them is decided by [`crate::decide`] like everything else. [`at_once`] finds the same without asking for what few frames
//! need, or finds nothing; the model compares the two for every frame.

use crate::{
    Decision, Port, PortFlags, PortId, Ports, Question, Stations, Verdict,
    decision::Lesson,
    port::MAX_PORTS,
    vlan::{MAX_VLANS, Retag},
};

/// What is decided about most frames: to one port, as they are, and nothing to be written down or taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Where it goes.
    pub egress: PortId,
    /// That port's device.
    pub ifindex: u32,
    /// Whether that takes redirects of XDP.
    pub takes_xdp: bool,
    /// See [`Decision::vlan`].
    pub vlan: u16,
}

impl Plain {
    const PRESENT: u64 = 1 << 63;

    #[inline(always)]
    const fn new(egress: PortId, to: &Port, vlan: u16) -> Self {
        Self { egress, ifindex: to.ifindex, takes_xdp: to.flags.has(PortFlags::XDP), vlan }
    }

    /// The same as one word, which is not 0.
    #[inline(always)]
    pub const fn to_word(&self) -> u64 {
        const { assert!(MAX_PORTS == 1 << 8 && MAX_VLANS <= 1 << 12) };
        let (egress, vlan) = ((self.egress.0 as u64 & 0xff) << 32, (self.vlan as u64 & 0xfff) << 40);
        Self::PRESENT | self.ifindex as u64 | egress | vlan | (self.takes_xdp as u64) << 52
    }

    /// What such a word says.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self {
            egress: PortId((word >> 32 & 0xff) as u16),
            ifindex: word as u32,
            takes_xdp: word >> 52 & 1 != 0,
            vlan: (word >> 40 & 0xfff) as u16,
        }
    }
}

impl Decision {
    /// The decision, if it is [`Plain`]: then [`crate::commit`] and [`crate::forward::departed`] have nothing to do.
    #[inline(always)]
    pub fn plain(&self) -> Option<Plain> {
        let charged = self.from.has(PortFlags::RATE_IN) || self.to.flags.has(PortFlags::RATE_OUT);
        match self.verdict {
            Verdict::Forward(egress)
                if self.lesson == Lesson::Nothing && self.retag == Retag::Keep && !charged =>
            {
                Some(Plain::new(egress, &self.to, self.vlan))
            }
            _ => None,
        }
    }
}

/// Of a port that brings a frame in: what [`at_once`] leaves to [`crate::decide`].
const ASKS_MORE: PortFlags =
    PortFlags(PortFlags::NO_LEARNING.0 | PortFlags::INSPECTED.0 | PortFlags::RATE_IN.0);

/// What is decided about a frame, if it is [`Plain`] and that is seen at once. `port` is where it came in.
#[inline(always)]
pub fn at_once(
    question: &Question<'_>,
    port: &Port,
    stations: &impl Stations,
    ports: &impl Ports,
) -> Option<Plain> {
    let Question { frame, ingress, now, config } = question;
    let (from, ageing) = (port.flags, config.ageing);
    if config.filters_vlans() || !from.has(PortFlags::UP) || from.any(ASKS_MORE) {
        return None;
    }
    if !frame.src.is_station() || frame.dst.is_group() {
        return None;
    }
    let is_own = frame.src.is(config.uplink);
    if is_own != (*ingress == PortId::HOST) {
        return None;
    }
    if !is_own {
        let here = stations.whereabouts(&frame.source(0), *now, ageing);
        if !here.is_known() || here.port() != *ingress || here.is_due() {
            return None;
        }
    }
    let mut egress = PortId::HOST;
    if !frame.dst.is(config.uplink) {
        let there = stations.whereabouts(&frame.destination(0), *now, ageing);
        if !there.is_known() {
            return None;
        }
        egress = there.port();
    }
    let to = ports.port(egress)?;
    let apart = from.has(PortFlags::ISOLATED) && to.flags.has(PortFlags::ISOLATED);
    let fits = to.is_up() && to.fits(frame.frames.longest);
    if egress == *ingress || apart || !fits || to.flags.has(PortFlags::RATE_OUT) {
        return None;
    }
    Some(Plain::new(egress, &to, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DropReason;

    /// Whatever [`crate::commit`] or [`crate::forward::departed`] would have something to do for takes the long way.
    #[test]
    fn what_is_plain() {
        let to = Port { ifindex: 7, mtu: 1500, flags: PortFlags::UP.or(PortFlags::STORM) };
        let (egress, from) = (PortId(3), PortFlags::UP.or(PortFlags::STORM));
        let verdict = Verdict::Forward(egress);
        let plain = Decision { verdict, vlan: 9, from, to, ..Decision::refuse(DropReason::NoPort, egress) };
        assert_eq!(plain.plain(), Some(Plain::new(egress, &to, 9)));
        for other in [
            Decision { verdict: Verdict::Flood(egress), ..plain },
            Decision { verdict: Verdict::Drop(DropReason::NoPort, egress), ..plain },
            Decision { lesson: Lesson::Refresh, ..plain },
            Decision { lesson: Lesson::RefuseFlap, ..plain },
            Decision { retag: Retag::Pop, ..plain },
            Decision { from: from.or(PortFlags::RATE_IN), ..plain },
            Decision { to: Port { flags: to.flags.or(PortFlags::RATE_OUT), ..to }, ..plain },
        ] {
            assert_eq!(other.plain(), None, "{other:?}");
        }
    }

    #[test]
    fn a_word_says_all_of_it() {
        for takes_xdp in [false, true] {
            let all = Plain { egress: PortId(255), ifindex: u32::MAX, takes_xdp, vlan: 4095 };
            let none = Plain { egress: PortId(0), ifindex: 0, takes_xdp, vlan: 0 };
            for plain in [all, none] {
                assert_eq!(Plain::from_word(plain.to_word()), plain);
                assert_ne!(plain.to_word(), 0);
            }
        }
    }
}
