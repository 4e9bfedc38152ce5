//! Patterns that are refused, restarts, names that change, and TAPs that cannot be attached.

use std::time::Duration;

use xbr_lab::{
    Cleanup, GuestKind, Segment, Snapshot, Xbr, bpffs_dir, require_privileges, unique_name, wait_until,
};

use super::{AT_ONCE, SOON, XBR, becomes_port, has, is_port_no_more, no_program, segment, talks, tells};

#[test]
fn a_pattern_for_libvirts_names_is_refused() {
    if !require_privileges() {
        return;
    }
    let segment = Segment::builder().guests(1, GuestKind::Tap).build();
    let host = &segment.host().ns;
    host.ip("link add virbr7 type bridge");
    for pattern in ["vnet*", "*", "?net?", "v*[0-9]"] {
        let name = unique_name();
        let _cleanup = Cleanup::after(&name);
        let before = Snapshot::with_paths(host, &[&bpffs_dir(&name)]);
        let words = ["run", "--bridge", &name, "--uplink", "eth0", "--attach", "xvm*", "--attach", pattern];
        let output = host.command(XBR, words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        for word in [pattern, "virbr7", "hint:", "<target dev='xvm1'/>", "xbr libvirt install"] {
            assert!(said.contains(word), "no {word} in {said}");
        }
        before.assert_same(&Snapshot::with_paths(host, &[&bpffs_dir(&name)]));
    }
    let output = host.command(XBR, ["run", "--uplink", "eth0", "--attach", "vm["]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("is not closed"), "{said}");
}

#[test]
fn a_restart_keeps_what_matches_and_lets_the_rest_go() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(2, GuestKind::TapVnetHdr).build();
    let host = segment.host().ns.clone();
    // It is there before the start, up or down.
    segment.plug(1);
    host.ip("link set vm1 up");
    segment.plug(2);
    let mut bridge = Xbr::run(XBR, &host, "--uplink eth0 --attach vm1 --attach v?2");
    assert!(
        has(&bridge, "vm1") && has(&bridge, "vm2"),
        "what is there at the start is taken in by the start"
    );
    talks(&segment);
    let attached = bridge.attachments();
    bridge.kill();
    talks(&segment);
    host.ip("tuntap add dev vm22 mode tap");
    bridge.restart("");
    assert!(has(&bridge, "vm1") && has(&bridge, "vm2"));
    let pins = |list: &[(String, String, bool)]| list.iter().map(|one| one.0.clone()).collect::<Vec<_>>();
    assert_eq!(pins(&bridge.attachments()), pins(&attached), "the same links");
    assert_eq!(bridge.station(segment.guest(1).mac).unwrap()["ifname"], "vm1");
    talks(&segment);
    // Without the pattern, and with a device that went and one that was given away meanwhile.
    bridge.kill();
    host.ip_batch(&["link add br0 type bridge", "link set vm2 master br0"]);
    bridge.reword("--uplink eth0 --attach v?2");
    bridge.restart("");
    assert!(!has(&bridge, "vm1") && !has(&bridge, "vm2"), "{}", bridge.text("port show"));
    assert!(host.output("ip link show vm1").contains(",UP"), "it was up when it was found");
    assert!(host.output("ip link show vm2").contains("master br0"));
    assert!(wait_until(SOON, || no_program(&host, "vm1") && no_program(&host, "vm2")));
    bridge.kill();
    host.ip("link set vm2 nomaster");
    bridge.restart("");
    becomes_port(&bridge, "vm2");
    bridge.kill();
    segment.unplug(2);
    bridge.restart("");
    assert!(!has(&bridge, "vm2"));
    assert!(bridge.station(segment.guest(2).mac).is_none());
    segment.plug(2);
    becomes_port(&bridge, "vm2");
    bridge.stop();
}

#[test]
fn names_and_operators_decide() {
    if !require_privileges() {
        return;
    }
    let (mut segment, bridge) = segment(GuestKind::TapVnetHdr, "--attach vm*");
    let monitor = bridge.monitor();
    let host = segment.host().ns.clone();
    segment.plug(1);
    becomes_port(&bridge, "vm1");
    // Another name that is meant, one that is not, and back.
    host.ip("link set vm1 name vm9");
    tells(&monitor, &["port-changed", "vm9", "renamed from vm1"]);
    assert!(has(&bridge, "vm9"));
    host.ip("link set vm9 name away");
    tells(&monitor, &["port-removed", "away"]);
    is_port_no_more(&bridge, "away");
    assert!(wait_until(SOON, || no_program(&host, "away")));
    assert!(!host.output("ip link show away").contains(",UP"), "nothing of xbr's is left to keep it closed");
    host.ip("link set away name vm1");
    becomes_port(&bridge, "vm1");
    segment.plug(2);
    talks(&segment);
    // Whoever lets it go has the last word, until the next device of that name.
    bridge.text("port del vm2");
    host.ip_batch(&[
        "link set vm2 mtu 1400",
        "link set vm2 mtu 1500",
        "link set vm2 up",
        "link set vm2 down",
    ]);
    std::thread::sleep(AT_ONCE * 3);
    assert!(!has(&bridge, "vm2"));
    bridge.text("port add vm2");
    bridge.text("port del vm2");
    segment.unplug(2);
    segment.plug(2);
    becomes_port(&bridge, "vm2");
    talks(&segment);
    bridge.stop();
}

#[test]
fn what_cannot_be_attached_is_said_once_and_tried_when_it_changes() {
    if !require_privileges() {
        return;
    }
    let (segment, bridge) = segment(GuestKind::TapVnetHdr, "--attach vm* --hook xdp");
    let monitor = bridge.monitor();
    let host = &segment.host().ns;
    let told = |word: &str| monitor.stdout_text().lines().filter(|line| line.contains(word)).count();
    host.ip_batch(&["tuntap add dev hidden mode tap", "link set hidden up"]);
    host.output("nft add table bridge t");
    host.output("nft add chain bridge t f");
    host.output("nft add rule bridge t f iifname \"vm7\" drop");
    host.ip("link set hidden name vm7");
    tells(&monitor, &["port-refused", "vm7", "nftables chain bridge t f names vm7"]);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(told("port-refused"), 1, "{monitor}");
    assert!(!has(&bridge, "vm7"));
    // Something about it changes, and it is the same still: tried, and not said again.
    host.ip("link set vm7 mtu 1400");
    std::thread::sleep(AT_ONCE * 5);
    assert_eq!(told("port-refused"), 1, "{monitor}");
    host.output("nft flush chain bridge t f");
    tells(&monitor, &["port-added", "vm7"]);
    bridge.stop();
}
