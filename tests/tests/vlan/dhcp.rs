//! Leases in a VLAN: from a server beyond the trunk, to clients at access ports, which know of no tags.

use std::net::Ipv4Addr;

use xbr_lab::dhcp::{Replies, Server, acquire};
use xbr_lab::{require_privileges, tcp_transfer};

use crate::lab::{KINDS, with_vlans};

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const MIB: u64 = 1 << 20;

#[test]
fn leases_cross_a_trunk() {
    if !require_privileges() {
        return;
    }
    // TC, XDP on veths and XDP on TAPs; floods, such as a client's, are TC's on all.
    for (number, (kinds, hook)) in KINDS.into_iter().take(3).enumerate() {
        let (segment, bridge) = with_vlans(kinds, hook);
        let told = format!("{kinds:?} {hook}");
        let outside = segment.outside();
        let _server = Server::in_vlan(outside, 10, FIRST);
        // Guests 1 and 2 are in VLAN 10.
        for (guest, replies) in [(1, Replies::Broadcast), (1, Replies::Unicast), (2, Replies::Unicast)] {
            let lease = acquire(segment.guest(guest), replies).unwrap_or_else(|e| panic!("{told}: {e:#}"));
            assert_eq!(u32::from(lease), u32::from(FIRST) + guest as u32 - 1, "{told}");
        }
        // Guest 3 is in VLAN 20, where nobody serves.
        let other = number == 0 && acquire(segment.guest(3), Replies::Broadcast).is_ok();
        assert!(!other, "{told}: a lease of another VLAN");
        segment.address_quietly();
        let (one, two) = (segment.guest(1), segment.guest(2));
        tcp_transfer(&one.ns, &two.ns, two.v4, MIB).unwrap_or_else(|e| panic!("{told}: {e:#}"));
        bridge.stop();
    }
}
