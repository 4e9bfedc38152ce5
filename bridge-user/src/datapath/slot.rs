//! Places on a device where a program sits.

use std::fmt;

use bridge_common::{PortId, maps::programs};

/// A place on a device where a program sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// TC ingress.
    Ingress,
    /// TC egress; the uplink only.
    Egress,
    /// Native XDP.
    Xdp,
    /// The tracepoint that tells what devices refused; the machine's, and kept with [`PortId::HOST`].
    Xmit,
}

impl Slot {
    pub(super) const fn pin_name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
            Self::Xdp => "xdp",
            Self::Xmit => "xmit",
        }
    }

    pub(super) const fn program(self, port: PortId) -> &'static str {
        match self {
            Self::Ingress if port.is_guest() => programs::PORT,
            Self::Ingress => programs::WIRE,
            Self::Egress => programs::HOST,
            Self::Xdp => programs::XDP,
            Self::Xmit => programs::XMIT,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "TC ingress",
            Self::Egress => "TC egress",
            Self::Xdp => "native XDP",
            Self::Xmit => "the transmit tracepoint",
        })
    }
}
