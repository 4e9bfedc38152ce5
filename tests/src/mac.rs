//! Ethernet addresses.

use std::fmt;

/// An Ethernet address, shown as `02:77:00:00:00:0b`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Every station.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// The lab's own unicast address number `n`: locally administered, and the same in every run.
    pub const fn numbered(n: u32) -> Mac {
        let [a, b, c, d] = n.to_be_bytes();
        Mac([0x02, 0x77, a, b, c, d])
    }

    /// The address `n` after this one.
    pub const fn plus(self, n: u32) -> Mac {
        let [a, b, c, d, e, f] = self.0;
        let [c, d, e, f] = u32::from_be_bytes([c, d, e, f]).wrapping_add(n).to_be_bytes();
        Mac([a, b, c, d, e, f])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
