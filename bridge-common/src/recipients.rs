//! Who gets the copies of a flood, worked out before it comes: what XDP needs to make them in one redirect.
//!
//! A broadcast of `bpf_redirect_map` goes to every device of a devmap, each copy alike. No program is asked about each copy: a device's queue
//! knows one such program, that of the first frame in it (`bq_enqueue`), so that a copy behind a known unicast would go past it. So
//! there is a devmap for each set of recipients, and a frame for which there is none is TC's.

use crate::{
    Config, Decision, DropReason, Frame, Mac, Policies, PortFlags, PortId, Ports, Question, Vlans,
    config::ConfigFlags,
    forward::{Spread, leave},
    frame::Segments,
    port::{LINK_OVERHEAD, MAX_PORTS},
    vlan::{Retag, Tag},
};

/// How many sets there are at once: half of the rows, the other half being what programs on their way may still read.
pub const MAX_SETS: u32 = 128;
/// How many kinds of floods have a set.
pub const MAX_KINDS: u32 = 8_192;

/// What the copies of a flood depend on, beside ports and VLANs, as one word: VLAN, spread, sender, and whether the frame has a tag.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind(pub u32);

/// Who floods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Uplink = 0,
    Guest = 1,
    /// A guest whose port is isolated.
    Isolated = 2,
}

impl Kind {
    /// The kind of a flood that came in here. `None` where there are no sets for such frames: their copies differ.
    #[inline(always)]
    pub const fn of(decision: &Decision, ingress: PortId, tag: Tag) -> Option<Self> {
        let sender = match ingress {
            PortId::HOST => return None,
            PortId::UPLINK => Sender::Uplink,
            _ if decision.from.has(PortFlags::ISOLATED) => Sender::Isolated,
            _ => Sender::Guest,
        };
        if tag.is_present() && (tag.vid() == 0 || tag.is_double()) {
            return None;
        }
        let spread = match decision.spread {
            Spread::One => return None,
            Spread::Unknown => 1,
            Spread::Multicast => 2,
            Spread::Broadcast => 3,
        };
        Some(Self::new(decision.vlan, spread, sender, tag.is_present()))
    }

    #[inline(always)]
    const fn new(vlan: u16, spread: u32, sender: Sender, tagged: bool) -> Self {
        Self((vlan & 0xfff) as u32 | spread << 12 | (sender as u32) << 14 | (tagged as u32) << 16)
    }

    /// Every kind of flood of a VLAN, or of all frames where VLANs are not filtered.
    pub fn each(vlan: u16) -> impl Iterator<Item = Self> {
        let senders = [Sender::Uplink, Sender::Guest, Sender::Isolated];
        let forms: &[bool] = if vlan == 0 { &[false] } else { &[false, true] };
        (1..=3).flat_map(move |spread| {
            senders.into_iter().flat_map(move |sender| {
                forms.iter().map(move |tagged| Self::new(vlan, spread, sender, *tagged))
            })
        })
    }

    const fn vlan(self) -> u16 {
        (self.0 & 0xfff) as u16
    }

    const fn spread(self) -> Spread {
        match self.0 >> 12 & 3 {
            0 => Spread::One,
            1 => Spread::Unknown,
            2 => Spread::Multicast,
            _ => Spread::Broadcast,
        }
    }

    const fn sender(self) -> Sender {
        match self.0 >> 14 & 3 {
            0 => Sender::Uplink,
            1 => Sender::Guest,
            _ => Sender::Isolated,
        }
    }

    /// With VLAN filtering, as what it came; without, nobody asks.
    const fn tag(self) -> Tag {
        if self.0 >> 16 & 1 != 0 { Tag::new(self.vlan(), false) } else { Tag::NONE }
    }

    /// Whether the sender may be among the recipients, and is to be left out. (Never the uplink: the kernel leaves out what lies above a
    /// device as well, and before 6.18.17 has room for eight of those on its stack, `get_upper_ifindexes`.)
    #[inline(always)]
    pub const fn leaves_out_sender(self, from: PortFlags) -> bool {
        matches!(self.sender(), Sender::Guest) && !from.has(PortFlags::HAIRPIN)
    }
}

/// The recipients of some kinds of floods, the sender perhaps among them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipients {
    /// What the bridge's was when this was worked out; of another it says nothing any more.
    pub generation: u64,
    /// The smallest MTU among them.
    pub mtu: u32,
    /// How many they are.
    pub count: u16,
    /// A [`Retag`], of each copy.
    retag: u16,
    /// Their numbers.
    pub ports: [u8; MAX_PORTS as usize],
}

const _: () = assert!(size_of::<Recipients>() == 16 + MAX_PORTS as usize);

impl Default for Recipients {
    fn default() -> Self {
        Self { generation: 0, mtu: u32::MAX, count: 0, retag: 0, ports: [0; MAX_PORTS as usize] }
    }
}

impl Recipients {
    /// What happens to each copy's tag.
    #[inline(always)]
    pub const fn retag(&self) -> Retag {
        match self.retag {
            1 => Retag::Pop,
            2 => Retag::Push,
            _ => Retag::Keep,
        }
    }

    /// Whether a frame of so many bytes fits everywhere, as it comes and as it leaves.
    #[inline(always)]
    pub const fn fits(&self, length: u32) -> bool {
        let longer = if self.retag == 2 { 4 } else { 0 };
        length.saturating_add(longer) <= self.mtu.saturating_add(LINK_OVERHEAD)
    }

    /// Their numbers.
    pub fn each(&self) -> impl Iterator<Item = PortId> {
        self.ports.iter().take(self.count.into()).map(|port| PortId((*port).into()))
    }

    /// Adds one. False if its copy would differ from the others', or if there is no room.
    fn add(&mut self, id: PortId, mtu: u32, retag: Retag) -> bool {
        let number = match retag {
            Retag::Keep => 0,
            Retag::Pop => 1,
            Retag::Push => 2,
            Retag::Rewrite => return false,
        };
        if self.count > 0 && self.retag != number {
            return false;
        }
        let (Some(place), Ok(port)) = (self.ports.get_mut(usize::from(self.count)), u8::try_from(id.0))
        else {
            return false;
        };
        *place = port;
        (self.retag, self.mtu, self.count) = (number, self.mtu.min(mtu), self.count + 1);
        true
    }
}

/// Who gets a copy of such a flood, if XDP can make them all: each alike, none for the host, and none with an account to ask.
pub fn recipients<T: Ports + Vlans + Policies>(
    kind: Kind,
    config: &Config,
    tables: &T,
) -> Option<Recipients> {
    let known = ConfigFlags::VLAN_FILTERING.0 | ConfigFlags::HOST_ALONE.0 | ConfigFlags::NO_LOOP_DETECT.0;
    if kind.spread() != Spread::Unknown && config.flags.0 & !known != 0 {
        // Some other setting may send frames for groups elsewhere.
        return None;
    }
    let uplink = matches!(kind.sender(), Sender::Uplink);
    let (ingress, from) = match kind.sender() {
        Sender::Uplink => (PortId::UPLINK, tables.port(PortId::UPLINK)?.flags),
        // Of no port in particular.
        Sender::Guest => (PortId(u16::MAX), PortFlags::UP),
        Sender::Isolated => (PortId(u16::MAX), PortFlags::UP.or(PortFlags::ISOLATED)),
    };
    // No length: that is asked of each frame.
    let frame = Frame {
        dst: Mac::BROADCAST.address(),
        src: Mac::ZERO.address(),
        tag: kind.tag(),
        frames: Segments::one(0),
    };
    let question = Question { frame, ingress, now: 0, config };
    let refused = Decision::refuse(DropReason::NoPort, ingress);
    let decision = Decision { vlan: kind.vlan(), spread: kind.spread(), from, ..refused };
    let mut all = Recipients::default();
    // A frame of the uplink's never goes back, whatever its flags: TC has no clones between host and wire.
    for egress in (0..config.ports_end).map(PortId).filter(|id| !(uplink && *id == PortId::UPLINK)) {
        match leave(&question, &decision, egress, tables) {
            Ok((port, retag)) => {
                let plain = port.flags.has(PortFlags::XDP) && !port.flags.has(PortFlags::RATE_OUT);
                if egress == PortId::HOST || !plain || !all.add(egress, port.mtu, retag) {
                    return None;
                }
            }
            // Between these two a port that is down is a loss, and TC counts it.
            Err(DropReason::PortDown) if uplink && egress == PortId::HOST => return None,
            Err(reason) if reason.abstains() => {}
            Err(_) => return None,
        }
    }
    (all.count > 0).then_some(all)
}
