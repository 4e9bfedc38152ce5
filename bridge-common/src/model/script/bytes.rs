//! A script's bytes, and the names in it.

use super::{ABSENT, UPLINK_MAC, rules::VIDS};
use crate::{FdbFlags, FdbKey, Mac, PortId, model::Model};

/// What is left of a script.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    /// The next byte.
    pub fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next byte, or zero after the end.
    pub fn byte(&mut self) -> u8 {
        self.next().unwrap_or_default()
    }

    /// Any port.
    pub fn port(&mut self) -> PortId {
        PortId(u16::from(self.byte()) % (ABSENT.0 + 1))
    }

    /// A station, in some VLAN if there are any.
    pub fn station(&mut self, model: &Model) -> FdbKey {
        let byte = self.byte();
        let vlan = if model.config.filters_vlans() { VIDS[usize::from(byte / 24) % VIDS.len()] } else { 0 };
        FdbKey { vlan, mac: station(byte % 24) }
    }

    /// What the operator says of an entry.
    pub fn fixed(&mut self) -> FdbFlags {
        if self.byte() & 1 == 0 { FdbFlags::STATIC } else { FdbFlags::STICKY }
    }

    /// A destination.
    pub fn dst(&mut self) -> Mac {
        self.mac(190)
    }

    /// A source: what is special fills the rest of a sequence with refusals.
    pub fn src(&mut self) -> Mac {
        self.mac(236)
    }

    /// A station, below so much, or something special.
    fn mac(&mut self, special_from: u8) -> Mac {
        match self.byte() {
            // Some speak more than others, or hardly anybody would be known where he is spoken to.
            n if n < 130 => station(n % 6),
            n if n < special_from => station(n % 24),
            n => special(n - special_from),
        }
    }
}

const fn special(number: u8) -> Mac {
    match number % 20 {
        0..3 => UPLINK_MAC,
        3 => Mac::ZERO,
        4..8 => Mac::BROADCAST,
        8..11 => Mac([0x01, 0, 0x5e, 0, 0, 0xfb]),
        11..14 => Mac([0x33, 0x33, 0, 0, 0, 1]),
        // The first of the link-local block, two more, the last, and the first after it.
        14 => link_local(0x00),
        15 => link_local(0x02),
        16 => link_local(0x0e),
        17 => link_local(0x0f),
        _ => link_local(0x10),
    }
}

const fn link_local(last: u8) -> Mac {
    Mac([0x01, 0x80, 0xc2, 0, 0, last])
}

/// One of 24.
pub const fn station(number: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, number + 1])
}
