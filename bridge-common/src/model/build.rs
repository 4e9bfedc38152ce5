//! Frames with checksums, finished and not, made without the code under test.

mod kind;

use std::vec::Vec;

pub use kind::Kind;

use crate::Mac;

/// A frame's VLAN tags, outermost first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// At most 2.
    pub count: u8,
    /// Priority and VLAN ID of each.
    pub tci: [u16; 2],
    /// Whether the outermost is of 802.1ad.
    pub service: bool,
}

impl Tags {
    /// So many, of VLANs that nobody asks about.
    pub const fn of(count: u8) -> Self {
        Self { count, tci: [0x2007, 0x2008], service: count == 2 }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, tci) in self.tci.into_iter().take(self.count.into()).enumerate() {
            bytes.extend(if index == 0 && self.service { [0x88, 0xa8] } else { [0x81, 0x00] });
            bytes.extend(tci.to_be_bytes());
        }
        bytes
    }
}

/// For whom a frame speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// Nobody: the address is zero.
    Nobody,
    /// 10.0.0.x, fd00::x.
    Address(u8),
    /// The link-local address that follows from the MAC address; 10.0.0.0 in IPv4.
    LinkLocal,
}

impl Speaker {
    /// The address in IPv4.
    pub const fn v4(self) -> [u8; 4] {
        match self {
            Self::Nobody => [0; 4],
            Self::Address(last) => [10, 0, 0, last],
            Self::LinkLocal => [10, 0, 0, 0],
        }
    }

    /// The address in IPv6, of a sender with this MAC address.
    pub fn v6(self, Mac([a, b, c, d, e, f]): Mac) -> [u8; 16] {
        let mut address = [0; 16];
        match self {
            Self::Nobody => {}
            Self::Address(last) => (address[0], address[15]) = (0xfd, last),
            Self::LinkLocal => {
                address = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f];
            }
        }
        address
    }
}

/// A frame's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What it carries.
    pub kind: Kind,
    /// VLAN tags in the frame.
    pub tags: Tags,
    /// For whom it speaks.
    pub speaker: Speaker,
    /// Whether ARP and neighbour discovery in it name another's hardware address.
    pub lies: bool,
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

    /// A finished one of this kind without tags, for [`Speaker::Address`] 1.
    pub const fn of(kind: Kind) -> Self {
        let speaker = Speaker::Address(1);
        Self { kind, tags: Tags::of(0), speaker, lies: false, payload: 60, padding: 0, unfinished: false }
    }

    const fn hardware(&self, src: Mac) -> Mac {
        if self.lies { Mac([2, 0, 0, 0, 0xff, 0xff]) } else { src }
    }
}

/// A frame of this shape.
pub fn frame(dst: Mac, src: Mac, shape: &Shape) -> Vec<u8> {
    let mut frame = [dst.0, src.0].concat();
    frame.extend(shape.tags.bytes());
    frame.extend(shape.kind.ether_type().to_be_bytes());
    match shape.kind {
        Kind::Unknown => frame.extend(bytes(shape.payload)),
        Kind::Arp => {
            frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
            frame.extend(shape.hardware(src).0.into_iter().chain(shape.speaker.v4()).chain(bytes(10)));
        }
        Kind::Snap => frame.extend([0xaa, 0xaa, 3, 0, 0, 0, 8, 0].into_iter().chain(bytes(shape.payload))),
        _ => packet(&mut frame, src, shape),
    }
    frame.resize(frame.len() + shape.padding, 0);
    frame
}

fn packet(frame: &mut Vec<u8>, src: Mac, shape: &Shape) {
    let transport = transport(shape, src);
    let (length, next) = (transport.len() as u16, shape.kind.protocol());
    let start = frame.len();
    let addresses = if shape.kind.is_v6() {
        let (first, extension) = shape.kind.extension().map_or((next, None), |(n, bytes)| (n, Some(bytes)));
        frame.extend([0x60, 0, 0, 0]);
        frame.extend((length + if extension.is_some() { 8 } else { 0 }).to_be_bytes());
        frame.extend([first, 64]);
        let addresses = [shape.speaker.v6(src), Speaker::Address(2).v6(src)].concat();
        frame.extend(&addresses);
        frame.extend(extension.into_iter().flatten());
        addresses
    } else {
        let flags = if shape.kind == Kind::Fragment { 0x20 } else { 0x40 };
        frame.extend([0x45, 0]);
        frame.extend((20 + length).to_be_bytes());
        frame.extend([0, 1, flags, 0, 64, next, 0, 0]);
        let addresses = [shape.speaker.v4(), Speaker::Address(2).v4()].concat();
        frame.extend(&addresses);
        let whole = !fold(sum(&frame[start..]));
        frame[start + 10..start + 12].copy_from_slice(&whole.to_be_bytes());
        addresses
    };
    let pseudo = sum(&addresses) + u64::from(next) + u64::from(length);
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
fn transport(shape: &Shape, src: Mac) -> Vec<u8> {
    let mut bytes_ = match shape.kind {
        Kind::Tcp4 | Kind::Tcp6 | Kind::Fragment => {
            [[0, 7, 0, 9].as_slice(), &[0; 8], &[0x50, 0x10, 1, 0, 0, 0, 0, 0]].concat()
        }
        Kind::Icmp4 | Kind::Icmp6 => [128, 0, 0, 0, 0, 1, 0, 1].into(),
        Kind::Gre => [0, 0, 0x65, 0x58].into(),
        Kind::RouterAdvertisement | Kind::HiddenAdvertisement | Kind::LaterFragment => {
            [[134, 0, 0, 0].as_slice(), &[0; 12]].concat()
        }
        Kind::Solicitation => discovery(135, Speaker::Address(2).v6(src), 1, shape.hardware(src)),
        Kind::Advertisement => discovery(136, shape.speaker.v6(src), 2, shape.hardware(src)),
        kind => {
            let (from, to) = kind.ports();
            let length = 8 + shape.payload as u16;
            [from.to_be_bytes(), to.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat()
        }
    };
    bytes_.extend(bytes(shape.payload));
    bytes_
}

/// Neighbour discovery about `target`, with an option of the sender's link-layer address.
fn discovery(kind: u8, target: [u8; 16], option: u8, Mac(hardware): Mac) -> Vec<u8> {
    [[kind, 0, 0, 0, 0, 0, 0, 0].as_slice(), &target, &[option, 1], &hardware].concat()
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
