//! What an operator allows a port: quota, source guards, storm control, rates.
//!
//! The programs ask for any of it only where the port's word ([`crate::PortFlags`]) says that there is something to ask.

use crate::{Address, Mac, PortFlags, PortId};

/// What is checked of each frame that a port brings in, as bits.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guards(pub u32);

impl Guards {
    /// Only listed source MAC addresses.
    pub const MACS: Self = Self(1);
    /// Only listed source IP addresses, in IPv4, IPv6, ARP and neighbour discovery.
    pub const ADDRESSES: Self = Self(1 << 1);
    /// No answers of a DHCP server, v4 or v6.
    pub const NO_DHCP_SERVER: Self = Self(1 << 2);
    /// No IPv6 router advertisements.
    pub const NO_RA: Self = Self(1 << 3);
    /// A BPDU takes the port down.
    pub const BPDU_SHUT: Self = Self(1 << 4);

    /// All bits of `other` are set.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other`, if `on`.
    pub const fn with(self, other: Self, on: bool) -> Self {
        Self(if on { self.0 | other.0 } else { self.0 & !other.0 })
    }

    /// Whether any of the checks of [`crate::inspect`] is asked for.
    pub const fn inspects(self) -> bool {
        self.0 & 0xf != 0
    }
}

/// What a bucket limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Meter {
    /// Broadcasts that come in, in frames.
    Broadcast = 0,
    /// Multicasts that come in, in frames.
    Multicast = 1,
    /// Unicasts to nobody known that come in, in frames.
    Unknown = 2,
    /// All that comes in, in bytes.
    In = 3,
    /// All that goes out, in bytes.
    Out = 4,
}

impl Meter {
    /// Every meter.
    pub const ALL: [Self; 5] = [Self::Broadcast, Self::Multicast, Self::Unknown, Self::In, Self::Out];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();
}

/// Bits behind the point of [`Rate::increment`].
pub const INCREMENT_SHIFT: u32 = 16;

/// A limit. The bucket is kept as one word, the time at which it would be full again (the "virtual scheduling" form of
/// a token bucket, ITU-T I.371): a frame moves it on by what it costs and may not move it further than the horizon past now.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Frames, or bits, a second; as the operator said it. 0 is no limit.
    pub per_second: u64,
    /// Frames, or bytes, at once; as the operator said it.
    pub burst: u64,
    /// Nanoseconds of a frame, or of a byte, shifted left by [`INCREMENT_SHIFT`].
    pub increment: u64,
    /// Nanoseconds of the burst.
    pub horizon: u64,
}

impl Rate {
    /// So many frames a second, and so many at once.
    pub const fn frames(per_second: u64, burst: u64) -> Self {
        Self::new(per_second, burst, per_second)
    }

    /// So many bits a second, and so many bytes at once.
    pub const fn bits(per_second: u64, burst: u64) -> Self {
        // Below a byte a second nothing would ever pass.
        Self::new(per_second, burst, per_second / 8)
    }

    const fn new(per_second: u64, burst: u64, units: u64) -> Self {
        if per_second == 0 {
            return Self { per_second: 0, burst: 0, increment: 0, horizon: 0 };
        }
        let units = if units == 0 { 1 } else { units };
        let increment = (1_000_000_000 << INCREMENT_SHIFT) / units;
        let horizon = (increment as u128 * burst as u128) >> INCREMENT_SHIFT;
        let horizon =
            if horizon > u32::MAX as u128 * 1_000 { u32::MAX as u64 * 1_000 } else { horizon as u64 };
        Self { per_second, burst, increment, horizon }
    }

    /// Whether there is a limit.
    #[inline(always)]
    pub const fn is_limit(&self) -> bool {
        self.increment != 0
    }

    /// What so many frames, or bytes, cost, in nanoseconds.
    #[inline(always)]
    pub const fn cost(&self, units: u64) -> u64 {
        self.increment.wrapping_mul(units) >> INCREMENT_SHIFT
    }

    /// Where a bucket is after `units` more, or `None` if there is no room for them.
    #[inline(always)]
    pub const fn after(&self, level: u64, now: u64, units: u64) -> Option<u64> {
        let start = if level > now { level } else { now };
        let after = start.wrapping_add(self.cost(units));
        if after.wrapping_sub(now) <= self.horizon { Some(after) } else { None }
    }
}

/// Why a port stays down although its device is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Stop {
    /// It does not.
    #[default]
    No = 0,
    /// The operator took it down.
    Operator = 1,
    /// It sent a BPDU.
    Bpdu = 2,
    /// It brought back what was sent to another port, or to itself.
    Loop = 3,
}

impl Stop {
    /// The reason of this number; unknown numbers are the operator's.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::No,
            2 => Self::Bpdu,
            3 => Self::Loop,
            _ => Self::Operator,
        }
    }
}

/// What is allowed to a port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The part of the port's word that is policy: see [`PortFlags::POLICY`].
    pub flags: PortFlags,
    /// What is checked of each frame.
    pub guards: Guards,
    /// The most stations that are learned here; 0 for any number.
    pub stations_max: u32,
    /// A [`Stop`].
    pub stopped: u32,
    /// By [`Meter`].
    pub rates: [Rate; Meter::COUNT],
    /// One of the MAC addresses that it may use, as [`crate::Address`]'s word with bit 0 set; 0 for none. Most ports have one, and need no hash.
    pub first_mac: u64,
    /// One of the IPv4 addresses, in the order of the wire, with bit 32 set; 0 for none.
    pub first_v4: u64,
}

const _: () = assert!(size_of::<Policy>() == 32 + 32 * Meter::COUNT);

impl Policy {
    /// With the first of each kind of these addresses.
    pub fn with_first<'a>(mut self, sources: impl IntoIterator<Item = &'a Source>) -> Self {
        (self.first_mac, self.first_v4) = (0, 0);
        for source in sources {
            let [a, b, c, d, e, f, ..] = source.address;
            match source.kind {
                Source::MAC if self.first_mac == 0 => {
                    self.first_mac = Mac([a, b, c, d, e, f]).address().word() | 1
                }
                Source::V4 if self.first_v4 == 0 => {
                    self.first_v4 = 1 << 32 | u64::from(u32::from_ne_bytes([a, b, c, d]));
                }
                _ => {}
            }
        }
        self
    }

    /// Whether it is one of those.
    #[inline(always)]
    pub const fn is_first_mac(&self, mac: Address) -> bool {
        self.first_mac == mac.word() | 1
    }

    /// Whether it is one of those, in the order of the wire.
    #[inline(always)]
    pub const fn is_first_v4(&self, address: u32) -> bool {
        self.first_v4 == 1 << 32 | address as u64
    }

    /// The same, with the bits of the port's word that say where there is something to ask.
    pub fn settled(mut self) -> Self {
        let [broadcast, multicast, unknown, rate_in, rate_out] = self.rates.each_ref().map(Rate::is_limit);
        self.flags = PortFlags(self.flags.0 & PortFlags::POLICY.0)
            .with(PortFlags::QUOTA, self.stations_max != 0)
            .with(PortFlags::INSPECTED, self.guards.inspects())
            .with(PortFlags::STORM, broadcast || multicast || unknown)
            .with(PortFlags::RATE_IN, rate_in)
            .with(PortFlags::RATE_OUT, rate_out);
        self
    }
}

/// What [`Source`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum SourceKind {
    /// A MAC address.
    Mac = 0,
    /// An IPv4 address.
    V4 = 4,
    /// An IPv6 address.
    V6 = 6,
}

/// An address that a port may use.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// The port's number.
    pub port: u16,
    /// A [`SourceKind`].
    pub kind: u16,
    /// The address, in the order of the wire, padded with zeroes.
    pub address: [u8; 16],
}

const _: () = assert!(size_of::<Source>() == 20);

impl Source {
    const MAC: u16 = SourceKind::Mac as u16;
    const V4: u16 = SourceKind::V4 as u16;

    /// A MAC address of a port.
    #[inline(always)]
    pub const fn mac(port: PortId, mac: Mac) -> Self {
        let [a, b, c, d, e, f] = mac.0;
        let address = [a, b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        Self { port: port.0, kind: SourceKind::Mac as u16, address }
    }

    /// An IPv4 address of a port.
    #[inline(always)]
    pub const fn v4(port: PortId, [a, b, c, d]: [u8; 4]) -> Self {
        let address = [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        Self { port: port.0, kind: SourceKind::V4 as u16, address }
    }

    /// An IPv6 address of a port.
    #[inline(always)]
    pub const fn v6(port: PortId, address: [u8; 16]) -> Self {
        Self { port: port.0, kind: SourceKind::V6 as u16, address }
    }
}

/// The most addresses that all ports together may use.
pub const MAX_SOURCES: u32 = 65_536;

/// Where the decision reads what ports are allowed.
pub trait Policies {
    /// What is checked of each frame of a port.
    fn guards(&self, id: PortId) -> Guards;

    /// Whether a port may use an address.
    fn allows(&self, source: &Source) -> bool;

    /// Whether it may use a MAC address.
    #[inline(always)]
    fn allows_mac(&self, id: PortId, mac: Address) -> bool {
        self.allows(&Source::mac(id, mac.mac()))
    }

    /// Whether it may use an IPv4 address, in the order of the wire.
    #[inline(always)]
    fn allows_v4(&self, id: PortId, address: u32) -> bool {
        self.allows(&Source::v4(id, address.to_ne_bytes()))
    }

    /// Whether one more station may be learned at a port.
    fn has_room(&self, id: PortId) -> bool;

    /// Whether a port's bucket has room for so many frames, or bytes, more; true where there is no limit.
    fn may(&self, id: PortId, meter: Meter, now: u64, units: u64) -> bool;

    /// Takes that room.
    fn charge(&mut self, id: PortId, meter: Meter, now: u64, units: u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate::frames(1_000, 50);
        let (mut level, now) = (0, 10 * SECOND);
        let mut passed = 0;
        while let Some(after) = rate.after(level, now, 1) {
            (level, passed) = (after, passed + 1);
        }
        assert_eq!(passed, 50);
        assert_eq!(rate.after(level, now + 999_999, 1), None);
        level = rate.after(level, now + 1_000_000, 1).unwrap();
        assert_eq!(rate.after(level, now + 1_000_000, 1), None);
        // After a long silence it is full, and no fuller.
        assert!(rate.after(level, now + 60 * SECOND, 50).is_some());
        assert_eq!(rate.after(level, now + 60 * SECOND, 51), None);
    }

    #[test]
    fn the_first_address_of_a_kind_is_known_without_the_others() {
        let port = PortId(2);
        let macs = [1, 2].map(|last| Mac([2, 0, 0, 0, 0, last]));
        let v4 = [1, 2].map(|last| [192, 0, 2, last]);
        let [mac, other_mac] = macs.map(|mac| Source::mac(port, mac));
        let [address, other_address] = v4.map(|address| Source::v4(port, address));
        let v6 = Source::v6(port, [0xfe; 16]);
        let policy = Policy::default().with_first([&mac, &v6, &address, &other_mac, &other_address]);
        assert_eq!(macs.map(|mac| policy.is_first_mac(mac.address())), [true, false]);
        assert_eq!(v4.map(|address| policy.is_first_v4(u32::from_ne_bytes(address))), [true, false]);
        // Where there is none, no address is, and 0.0.0.0 least of all.
        let nobody = Policy::default().with_first([&v6]);
        assert!(!nobody.is_first_mac(macs[0].address()) && !nobody.is_first_v4(0));
        assert_eq!(policy.with_first([]), Policy::default());
    }

    #[test]
    fn rates_are_exact_enough_from_a_bit_to_a_terabit() {
        for bits in [8, 64_000, 500_000_000, 100_000_000_000, 1_000_000_000_000] {
            let rate = Rate::bits(bits, 100_000);
            let bytes = (bits / 8).clamp(1, 1 << 24);
            let ideal = bytes as f64 * 8e9 / bits as f64;
            assert!((rate.cost(bytes) as f64 / ideal - 1.0).abs() < 0.01, "{bits}: {rate:?}");
        }
        assert!(!Rate::bits(0, 100).is_limit());
        // 65,536 segments of a frame a second overflow nothing.
        assert_eq!(Rate::frames(1, 1).cost(65_536), 65_536 * SECOND);
    }
}
