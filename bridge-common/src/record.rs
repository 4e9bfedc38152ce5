//! What the controller writes down in the kernel beside the tables, so that whoever comes next knows what is
//! attached and what has to be undone. The programs never read it.

/// What the controller changed about a device, as bits: what taking the port away has to undo.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undo(pub u32);

impl Undo {
    /// It made the device (a TAP).
    pub const CREATED: Self = Self(1);
    /// It set `IFF_PROMISC`.
    pub const PROMISC: Self = Self(1 << 1);
    /// It turned `rx-vlan-hw-parse` off.
    pub const RX_VLAN_OFFLOAD: Self = Self(1 << 2);
    /// It turned `rx-vlan-filter` off.
    pub const RX_VLAN_FILTER: Self = Self(1 << 3);
    /// It turned `rx-lro` off.
    pub const LRO: Self = Self(1 << 4);
    /// It turned IPv6 off.
    pub const IPV6: Self = Self(1 << 5);
    /// The device was up before.
    pub const WAS_UP: Self = Self(1 << 6);
    /// It gave the device a clsact qdisc.
    pub const CLSACT: Self = Self(1 << 7);

    /// All bits of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other`, if `on`.
    pub const fn with(self, other: Self, on: bool) -> Self {
        Self(if on { self.0 | other.0 } else { self.0 & !other.0 })
    }
}

/// The hook that the operator asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u16)]
pub enum HookChoice {
    /// xbr chooses.
    #[default]
    Auto = 0,
    /// Native XDP, with TC behind it.
    Xdp = 1,
    /// TC only.
    Tc = 2,
}

impl HookChoice {
    /// The choice of this number; unknown numbers are [`Self::Auto`].
    pub const fn from_raw(raw: u16) -> Self {
        match raw {
            1 => Self::Xdp,
            2 => Self::Tc,
            _ => Self::Auto,
        }
    }
}

/// Where a port came from, as bits.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin(pub u16);

impl Origin {
    /// Named on the command line or in the configuration; a start without it takes the port away.
    pub const CONFIGURED: Self = Self(1);
    /// A TAP that xbr is to make.
    pub const TAP: Self = Self(1 << 1);
    /// Every step of taking it in was carried out. Where it is missing, a controller died on the way: what is
    /// written down was to be done, and may have been done or not.
    pub const COMPLETE: Self = Self(1 << 2);
    /// A TAP that the bridge helper has made for a guest. The port ends with the device.
    pub const LENT: Self = Self(1 << 3);
    /// Somebody else's TAP whose name matched a pattern; a start without such a pattern lets it go.
    pub const ATTACHED: Self = Self(1 << 4);
    /// The operator allows that frames go past rules, filters and queueing disciplines of others.
    pub const BYPASS: Self = Self(1 << 5);
    /// Somebody else's TAP that is a port for as long as it is there.
    pub const TRANSIENT: Self = Self(1 << 6);

    /// All bits of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other`, if `on`.
    pub const fn with(self, other: Self, on: bool) -> Self {
        Self(if on { self.0 | other.0 } else { self.0 & !other.0 })
    }
}

/// One port as the controller wrote it down. A free number has no name.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortRecord {
    /// The device's name, padded with zeroes.
    pub name: [u8; 16],
    /// See [`Undo`].
    pub undo: Undo,
    /// A [`HookChoice`].
    pub hook: u16,
    /// See [`Origin`].
    pub origin: Origin,
}

const _: () = assert!(size_of::<PortRecord>() == 24);

impl PortRecord {
    /// The device's name; empty for a free number.
    pub fn name(&self) -> &str {
        let end = self.name.iter().position(|byte| *byte == 0).unwrap_or(self.name.len());
        self.name.get(..end).and_then(|name| core::str::from_utf8(name).ok()).unwrap_or("")
    }

    /// A record for a device of this name, of which at most 15 bytes are kept.
    pub fn named(name: &str) -> Self {
        let mut record = Self::default();
        for (to, from) in record.name.iter_mut().take(15).zip(name.bytes()) {
            *to = from;
        }
        record
    }
}

/// What holds for the whole bridge and is nothing to the programs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BridgeRecord {
    /// The network namespace's cookie: bpffs is shared by all namespaces, devices are not.
    pub namespace: u64,
}

const _: () = assert!(size_of::<BridgeRecord>() == 8);
