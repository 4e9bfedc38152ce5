//! Guests that speak for others, and one that answers where it should not.

use xbr_lab::forged::{arp, icmp6, udp4, udp6};
use xbr_lab::{Mac, Node, frames, require_privileges};

use super::{KINDS, quiet, tcp_works};

const OTHER: Mac = Mac::numbered(0xb001);
const OTHER_V4: [u8; 4] = [10, 77, 0, 99];
const OTHER_V6: [u8; 16] = [0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x99];

struct Case {
    reason: &'static str,
    frame: Vec<u8>,
    to_all: bool,
}

/// What guest `one` must not send, and how it is counted.
fn attacks(one: &Node, to: Mac) -> Vec<Case> {
    let (own4, own6) = (one.v4.octets(), one.v6.octets());
    let case = |reason, frame| Case { reason, frame, to_all: false };
    let all = |reason, frame| Case { reason, frame, to_all: true };
    vec![
        case("mac_guard", udp4(to, OTHER, own4, (9, 9))),
        case("ip_guard", udp4(to, one.mac, OTHER_V4, (9, 9))),
        case("ip_guard", udp6(to, one.mac, OTHER_V6, (9, 9))),
        all("arp_guard", arp(one.mac, one.mac, OTHER_V4)),
        all("arp_guard", arp(one.mac, OTHER, own4)),
        case("nd_guard", icmp6(to, one.mac, own6, 136, OTHER_V6)),
        case("dhcp_server", udp4(to, one.mac, own4, (67, 68))),
        case("dhcp_server", udp6(to, one.mac, own6, (547, 546))),
        case("ra", icmp6(to, one.mac, own6, 134, [0; 16])),
    ]
}

#[test]
fn a_guest_speaks_for_itself_alone() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in KINDS {
        let told = format!("{kind:?} {hook}");
        let (segment, bridge) = quiet(kind, hook);
        let ears = segment.ears();
        ears.introduce(&segment);
        let [one, two, three] = [1, 2, 3].map(|number| segment.guest(number));
        let everyone = [two, three, segment.host(), segment.outside()];
        let cases = attacks(one, two.mac);
        let pass = |told: &str| {
            for Case { frame, to_all, .. } in &cases {
                let hearers = if *to_all { &everyone[..] } else { &[two][..] };
                ears.send(one, frame, hearers).unwrap_or_else(|e| panic!("{told}: {e}"));
            }
        };
        pass("without guards");
        bridge.text(&format!("fdb del {OTHER}"));
        let words = format!("mac {} ip {} {} no-dhcp-server on no-ra on", one.mac, one.v4, one.v6);
        bridge.text(&format!("port set vm1 {words}"));
        let row = bridge.port("vm1");
        assert_eq!(row["mac"][0], one.mac.to_string());
        assert_eq!(row["ip"].as_array().unwrap().len(), 2);
        for Case { reason, frame, .. } in &cases {
            let before = bridge.counters("vm1").dropped(reason);
            ears.send(one, frame, &[]).unwrap_or_else(|e| panic!("{told}, {reason}: {e}"));
            assert_eq!(
                bridge.counters("vm1").dropped(reason),
                before + 1,
                "{told}: {reason} of {frame:02x?}"
            );
        }
        assert!(bridge.station(OTHER).is_none(), "{told}: a forged source is not learned");
        // Its own are right, and so are those of others.
        let (own4, own6) = (one.v4.octets(), one.v6.octets());
        ears.send(one, &udp4(two.mac, one.mac, own4, (9, 9)), &[two]).unwrap();
        ears.send(one, &udp6(two.mac, one.mac, own6, (9, 9)), &[two]).unwrap();
        ears.send(one, &icmp6(two.mac, one.mac, own6, 136, own6), &[two]).unwrap();
        ears.send(one, &arp(one.mac, one.mac, own4), &everyone).unwrap();
        ears.send(two, &udp4(one.mac, two.mac, OTHER_V4, (67, 68)), &[one]).unwrap();
        ears.send(one, &frames::frame(Mac::BROADCAST, one.mac, 60), &everyone).unwrap();
        bridge.text("port set vm1 mac off ip off no-dhcp-server off no-ra off");
        pass("guards off again");
        bridge.text(&format!("port set vm1 {words}"));
        tcp_works(&segment, &[1, 2]);
        bridge.stop();
    }
}
