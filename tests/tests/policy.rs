//! What ports are allowed, and what guests cannot do about it.

#[path = "policy/flags.rs"]
mod flags;
#[path = "policy/guards.rs"]
mod guards;
#[path = "policy/life.rs"]
mod life;
#[path = "policy/limits.rs"]
mod limits;
#[path = "policy/quota.rs"]
mod quota;

use std::time::Duration;

use xbr_lab::{GuestKind, Segment, Xbr, tcp_transfer};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const SOON: Duration = Duration::from_secs(3);
const MIB: u64 = 1 << 20;
/// TC alone, XDP alone, and TC with XDP's flag word.
const KINDS: [(GuestKind, &str); 4] = [
    (GuestKind::Veth, "tc"),
    (GuestKind::Veth, "xdp"),
    (GuestKind::Tap, "xdp"),
    (GuestKind::TapVnetHdr, "auto"),
];

/// Three guests on a segment where nobody speaks unasked.
fn quiet(kind: GuestKind, hook: &str) -> (Segment, Xbr) {
    let mut segment = Segment::builder().quiet().guests(3, kind).build();
    let bridge = Xbr::on(XBR, &mut segment, &format!("--hook {hook}"));
    (segment, bridge)
}

/// TCP, compared byte for byte, between guest and outside, guest and host. To be called once, when the frames are done.
fn tcp_works(segment: &Segment, guests: &[usize]) {
    segment.address_quietly();
    for number in guests {
        let guest = segment.guest(*number);
        for other in [segment.outside(), segment.host()] {
            tcp_transfer(&guest.ns, &other.ns, other.v4, MIB).unwrap();
        }
    }
}
