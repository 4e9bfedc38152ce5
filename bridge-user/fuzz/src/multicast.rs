//! Frames about multicast memberships.

#[path = "../../src/multicast/bytes.rs"]
mod bytes;
#[path = "../../src/multicast/parse.rs"]
mod parse;

/// Whether a frame says anything of groups.
pub fn membership(frame: &[u8]) -> bool {
    parse::parse(frame).is_ok()
}
