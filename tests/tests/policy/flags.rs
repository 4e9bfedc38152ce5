//! The flags of `bridge link set`, each on and off, as who hears what.

use xbr_lab::{Mac, frames, require_privileges, tcp_transfer};

use super::{KINDS, MIB, quiet, tcp_works};

const NOBODY: Mac = Mac::numbered(0xffff);
const NEW: Mac = Mac::numbered(0xb001);
const GROUP: Mac = Mac([1, 0, 0x5e, 1, 2, 3]);

#[test]
fn isolated_guests_reach_everyone_but_each_other() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in KINDS {
        let told = format!("{kind:?} {hook}");
        let (segment, bridge) = quiet(kind, hook);
        let ears = segment.ears();
        ears.introduce(&segment);
        let (host, outside) = (segment.host(), segment.outside());
        let [one, two, three] = [1, 2, 3].map(|number| segment.guest(number));
        for port in ["vm1", "vm2"] {
            bridge.text(&format!("port set dev {port} isolated on"));
            assert_eq!(bridge.port(port)["isolated"], true);
        }
        ears.send(one, &frames::finished(two.mac, one.mac, 100), &[]).unwrap();
        assert_eq!(bridge.counters("vm2").dropped("isolated"), 1, "{told}");
        for other in [three, host, outside] {
            ears.send(one, &frames::finished(other.mac, one.mac, 100), &[other]).unwrap();
            ears.send(other, &frames::finished(two.mac, other.mac, 100), &[two]).unwrap();
        }
        ears.send(one, &frames::frame(Mac::BROADCAST, one.mac, 60), &[three, host, outside]).unwrap();
        ears.send(three, &frames::frame(NOBODY, three.mac, 60), &[one, two, outside]).unwrap();
        tcp_works(&segment, &[1, 2]);
        tcp_transfer(&one.ns, &three.ns, three.v4, MIB).unwrap();
        assert!(tcp_transfer(&one.ns, &two.ns, two.v4, MIB).is_err(), "{told}: TCP between isolated guests");
        bridge.text("port set vm1 --isolated off");
        tcp_transfer(&one.ns, &two.ns, two.v4, MIB).unwrap();
        bridge.stop();
    }
}

#[test]
fn floods_leave_where_they_are_wanted() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in KINDS {
        let (segment, bridge) = quiet(kind, hook);
        let ears = segment.ears();
        ears.introduce(&segment);
        let (host, outside) = (segment.host(), segment.outside());
        let [one, two, three] = [1, 2, 3].map(|number| segment.guest(number));
        for (word, to) in [("flood", NOBODY), ("mcast_flood", GROUP), ("bcast_flood", Mac::BROADCAST)] {
            let frame = frames::frame(to, one.mac, 60);
            // A host behind which nobody is takes no unicasts to nobody known.
            let others: Vec<_> = if to == NOBODY { vec![outside, three] } else { vec![host, outside, three] };
            bridge.text(&format!("port set dev vm2 {word} off"));
            assert_eq!(bridge.port("vm2")[word], false);
            for other in ["flood", "mcast_flood", "bcast_flood"].into_iter().filter(|other| *other != word) {
                assert_eq!(bridge.port("vm2")[other], true);
            }
            ears.send(one, &frame, &others).unwrap_or_else(|e| panic!("{kind:?} {word}: {e}"));
            // What is known comes in all the same.
            ears.send(one, &frames::finished(two.mac, one.mac, 100), &[two]).unwrap();
            bridge.text(&format!("port set dev vm2 {word} on"));
            ears.send(one, &frame, &[&others[..], &[two]].concat()).unwrap();
        }
        assert!(bridge.all_counters().drops().is_empty(), "a copy that is not wanted is no loss");
        tcp_works(&segment, &[2]);
        bridge.stop();
    }
}

#[test]
fn learning_locked_and_hairpin() {
    if !require_privileges() {
        return;
    }
    for (kind, hook) in KINDS {
        let told = format!("{kind:?} {hook}");
        let (segment, bridge) = quiet(kind, hook);
        let ears = segment.ears();
        ears.introduce(&segment);
        let (one, two, outside) = (segment.guest(1), segment.guest(2), segment.outside());
        let from_new = frames::finished(two.mac, NEW, 100);

        bridge.text("port set vm1 learning off");
        ears.send(one, &from_new, &[two]).unwrap();
        assert!(bridge.station(NEW).is_none(), "{told}: learned");
        bridge.text("port set vm1 learning on");
        ears.send(one, &from_new, &[two]).unwrap();
        assert_eq!(bridge.station(NEW).expect("learned")["ifname"], "vm1", "{told}");

        bridge.text("port set vm1 hairpin on");
        ears.send(one, &frames::finished(NEW, one.mac, 100), &[one])
            .unwrap_or_else(|e| panic!("{told}: {e}"));
        bridge.text("port set vm1 hairpin off");
        ears.send(one, &frames::finished(NEW, one.mac, 100), &[]).unwrap();
        assert_eq!(bridge.counters("vm1").dropped("same_port"), 1, "{told}");

        bridge.text("port set vm1 locked on");
        bridge.text(&format!("fdb del {NEW}"));
        ears.send(one, &from_new, &[]).unwrap();
        assert_eq!(bridge.counters("vm1").dropped("locked"), 1, "{told}");
        ears.send(one, &frames::finished(outside.mac, one.mac, 100), &[outside]).unwrap();
        bridge.text(&format!("fdb add {NEW} dev vm1 static"));
        ears.send(one, &from_new, &[two]).unwrap();
        tcp_works(&segment, &[1]);
        bridge.stop();
    }
}

#[test]
fn nobody_cuts_the_host_off() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = quiet(xbr_lab::GuestKind::Veth, "tc");
    for words in [
        "eth0 isolated on",
        "host locked on",
        "eth0 down",
        "host bcast_flood off",
        "nobody up",
        "vm1 rate fast",
    ] {
        let output = bridge.verb(&format!("port set {words}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("hint: "), "{words}: {said}");
        assert!(said.lines().count() == 2, "{words}: {said}");
    }
    tcp_works(&segment, &[1]);
}
