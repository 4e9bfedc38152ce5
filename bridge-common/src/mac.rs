//! Ethernet addresses.

use core::{fmt, str::FromStr};

/// A 48-bit Ethernet address, in the order of the wire.
///
/// Aligned as in a frame and as in every key: this target has no unaligned loads, and would go byte by byte.
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// 00:00:00:00:00:00, which nobody owns.
    pub const ZERO: Self = Self([0; 6]);

    /// The same address. What `==` says, which in a BPF program would be a call.
    #[inline(always)]
    pub const fn is(self, other: Self) -> bool {
        self.address().is(other.address())
    }

    /// A group address: multicast or broadcast.
    #[inline(always)]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// An address that one station can own.
    #[inline(always)]
    pub const fn is_station(self) -> bool {
        self.address().is_station()
    }

    /// The same address as one word.
    #[inline(always)]
    pub const fn address(self) -> Address {
        let [a, b, c, d, e, f] = self.0;
        Address(u64::from_le_bytes([0, 0, a, b, c, d, e, f]))
    }
}

/// An Ethernet address as one word: its six bytes, in the order of the wire, are the upper ones of eight, and the lower two are 0, where
/// [`crate::FdbKey`] has the VLAN. What is asked about it is one operation then, where the bytes are read and compared two by two.
#[repr(transparent)]
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Address(u64);

impl Address {
    /// The address whose word this is; the lower two bytes are left away.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word & !0xffff)
    }

    /// The word.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The address as bytes.
    #[inline(always)]
    pub const fn mac(self) -> Mac {
        let [_, _, a, b, c, d, e, f] = self.0.to_le_bytes();
        Mac([a, b, c, d, e, f])
    }

    /// The same address.
    #[inline(always)]
    pub const fn is(self, other: Self) -> bool {
        self.0 == other.0
    }

    /// A group address: multicast or broadcast.
    #[inline(always)]
    pub const fn is_group(self) -> bool {
        self.0 & 1 << 16 != 0
    }

    /// 01:80:c2:00:00:00 to 0f, which IEEE 802.1D keeps on one link: spanning tree, PAUSE, LACP, LLDP.
    #[inline(always)]
    pub const fn is_link_local_group(self) -> bool {
        self.0 & !(0x0f << 56) == Mac([0x01, 0x80, 0xc2, 0, 0, 0]).address().0
    }

    /// Spanning tree's own of them.
    #[inline(always)]
    pub const fn is_spanning_tree(self) -> bool {
        self.0 == Mac([0x01, 0x80, 0xc2, 0, 0, 0]).address().0
    }

    /// An address that one station can own.
    #[inline(always)]
    pub const fn is_station(self) -> bool {
        !self.is_group() && self.0 != 0
    }
}

impl From<Mac> for Address {
    fn from(mac: Mac) -> Self {
        mac.address()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mac().fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mac().fmt(f)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand: there may be a million to show, and each `{:02x}` is a call through a table of them.
        let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
        let mut text = [b':'; 17];
        for (pair, byte) in text.chunks_mut(3).zip(self.0) {
            if let [high, low, ..] = pair {
                (*high, *low) = (digit(byte >> 4), digit(byte & 0xf));
            }
        }
        f.write_str(core::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// A text that is no Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseMacError;

impl fmt::Display for ParseMacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a MAC address: write six pairs of hex digits, as in 52:54:00:12:34:56")
    }
}

impl core::error::Error for ParseMacError {}

impl FromStr for Mac {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(mac) = six_pairs(text.as_bytes()) {
            return Ok(mac);
        }
        let mut mac = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut mac {
            let part = parts.next().ok_or(ParseMacError)?;
            if part.is_empty() || part.len() > 2 || !part.bytes().all(|c| c.is_ascii_hexdigit()) {
                return Err(ParseMacError);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| ParseMacError)?;
        }
        parts.next().is_none().then_some(Self(mac)).ok_or(ParseMacError)
    }
}

/// The usual form, of which a file may have a million.
fn six_pairs(text: &[u8]) -> Option<Mac> {
    let digit = |text: u8| char::from(text).to_digit(16).map(|value| value as u8);
    let mut mac = [0; 6];
    for (byte, part) in mac.iter_mut().zip(text.chunks(3)) {
        let ([high, low] | [high, low, b':']) = *part else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    (text.len() == 17).then_some(Mac(mac))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn text_goes_both_ways() {
        let mac: Mac = "52:54:00:75:DD:1a".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:75:dd:1a");
        assert_eq!("52-54-0-75-dd-1a".parse(), Ok(mac));
        for bad in [
            "",
            "52:54:00:75:dd",
            "52:54:00:75:dd:1a:00",
            "52:54:00:75:dd:1a:",
            "52:54:00:75:dd:1g",
            "+1:54:00:75:dd:1a",
            "52:54:00:75:dd;1a",
            "525:4:00:75:dd:1a",
        ] {
            assert_eq!(bad.parse::<Mac>(), Err(ParseMacError), "{bad:?}");
        }
    }

    #[test]
    fn the_link_local_block_has_sixteen_addresses() {
        let group = |last| Mac([1, 0x80, 0xc2, 0, 0, last]).address();
        assert!(group(0).is_link_local_group() && group(0x0f).is_link_local_group());
        assert!(!group(0x10).is_link_local_group());
        assert!(!Mac::BROADCAST.address().is_link_local_group());
        assert!(group(0).is_spanning_tree() && !group(1).is_spanning_tree());
    }

    #[test]
    fn only_individual_addresses_are_stations() {
        let is_station = Mac::is_station;
        assert!(is_station(Mac([2, 0, 0, 0, 0, 1])) && is_station(Mac([0, 0, 0, 0, 0, 1])));
        assert!(
            !is_station(Mac::ZERO) && !is_station(Mac::BROADCAST) && !is_station(Mac([1, 0, 0, 0, 0, 0]))
        );
    }

    #[test]
    fn a_word_is_the_same_address() {
        let mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        assert_eq!(mac.address().mac(), mac);
        assert_eq!(Address::from_word(mac.address().word() | 0xabcd), mac.address());
        assert_eq!(crate::FdbKey::of(7, mac.address()), crate::FdbKey { vlan: 7, mac });
    }
}
