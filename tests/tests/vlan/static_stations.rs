//! The FDB of a bridge with VLANs.

use serde_json::Value;
use xbr_lab::{GuestKind, Mac, Xbr, require_privileges};

use crate::lab::{introduce, numbered, with_vlans};

const GATEWAY: Mac = Mac::numbered(0x900);

/// Where a station is, as `vm1:10`, in every VLAN where it is known.
fn places(bridge: &Xbr, mac: Mac) -> Vec<String> {
    let rows = bridge.json("fdb show");
    let rows = rows.as_array().expect("a list").iter().filter(|row| row["mac"] == mac.to_string().as_str());
    let place = |row: &Value| {
        let vlan = row.get("vlan").map_or(String::new(), |vlan| format!(":{vlan}"));
        format!("{}{vlan} {}", row["ifname"].as_str().unwrap(), row["state"].as_str().unwrap()).trim().into()
    };
    rows.map(place).collect()
}

#[test]
fn a_static_station_is_learned_nowhere_else_in_any_vlan() {
    if !require_privileges() {
        return;
    }
    for (kinds, hook) in [([GuestKind::Tap; 4], "auto"), ([GuestKind::Veth; 4], "tc")] {
        let (segment, bridge) = with_vlans(&kinds, hook);
        let ears = segment.ears();
        let spoof = |number: usize| {
            let spoofer = segment.guest(number);
            ears.of(spoofer).send(&numbered(Mac::BROADCAST, GATEWAY, &[], number)).unwrap();
            ears.forget().unwrap();
        };
        // Learned at a guest first: the operator knows better.
        spoof(3);
        assert_eq!(places(&bridge, GATEWAY), ["vm3:20"]);
        bridge.text(&format!("fdb add {GATEWAY} dev eth0 vlan 10"));
        assert_eq!(places(&bridge, GATEWAY), ["eth0:10 static"]);
        let before = bridge.all_counters();
        spoof(1);
        spoof(3);
        assert_eq!(places(&bridge, GATEWAY), ["eth0:10 static"], "{hook}");
        let refused = |port: &str| bridge.stats(port)["refused"]["static"].as_u64().unwrap();
        assert_eq!((refused("vm1"), refused("vm3")), (1, 1));
        assert!(bridge.all_counters().since(&before).drops().is_empty());
        // Without a VLAN it is all of the port's, of which there are three.
        bridge.text(&format!("fdb add {GATEWAY} dev eth0"));
        assert_eq!(places(&bridge, GATEWAY), ["eth0:1 static", "eth0:10 static", "eth0:20 static"]);
        // One VLAN less, and it is still known where the station is.
        bridge.text(&format!("fdb del {GATEWAY} vlan 20"));
        spoof(3);
        assert_eq!(places(&bridge, GATEWAY), ["eth0:1 static", "eth0:10 static"]);
        bridge.text(&format!("fdb del {GATEWAY}"));
        spoof(3);
        assert_eq!(places(&bridge, GATEWAY), ["vm3:20"], "{hook}: nobody owns it any more");
        bridge.stop();
    }
}

#[test]
fn what_the_operator_wrote_is_kept_with_filtering_and_without() {
    if !require_privileges() {
        return;
    }
    let (segment, mut bridge) = with_vlans(&[GuestKind::Veth; 4], "tc");
    let ears = segment.ears();
    introduce(&ears, &segment);
    bridge.text(&format!("fdb add {GATEWAY} dev vm4"));
    let all = ["vm4:1 static", "vm4:10 static", "vm4:20 static"];
    assert_eq!(places(&bridge, GATEWAY), all);
    assert!(!places(&bridge, segment.guest(1).mac).is_empty());
    bridge.text("vlan filtering off");
    assert_eq!(places(&bridge, GATEWAY), ["vm4 static"]);
    assert!(places(&bridge, segment.guest(1).mac).is_empty(), "what was learned in VLANs is forgotten");
    ears.of(segment.guest(1)).send(&numbered(Mac::BROADCAST, segment.guest(1).mac, &[], 1)).unwrap();
    ears.forget().unwrap();
    assert_eq!(places(&bridge, segment.guest(1).mac), ["vm1"]);
    bridge.text("vlan filtering on");
    assert_eq!(places(&bridge, GATEWAY), all);
    assert!(places(&bridge, segment.guest(1).mac).is_empty(), "what was learned without VLANs is forgotten");
    bridge.kill();
    bridge.restart("");
    assert_eq!(places(&bridge, GATEWAY), all);
    bridge.text("fdb flush vlan 10");
    assert_eq!(places(&bridge, GATEWAY), all, "only learned ones are flushed");
    // A port that goes takes all of it along, also what tells where its stations are in any VLAN.
    bridge.text("port del vm4");
    ears.of(segment.guest(3)).send(&numbered(Mac::BROADCAST, GATEWAY, &[], 2)).unwrap();
    ears.forget().unwrap();
    assert_eq!(places(&bridge, GATEWAY), ["vm3:20"]);
    bridge.stop();
}

#[test]
fn a_sticky_station_stays_and_ages() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = with_vlans(&[GuestKind::Veth; 4], "tc");
    let ears = segment.ears();
    bridge.text(&format!("fdb add {GATEWAY} dev vm1 vlan 10 sticky"));
    let row = bridge.station(GATEWAY).expect("it is there");
    assert_eq!((&row["state"], &row["flags"]), (&"".into(), &serde_json::json!(["sticky"])));
    ears.of(segment.guest(2)).send(&numbered(Mac::BROADCAST, GATEWAY, &[], 1)).unwrap();
    ears.forget().unwrap();
    assert_eq!(places(&bridge, GATEWAY), ["vm1:10"], "it does not move");
    ears.of(segment.guest(3)).send(&numbered(Mac::BROADCAST, GATEWAY, &[], 2)).unwrap();
    ears.forget().unwrap();
    assert_eq!(places(&bridge, GATEWAY), ["vm1:10", "vm3:20"], "and is somebody else in another VLAN");
    bridge.text("fdb flush vlan 10");
    assert_eq!(places(&bridge, GATEWAY), ["vm3:20"], "it is no static one");
    bridge.stop();
}
