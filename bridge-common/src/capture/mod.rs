//! `xbr capture`: what it wants of the programs, and what they hand over.

mod sight;

pub use sight::{Direction, Outcome, Path, Sight, Sighting};

use crate::{
    Mac, Packet, PortId,
    frame::{HEADER, ether},
    port::MAX_PORTS,
};

/// The most bytes of a frame that one record holds: the kernel writes a record's length, of which the kernel's own
/// part and [`Sighting`] are 44 bytes, into 16 bits (`perf_event_header::size`).
pub const SNAPLEN_MAX: u32 = 65_480;

/// What is wanted, as bits.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted(pub u32);

impl Wanted {
    /// No capture is on.
    pub const NOTHING: Self = Self(0);
    /// A capture is on.
    pub const FRAMES: Self = Self(1);
    /// Only frames of [`Capture::mac`].
    pub const MAC: Self = Self(1 << 1);
    /// Only frames of [`Capture::vlan`].
    pub const VLAN: Self = Self(1 << 2);
    /// Only frames of [`Capture::ether_type`].
    pub const ETHER_TYPE: Self = Self(1 << 3);

    /// All bits of `other` are set.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The one capture of a bridge. Off until somebody asks for it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Read for every frame.
    pub wanted: Wanted,
    /// How many bytes of a frame are kept, at most [`SNAPLEN_MAX`].
    pub snaplen: u32,
    /// Source or destination.
    pub mac: Mac,
    /// The outermost tag's VLAN; 0 for frames without a tag or with a priority only.
    pub vlan: u16,
    /// After at most two tags.
    pub ether_type: u16,
    /// Nothing; makes the padding explicit.
    pub padding: [u16; 3],
    /// A bit for each port.
    pub ports: [u64; MAX_PORTS as usize / 64],
}

const _: () = assert!(size_of::<Capture>() == 56);

/// A VLAN tag that travels beside the frame, as its protocol (0x8100, 0x88a8) and TCI; zeroes where there is none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    /// 0 for none.
    pub protocol: u16,
    /// Priority and VLAN.
    pub tci: u16,
}

/// The bits of a TCI that are the VLAN.
const VID: u16 = 0x0fff;

impl Capture {
    /// Whether a port's frames are wanted.
    #[inline(always)]
    pub fn has(&self, port: PortId) -> bool {
        let (word, bit) = Self::place(port);
        self.ports.get(word).is_some_and(|word| word >> bit & 1 != 0)
    }

    /// By the number's low byte, which is all of it ([`MAX_PORTS`]): a comparison with the end of the array is nothing
    /// to the verifier where LLVM has made it one of another register.
    #[inline(always)]
    const fn place(port: PortId) -> (usize, u32) {
        const { assert!(MAX_PORTS == 256) };
        let port = port.0 as u8;
        ((port >> 6) as usize, (port & 63) as u32)
    }

    /// Wants a port's frames, or no more.
    pub fn set(&mut self, port: PortId, on: bool) {
        let (word, bit) = Self::place(port);
        if let Some(word) = self.ports.get_mut(word) {
            let bit = 1 << bit;
            *word = if on { *word | bit } else { *word & !bit };
        }
    }

    /// Whether the filter lets a frame through. One without a whole Ethernet header passes no filter.
    #[inline(always)]
    pub fn takes(&self, packet: &impl Packet, tag: Tag) -> bool {
        if self.wanted.has(Wanted::MAC) {
            let Some([d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5]) = packet.load::<12>(0) else {
                return false;
            };
            let mac = self.mac;
            if Mac([d0, d1, d2, d3, d4, d5]) != mac && Mac([s0, s1, s2, s3, s4, s5]) != mac {
                return false;
            }
        }
        if self.wanted.has(Wanted::VLAN) && vlan(packet, tag) != Some(self.vlan) {
            return false;
        }
        !self.wanted.has(Wanted::ETHER_TYPE)
            || ether::network(packet).is_some_and(|(kind, _)| kind == self.ether_type)
    }
}

#[inline(always)]
fn vlan(packet: &impl Packet, tag: Tag) -> Option<u16> {
    if tag.protocol != 0 {
        return Some(tag.tci & VID);
    }
    match u16::from_be_bytes(packet.load(HEADER - 2)?) {
        ether::VLAN | ether::QINQ => Some(u16::from_be_bytes(packet.load(HEADER)?) & VID),
        _ => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

    fn filter(bits: &[Wanted], vlan: u16) -> Capture {
        let wanted = bits.iter().fold(Wanted::FRAMES, |all, bit| Wanted(all.0 | bit.0));
        Capture { wanted, mac: Mac([2, 0, 0, 0, 0, 2]), vlan, ether_type: ether::ARP, ..Capture::default() }
    }

    fn takes(capture: &Capture, rest: &[u8], tag: Tag) -> bool {
        let frame = [&MACS[..], rest].concat();
        capture.takes(&&frame[..], tag)
    }

    #[test]
    fn a_filter_takes_what_all_its_parts_take() {
        let none = Tag::default();
        let tag = |tci| Tag { protocol: ether::VLAN, tci };
        let arp = [8, 6, 0, 0];
        let (tagged_arp, ip) = ([0x81, 0, 0x20, 10, 8, 6], [8, 0, 0, 0]);
        assert!(takes(&filter(&[], 0), &[], none), "no filter takes what is no frame");
        assert!(takes(&filter(&[Wanted::MAC], 0), &arp, none));
        let other = Capture { mac: Mac([2, 0, 0, 0, 0, 3]), ..filter(&[Wanted::MAC], 0) };
        assert!(!takes(&other, &arp, none));
        let kind = filter(&[Wanted::ETHER_TYPE], 0);
        assert!(takes(&kind, &arp, none) && takes(&kind, &tagged_arp, none) && !takes(&kind, &ip, none));
        let ten = filter(&[Wanted::VLAN], 10);
        assert!(takes(&ten, &tagged_arp, none), "in the frame, priority and all");
        assert!(takes(&ten, &arp, tag(0x200a)), "beside it");
        assert!(!takes(&ten, &arp, none) && !takes(&ten, &tagged_arp, tag(11)), "the outermost counts");
        assert!(
            takes(&filter(&[Wanted::VLAN], 0), &arp, none)
                && takes(&filter(&[Wanted::VLAN], 0), &arp, tag(0x2000))
        );
        let all = filter(&[Wanted::MAC, Wanted::VLAN, Wanted::ETHER_TYPE], 10);
        assert!(takes(&all, &tagged_arp, none) && !takes(&all, &ip, tag(10)));
    }

    #[test]
    fn every_port_has_its_bit() {
        let mut capture = Capture::default();
        for port in (0..MAX_PORTS as u16).map(PortId) {
            capture.set(port, true);
            assert!(capture.has(port));
            capture.set(port, false);
            assert_eq!(capture.ports, [0; 4]);
        }
    }
}
