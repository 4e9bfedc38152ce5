//! Frames with checksums, finished and not, made without the code under test.

use std::vec::Vec;

use crate::Mac;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    /// An EtherType that nobody knows.
    Unknown,
    Arp,
    Tcp4,
    Udp4,
    Icmp4,
    Tcp6,
    Udp6,
    Icmp6,
    /// The first fragment of a TCP segment.
    Fragment,
    /// UDP to the port of VXLAN.
    Vxlan,
    /// UDP without a checksum.
    NoChecksum,
    /// Generic routing encapsulation, a tunnel.
    Gre,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Unknown,
        Self::Arp,
        Self::Tcp4,
        Self::Udp4,
        Self::Icmp4,
        Self::Tcp6,
        Self::Udp6,
        Self::Icmp6,
        Self::Fragment,
        Self::Vxlan,
        Self::NoChecksum,
        Self::Gre,
    ];

    const fn ether_type(self) -> u16 {
        match self {
            Self::Unknown => 0x88b5,
            Self::Arp => 0x0806,
            Self::Tcp6 | Self::Udp6 | Self::Icmp6 => 0x86dd,
            _ => 0x0800,
        }
    }

    const fn protocol(self) -> u8 {
        match self {
            Self::Icmp4 => 1,
            Self::Tcp4 | Self::Tcp6 | Self::Fragment => 6,
            Self::Icmp6 => 58,
            Self::Gre => 47,
            _ => 17,
        }
    }

    /// Where the checksum is in the transport header, if there is one over a pseudo-header.
    const fn checksum_at(self) -> Option<usize> {
        match self {
            Self::Tcp4 | Self::Tcp6 | Self::Fragment => Some(16),
            Self::Udp4 | Self::Udp6 | Self::Vxlan => Some(6),
            Self::Icmp6 => Some(2),
            _ => None,
        }
    }
}

/// A frame's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What it carries.
    pub kind: Kind,
    /// VLAN tags in the frame, at most 2.
    pub tags: u8,
    /// Bytes behind the transport header.
    pub payload: usize,
    /// Bytes behind the packet, which no header counts.
    pub padding: usize,
    /// Whether a checksum over a pseudo-header is left to the device.
    pub unfinished: bool,
}

impl Shape {
    /// Whether the frame has a checksum to finish, and nobody has.
    pub const fn is_unfinished(&self) -> bool {
        self.unfinished && self.kind.checksum_at().is_some()
    }
}

/// A frame of this shape.
pub fn frame(dst: Mac, src: Mac, shape: &Shape) -> Vec<u8> {
    let mut frame = [dst.0, src.0].concat();
    for tag in 0..shape.tags {
        frame.extend(if tag + 1 < shape.tags { [0x88, 0xa8] } else { [0x81, 0x00] });
        frame.extend([0x20, 7 + tag]);
    }
    frame.extend(shape.kind.ether_type().to_be_bytes());
    match shape.kind {
        Kind::Unknown => frame.extend(bytes(shape.payload)),
        Kind::Arp => frame.extend([0, 1, 8, 0, 6, 4, 0, 1].into_iter().chain(bytes(20))),
        _ => packet(&mut frame, shape),
    }
    frame.resize(frame.len() + shape.padding, 0);
    frame
}

fn packet(frame: &mut Vec<u8>, shape: &Shape) {
    let transport = transport(shape);
    let length = transport.len() as u16;
    let next = shape.kind.protocol();
    let start = frame.len();
    let (addresses, header) = if shape.kind.ether_type() == 0x86dd {
        frame.extend([0x60, 0, 0, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([next, 64]);
        (32, 40)
    } else {
        let flags = if shape.kind == Kind::Fragment { 0x20 } else { 0x40 };
        frame.extend([0x45, 0]);
        frame.extend((20 + length).to_be_bytes());
        frame.extend([0, 1, flags, 0, 64, next, 0, 0]);
        (8, 20)
    };
    // 10.… or fd…, the same for source and destination but for the last byte.
    let first = if addresses == 8 { 10 } else { 0xfd };
    for last in [1, 2] {
        frame.push(first);
        frame.resize(frame.len() + addresses / 2 - 2, 0);
        frame.push(last);
    }
    let pseudo = sum(&frame[frame.len() - addresses..]) + u64::from(next) + u64::from(length);
    if header == 20 {
        let whole = !fold(sum(&frame[start..]));
        frame[start + 10..start + 12].copy_from_slice(&whole.to_be_bytes());
    }
    let start = frame.len();
    frame.extend(&transport);
    if let Some(at) = shape.kind.checksum_at() {
        let whole = !fold(pseudo + sum(&transport));
        // Zero would say that there is none.
        let whole = if whole == 0 { 0xffff } else { whole };
        let field = if shape.unfinished { fold(pseudo) } else { whole };
        frame[start + at..start + at + 2].copy_from_slice(&field.to_be_bytes());
    }
}

/// The transport header, its checksum zero, and the payload.
fn transport(shape: &Shape) -> Vec<u8> {
    let mut bytes_ = match shape.kind {
        Kind::Tcp4 | Kind::Tcp6 | Kind::Fragment => {
            [[0, 7, 0, 9].as_slice(), &[0; 8], &[0x50, 0x10, 1, 0, 0, 0, 0, 0]].concat()
        }
        Kind::Icmp4 | Kind::Icmp6 => [128, 0, 0, 0, 0, 1, 0, 1].into(),
        Kind::Gre => [0, 0, 0x65, 0x58].into(),
        _ => {
            let port = if shape.kind == Kind::Vxlan { 4789_u16 } else { 53 };
            let length = 8 + shape.payload as u16;
            [[0x30, 0x39], port.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat()
        }
    };
    bytes_.extend(bytes(shape.payload));
    bytes_
}

fn bytes(count: usize) -> impl Iterator<Item = u8> {
    (0..count).map(|n| (n * 7 + 3) as u8)
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|word| u64::from(word[0]) << 8 | word.get(1).copied().map_or(0, u64::from)).sum()
}

const fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
