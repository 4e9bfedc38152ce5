//! Beside filters and qdiscs of others, and with others at ours.

use xbr_lab::{Cleanup, Xbr, bpffs_dir, everyone_talks, require_privileges, unique_name, wait_until};

use super::{CLSACT, MIB, SOON, XBR, filters, foreign, is_as_before, refusal, snapshot, veths};

#[test]
fn a_qdisc_that_others_came_to_use_stays() {
    if !require_privileges() {
        return;
    }
    let segment = veths();
    let bridge = Xbr::start(XBR, &segment, CLSACT);
    foreign(&segment.host().ns, "vm1 ingress");
    bridge.stop();
    let left = filters(&segment, "vm1 ingress");
    assert!(left.contains("pref 49152") && !left.contains("xbr"), "{left}");
    let qdiscs = segment.host().ns.output("tc qdisc show");
    assert_eq!(qdiscs.matches("clsact").count(), 1, "{qdiscs}");
}

#[test]
fn a_filter_in_our_place_is_left_alone() {
    if !require_privileges() {
        return;
    }
    for (place, how) in [
        ("vm2 ingress", "pref 1 protocol all handle 0x786272"),
        ("eth0 egress", "pref 1 protocol all handle 0x786272"),
        ("vm1 ingress", "pref 1 protocol ip handle 7"),
    ] {
        let segment = veths();
        let ns = &segment.host().ns;
        ns.output(&format!("tc qdisc add dev {} clsact", place.split(' ').next().unwrap()));
        foreign(ns, &format!("{place} {how}"));
        let name = unique_name();
        let _cleanup = Cleanup::after(&name);
        let before = snapshot(&segment, &name);
        let error = refusal(&segment, &name);
        assert!(
            error.contains("has priority 1 at") && error.contains("hint: see it with tc filter"),
            "{error}"
        );
        is_as_before(&before, &segment, &name);
    }
}

/// An ingress qdisc takes filters for frames that leave, too, and runs them on frames that come in.
#[test]
fn an_ingress_qdisc_serves_a_guest_and_not_the_uplink() {
    if !require_privileges() {
        return;
    }
    let segment = veths();
    let ns = &segment.host().ns;
    ns.output("tc qdisc add dev vm1 ingress");
    let bridge = Xbr::start(XBR, &segment, CLSACT);
    bridge.wait_forwarding();
    everyone_talks(&segment, MIB).unwrap();
    bridge.stop();
    assert!(ns.output("tc qdisc show dev vm1").contains("ingress"));
    ns.output("tc qdisc add dev eth0 ingress");
    let name = unique_name();
    let _cleanup = Cleanup::after(&name);
    let before = snapshot(&segment, &name);
    let error = refusal(&segment, &name);
    assert!(error.contains("eth0 has an ingress qdisc"), "{error}");
    is_as_before(&before, &segment, &name);
}

#[test]
fn filters_that_somebody_deletes_come_back() {
    if !require_privileges() {
        return;
    }
    let segment = veths();
    let before = snapshot(&segment, "none");
    let mut bridge = Xbr::start(XBR, &segment, CLSACT);
    let name = bridge.name.clone();
    let all_there = || {
        let there = |place| filters(&segment, place).contains(&format!("xbr/{name}"));
        ["eth0 ingress", "eth0 egress", "vm1 ingress", "vm2 ingress"].into_iter().all(there)
    };
    let delete = || {
        for dev in ["eth0", "vm1"] {
            segment.host().ns.output(&format!("tc qdisc del dev {dev} clsact"));
        }
        assert!(!all_there());
    };
    delete();
    assert!(wait_until(SOON, all_there), "{}", filters(&segment, "vm1 ingress"));
    bridge.kill();
    delete();
    bridge.restart("");
    assert!(all_there());
    bridge.wait_forwarding();
    everyone_talks(&segment, MIB).unwrap();
    bridge.stop();
    is_as_before(&before, &segment, &name);
}

#[test]
fn filters_of_a_bridge_without_tables_are_found_by_name() {
    if !require_privileges() {
        return;
    }
    let segment = veths();
    let bridge = Xbr::start(XBR, &segment, CLSACT);
    bridge.kill();
    std::fs::remove_file(bpffs_dir(&bridge.name).join("maps").join("RECORDS")).unwrap();
    // TAPs aside, what is left is filters; a start with no tables begins anew over them.
    let down = bridge.verb("down");
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    for place in ["eth0 ingress", "eth0 egress", "vm1 ingress", "vm2 ingress"] {
        assert!(!filters(&segment, place).contains("xbr/"), "{}", filters(&segment, place));
    }
}
