//! The checksum guard: without it XDP breaks TCP and leaves ping alone, which is how naive XDP bridges fail. So the
//! other tests, which see TCP work, can see the guard.

use xbr_lab::{GuestKind, Namespace, Node, Segment, Xbr, ping, require_privileges, tcp_transfer};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const MIB: u64 = 1 << 20;

/// TCP segments that this machine received with a wrong checksum.
fn bad_segments(ns: &Namespace) -> u64 {
    let text = ns.output("nstat -asz TcpInCsumErrors");
    let count = text.split_whitespace().skip_while(|word| *word != "TcpInCsumErrors").nth(1);
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("nstat: {text}"))
}

/// Every way through XDP: to a guest and to the outside, and from there.
fn ways(segment: &Segment) -> [(&Node, &Node); 3] {
    let (one, two, outside) = (segment.guest(1), segment.guest(2), segment.outside());
    [(one, two), (one, outside), (outside, two)]
}

fn with_and_without(kind: GuestKind) {
    if !require_privileges() {
        return;
    }
    for guarded in [false, true] {
        let mut segment = Segment::builder().guests(2, kind).build();
        let flag = if guarded { "" } else { "--lab-no-guard" };
        let bridge = Xbr::on(XBR, &mut segment, &format!("--hook xdp {flag}"));
        for (from, to) in ways(&segment) {
            ping(&from.ns, to.v4).unwrap();
            ping(&from.ns, to.v6).unwrap();
            let before = bad_segments(&to.ns);
            let transfer = tcp_transfer(&from.ns, &to.ns, to.v4, MIB);
            let bad = bad_segments(&to.ns) - before;
            assert_eq!(transfer.is_ok(), guarded, "{from:?} → {to:?}: {transfer:?}");
            assert_eq!(bad == 0, guarded, "{bad} segments with a wrong checksum at {to:?}");
        }
        // Without the guard too, TC carries what is for the host.
        tcp_transfer(&segment.guest(1).ns, &segment.host().ns, segment.host().v4, MIB).unwrap();
        let unfinished = bridge.counters("vm1").slowed("unfinished_checksum");
        assert_eq!(unfinished > 0, guarded, "the guard sent {unfinished} frames to TC");
        bridge.stop();
    }
}

#[test]
fn veth() {
    with_and_without(GuestKind::Veth);
}

#[test]
fn tap_with_vnet_hdr() {
    with_and_without(GuestKind::TapVnetHdr);
}
