//! What must hold of whatever reads a frame.

use crate::{
    Mac,
    frame::Segments,
    guard,
    model::build::{Kind, Shape, Tags, frame},
};

/// Judges what reads frames. The body of the fuzz target `guard`.
pub fn reading(bytes: &[u8]) {
    let _ = guard::prove(&bytes);
    let gso_size = bytes.iter().rev().take(2).fold(0, |size, byte| size << 8 | u32::from(*byte));
    segments(bytes, gso_size);
    let [kind, tags, payload, padding, src, ..] = *bytes else { return };
    let shape = Shape {
        tags: Tags::of(tags % 3),
        payload: payload.into(),
        padding: padding.into(),
        unfinished: true,
        ..Shape::of(Kind::ALL[usize::from(kind) % Kind::ALL.len()])
    };
    let frame = frame(Mac::BROADCAST, Mac([2, 0, 0, 0, 0, src]), &shape);
    segments(&frame, gso_size % 512);
    if shape.is_unfinished() {
        assert!(guard::prove(&frame.as_slice()).is_err(), "{shape:?} passes the guard unfinished");
    }
}

fn segments(frame: &[u8], gso_size: u32) {
    let length = frame.len() as u32;
    let Segments { packets, bytes, longest } = Segments::of(&frame, length, gso_size);
    assert!(packets >= 1 && longest <= length);
    assert!(bytes <= packets * u64::from(longest), "no segment is longer than the longest");
    assert!(bytes > (packets - 1) * u64::from(longest) || length == 0, "only the last one is shorter");
    assert_eq!(packets > 1, longest < length, "a frame that is cut has shorter segments");
}
