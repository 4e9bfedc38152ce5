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

    /// The same address. What `==` says, in three comparisons instead of six.
    #[inline(always)]
    pub const fn is(self, other: Self) -> bool {
        let ([a, b, c], [d, e, f]) = (self.words(), other.words());
        a == d && b == e && c == f
    }

    #[inline(always)]
    const fn words(self) -> [u16; 3] {
        // SAFETY: plain numbers both, of one size and alignment.
        unsafe { core::mem::transmute::<Self, [u16; 3]>(self) }
    }

    /// A group address: multicast or broadcast.
    #[inline(always)]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// 01:80:c2:00:00:00 to 0f, which IEEE 802.1D keeps on one link: spanning tree, PAUSE, LACP, LLDP.
    #[inline(always)]
    pub const fn is_link_local_group(self) -> bool {
        let [a, b, c] = self.words();
        a == u16::from_ne_bytes([0x01, 0x80])
            && b == u16::from_ne_bytes([0xc2, 0])
            && c & u16::from_ne_bytes([0xff, 0xf0]) == 0
    }

    /// An address that one station can own.
    #[inline(always)]
    pub const fn is_station(self) -> bool {
        let [a, b, c] = self.words();
        !self.is_group() && (a | b | c) != 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn text_goes_both_ways() {
        let mac: Mac = "52:54:00:75:DD:1a".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:75:dd:1a");
        for bad in ["", "52:54:00:75:dd", "52:54:00:75:dd:1a:00", "52:54:00:75:dd:1g", "+1:54:00:75:dd:1a"] {
            assert_eq!(bad.parse::<Mac>(), Err(ParseMacError), "{bad:?}");
        }
    }

    #[test]
    fn the_link_local_block_has_sixteen_addresses() {
        let group = |last| Mac([1, 0x80, 0xc2, 0, 0, last]);
        assert!(group(0).is_link_local_group() && group(0x0f).is_link_local_group());
        assert!(!group(0x10).is_link_local_group());
        assert!(!Mac::BROADCAST.is_link_local_group());
    }

    #[test]
    fn only_individual_addresses_are_stations() {
        assert!(Mac([2, 0, 0, 0, 0, 1]).is_station());
        assert!(!Mac::ZERO.is_station() && !Mac::BROADCAST.is_station());
    }
}
