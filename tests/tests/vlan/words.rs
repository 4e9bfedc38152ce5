//! What is said to xbr about VLANs, and what it says.

use serde_json::json;
use xbr_lab::{GuestKind, Mac, Process, Segment, TapsBy, Xbr, require_privileges, unique_name};

use crate::lab::{XBR, introduce, numbered, with_vlans};

#[test]
fn the_first_vlan_turns_filtering_on_and_cuts_nobody_off() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().quiet().guests(2, GuestKind::Veth).build();
    let bridge = Xbr::on(XBR, &mut segment, "");
    assert_eq!(bridge.json("show")[0]["vlan_filtering"], 0);
    assert_eq!(bridge.json("vlan show"), json!([]));
    let said = bridge.text("vlan add dev vm2 vid 10 pvid untagged");
    assert!(said.contains("VLAN filtering is on"), "{said}");
    assert_eq!(bridge.json("show")[0]["vlan_filtering"], 1);
    let own = json!([{ "vlan": 1, "flags": ["PVID", "Egress Untagged"] }]);
    let part = |ifname: &str, vlans: &serde_json::Value| json!({ "ifname": ifname, "vlans": vlans });
    let ten = json!([{ "vlan": 10, "flags": ["PVID", "Egress Untagged"] }]);
    let wanted = json!([part("host", &own), part("eth0", &own), part("vm1", &own), part("vm2", &ten)]);
    assert_eq!(bridge.json("vlan show"), wanted);
    bridge.text("vlan add dev eth0 vid 20-30");
    let trunk = json!([own[0], { "vlan": 20, "vlanEnd": 30 }]);
    assert_eq!(bridge.json("vlan show dev eth0"), json!([part("eth0", &trunk)]));
    bridge.text("vlan del dev eth0 vid 25");
    let holed = json!([{ "vlan": 20, "vlanEnd": 24 }, { "vlan": 26, "vlanEnd": 30 }]);
    assert_eq!(bridge.json("vlan show dev eth0 vid 2-4094"), json!([part("eth0", &holed)]));
    // Off on purpose: a further VLAN does not turn it on again.
    bridge.text("vlan filtering off");
    let said = bridge.text("vlan add dev vm1 vid 40");
    assert!(said.contains("VLAN filtering is off"), "{said}");
    assert_eq!(bridge.json("show")[0]["vlan_filtering"], 0);
    bridge.stop();
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    if !require_privileges() {
        return;
    }
    let (_segment, bridge) = with_vlans(&[GuestKind::Veth; 4], "tc");
    let before = bridge.json("vlan show");
    for (words, why) in [
        ("vlan add dev vm1 vid 0", "0 is no VLAN"),
        ("vlan add dev vm1 vid 4095", "4095 is no VLAN"),
        ("vlan add dev vm1 vid 30-20", "30-20 is no VLAN"),
        ("vlan add dev vm1 --vid 4095", "4095"),
        ("vlan add dev vm9 vid 10", "vm9 is no port"),
        ("vlan add dev vm1 vid 20-30 pvid", "one PVID"),
        ("vlan add dev vm1", "no VLAN is given"),
        ("vlan del dev vm1 vid 20", "vm1 is not in VLAN 20"),
        ("vlan show dev vm9", "no port vm9"),
        ("fdb add 02:77:00:00:09:00 dev vm1 vlan 20", "vm1 is not in VLAN 20"),
        ("trace --from vm1 --vlan 4096 02:77:00:00:00:01 02:77:00:00:00:02", "4096"),
    ] {
        let output = bridge.verb(words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && errors.contains(why), "{words}: {errors}");
    }
    assert_eq!(bridge.json("vlan show"), before);
    bridge.stop();
}

#[test]
fn frames_are_counted_for_their_vlan_and_traced_in_it() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = with_vlans(&[GuestKind::Tap; 4], "auto");
    let ears = segment.ears();
    introduce(&ears, &segment);
    let counts = |vid: u16| bridge.json(&format!("vlan show -s vid {vid}"))[0]["vlans"][0].clone();
    let (before, other) = (counts(10), counts(20));
    let (one, two) = (segment.guest(1), segment.guest(2));
    // Two of 100 and 104 bytes: to one, who hears it without a tag, and to all, who are three, two of them with one.
    ears.of(one).send(&numbered(two.mac, one.mac, &[], 40)).unwrap();
    ears.of(one).send(&numbered(Mac::BROADCAST, one.mac, &[(0x8100, 10)], 40)).unwrap();
    ears.forget().unwrap();
    let grown = |key: &str| counts(10)[key].as_u64().unwrap() - before[key].as_u64().unwrap();
    assert_eq!((grown("rx_packets"), grown("rx_bytes")), (2, 204));
    assert_eq!((grown("tx_packets"), grown("tx_bytes")), (4, 100 + 100 + 104 + 104));
    assert_eq!(counts(20), other);
    let trace =
        |vlan: &str, to: Mac| bridge.json(&format!("trace --from vm4 {vlan} {} {to}", segment.guest(4).mac));
    let told = trace("--vlan 10", Mac::BROADCAST);
    assert_eq!((&told["ports"], &told["tagged"]), (&json!(["eth0", "vm1", "vm2"]), &json!(["eth0"])));
    assert_eq!(trace("--vlan 10", one.mac)["ports"], json!(["vm1"]));
    assert_eq!(trace("", Mac::BROADCAST)["ports"], json!(["host", "eth0"]));
    assert_eq!(trace("--vlan 30", one.mac)["drops"], json!([{ "port": "vm4", "reason": "vlan_ingress" }]));
    bridge.stop();
}

#[test]
fn monitors_hear_of_changes() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = with_vlans(&[GuestKind::Veth; 4], "tc");
    let monitor = Process::spawn(segment.host().ns.command(XBR, ["monitor", "--bridge", &bridge.name]));
    std::thread::sleep(std::time::Duration::from_millis(300));
    for words in ["add dev vm1 vid 30", "del dev vm1 vid 30", "filtering off"] {
        bridge.text(&format!("vlan {words}"));
    }
    for line in ["vlan added 30 dev vm1", "vlan deleted 30 dev vm1", "vlan filtering off"] {
        monitor.wait_line(line, std::time::Duration::from_secs(3));
    }
    bridge.stop();
}

#[test]
fn a_file_says_which_vlans_a_port_has() {
    if !require_privileges() {
        return;
    }
    let path = std::env::temp_dir().join(format!("{}.toml", unique_name()));
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write(
        "tap = [{ name = \"vm1\", vlan = [\"10 pvid untagged\", \"20-30\"] }, \"vm2\"]\n\
         uplink-vlan = [\"1 pvid untagged\", \"10\"]\nhost-vlan = \"1 pvid untagged\"\n",
    );
    let mut segment = Segment::builder().quiet().guests(2, GuestKind::Tap).build();
    let words = format!("--uplink eth0 --config {}", path.display());
    let start = |segment: &Segment| Xbr::run(XBR, &segment.host().ns, &words);
    let mut bridge = segment.start(TapsBy::Switch, start);
    let show = |bridge: &Xbr| bridge.text("vlan show").split_whitespace().collect::<Vec<_>>().join(" ");
    let all = "port vlan-id host 1 PVID Egress Untagged eth0 1 PVID Egress Untagged 10 \
               vm1 10 PVID Egress Untagged 20-30 vm2 1 PVID Egress Untagged";
    assert_eq!(show(&bridge), all);
    bridge.text("vlan add dev vm2 vid 40 pvid untagged");
    bridge.text("vlan add dev vm1 vid 50");
    bridge.kill();
    // What it says replaces what there was; of vm2 and the uplink it says nothing.
    write("tap = [{ name = \"vm1\", vlan = \"20 pvid untagged\" }, \"vm2\"]\n");
    bridge.restart("");
    let all = "port vlan-id host 1 PVID Egress Untagged eth0 1 PVID Egress Untagged 10 \
               vm1 20 PVID Egress Untagged vm2 40 PVID Egress Untagged";
    assert_eq!(show(&bridge), all);
    bridge.stop();
    std::fs::remove_file(path).unwrap();
}
