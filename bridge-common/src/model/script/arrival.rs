//! Frames out of bytes.

use super::{Bytes, Devices, rules::VIDS};
use crate::model::{
    Arrival, Program,
    build::{Kind, Shape, Speaker, Tags, frame},
};

/// Reads a frame at a program's door.
pub fn read(bytes: &mut Bytes<'_>, code: u8, devices: &Devices) -> Arrival {
    let program = match code >> 5 {
        0..=1 => Program::Port,
        2 => Program::Wire,
        3 => Program::Host,
        _ => Program::Xdp,
    };
    let [uplink, guests @ ..] = devices.ports;
    let ifindex = match (program, bytes.byte() % 16) {
        (Program::Wire | Program::Host, _) => uplink,
        (_, 0) => devices.stranger,
        (_, 1 | 2) => uplink,
        (_, n) => guests[usize::from(n) % guests.len()],
    };
    let (dst, src) = (bytes.dst(), bytes.src());
    let (kind, form, extra) = (bytes.byte(), bytes.byte(), bytes.byte());
    let mut shape = Shape {
        kind: Kind::ALL[usize::from(kind) % Kind::ALL.len()],
        tags: tags(bytes, form),
        speaker: speaker(extra),
        lies: kind & 0x80 != 0,
        payload: [1, 40, 300, 570, 1400, 1446, 1480, 2400][usize::from(form >> 2 & 7)],
        padding: if form & 32 != 0 { 18 } else { 0 },
        unfinished: form & 64 != 0,
    };
    let xdp = program == Program::Xdp;
    if xdp && extra & 0xf0 == 0 {
        shape.payload = 5_000;
    }
    let mut unfinished = shape.is_unfinished();
    let mut frame = frame(dst, src, &shape);
    if extra & 0xf0 == 0x10 {
        let short = usize::from(extra & 0x0f) * 4;
        unfinished &= short >= frame.len();
        frame.truncate(short);
    }
    let segmented = !xdp && form & 0x80 != 0;
    let gso_size = if segmented { [1, 100, 1000, 1448][usize::from(extra & 3)] } else { 0 };
    // More than fits into one buffer of a page.
    let fragmented = xdp && frame.len() > 4_096;
    Arrival { program, ifindex, bytes: frame, gso_size, fragmented, unfinished }
}

/// Mostly none or one, of VLANs that there are; else of priority only, of one that nobody is in, or the reserved one.
fn tags(bytes: &mut Bytes<'_>, form: u8) -> Tags {
    let count = [0, 0, 1, 2][usize::from(form & 3)];
    if count == 0 {
        return Tags::default();
    }
    let mut tci = || {
        let byte = bytes.byte();
        let vid = match byte & 0x1f {
            0..4 => 0,
            4 => 4095,
            5 => 7,
            n => VIDS[usize::from(n) % VIDS.len()],
        };
        u16::from(byte >> 5) << 13 | u16::from(byte & 0x10) << 8 | vid
    };
    let first = tci();
    let second = if count == 2 { tci() } else { 0 };
    Tags { count, tci: [first, second], service: first & 0x2000 != 0 }
}

const fn speaker(extra: u8) -> Speaker {
    match extra & 0x0f {
        0 => Speaker::Nobody,
        1..4 => Speaker::LinkLocal,
        n => Speaker::Address(1 + n % 4),
    }
}
