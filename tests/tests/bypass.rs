//! Nothing is bypassed in silence: rules, filters and queueing disciplines of others at what is to be a port.

use std::time::Duration;

use xbr_lab::{
    Cleanup, GuestKind, Namespace, Process, Segment, Snapshot, TapsBy, Xbr, bpffs_dir, everyone_talks, ping,
    require_privileges, tcp_transfer, unique_name, wait_until,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const SOON: Duration = Duration::from_secs(10);
const START: Duration = Duration::from_secs(20);
const MIB: u64 = 1 << 20;

/// Each way to name `vm1`: what is done, and the words of a refusal.
const RULES: [(&[&str], &[&str]); 6] = [
    (
        &["nft add table bridge t", "nft add chain bridge t f", "nft add rule bridge t f iifname vm1 drop"],
        &["of nftables chain bridge t f names vm1 (iifname)", "nft -a list chain bridge t f"],
    ),
    (
        &[
            "nft add table bridge t",
            "nft add chain bridge t f",
            "nft add rule bridge t f oifname { vm0, vm1 } drop",
        ],
        &["of nftables chain bridge t f names vm1 (oifname)"],
    ),
    (
        &["nft add table bridge t", "nft add chain bridge t f", "nft add rule bridge t f iif vm1 drop"],
        &["of nftables chain bridge t f names vm1 (iif)"],
    ),
    (
        &["ebtables-nft -A FORWARD -i vm1+ -j DROP"],
        &["of nftables chain bridge filter FORWARD names vm1 (iifname)"],
    ),
    (
        &[
            "nft add table netdev n",
            "nft add chain netdev n c { type filter hook ingress device vm1 priority 0 ; }",
        ],
        &["nftables chain netdev n c hangs on vm1"],
    ),
    // libvirt's <bandwidth> for what the guest sends, without its policer, which not every kernel has.
    (
        &[
            "tc qdisc add dev vm1 ingress",
            "tc filter add dev vm1 parent ffff: protocol all u32 match u32 0 0 flowid :1",
        ],
        &["a filter at TC ingress (u32, priority 49152) sits on vm1", "tc filter show dev vm1 ingress"],
    ),
];

/// libvirt's `<bandwidth>` for what the guest receives.
const SHAPED: &str = "tc qdisc add dev vm1 root handle 1: htb default 1";

fn run(ns: &Namespace, commands: &[&str]) {
    for words in commands {
        ns.output(words);
    }
}

/// `xbr` with these words, which is to be refused, and what it says.
#[track_caller]
fn refused(ns: &Namespace, words: &str) -> String {
    let process = Process::spawn(ns.command(XBR, words.split_whitespace()));
    assert_eq!(process.wait(START).code(), Some(2), "{words}: {process}");
    let said = process.stderr_text();
    assert!(said.contains("hint: ") && said.contains("--allow-bypass"), "{said}");
    said
}

#[track_caller]
fn contains(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
}

fn has(bridge: &Xbr, port: &str) -> bool {
    bridge.json("port show").as_array().unwrap().iter().any(|row| row["ifname"] == port)
}

#[test]
fn a_port_that_is_named_is_refused_in_every_way_in() {
    if !require_privileges() {
        return;
    }
    for (commands, words) in RULES {
        let mut segment = Segment::builder().guests(2, GuestKind::TapVnetHdr).build();
        segment.make_taps();
        let host = segment.host().ns.clone();
        run(&host, commands);
        let name = unique_name();
        let _cleanup = Cleanup::after(&name);
        let before = Snapshot::with_paths(&host, &[&bpffs_dir(&name)]);
        for flag in ["--port", "--tap"] {
            contains(&refused(&host, &format!("run --bridge {name} --uplink eth0 {flag} vm1")), words);
        }
        before.assert_same(&Snapshot::with_paths(&host, &[&bpffs_dir(&name)]));
        let bridge = Xbr::run(XBR, &host, "--uplink eth0 --attach vm1 --port vm2");
        assert!(!has(&bridge, "vm1"), "{commands:?}");
        contains(&bridge.process.stderr_text(), &["vm1 is not attached", words[0]]);
        for verb in ["port add vm1", "tap add vm1", "port add vm1 --hook tc"] {
            contains(&refused(&host, &format!("{verb} --bridge {}", bridge.name)), words);
        }
        contains(
            &bridge.text("doctor vm1"),
            &["-- bypass", words[0], "would go past that", "--allow-bypass"],
        );
        let said = bridge.text("port add vm1 --allow-bypass");
        contains(&said, &["warning: ", words[0], "as allowed"]);
        contains(&bridge.text("doctor vm1"), &["!! bypass", words[0], "goes past that"]);
        for number in [1, 2] {
            segment.plug(number);
        }
        segment.settle();
        bridge.wait_forwarding();
        everyone_talks(&segment, MIB).unwrap();
        bridge.stop();
        let bridge = Xbr::run(XBR, &host, "--uplink eth0 --port vm1 --allow-bypass");
        assert!(has(&bridge, "vm1"));
        bridge.stop();
    }
}

#[test]
fn a_tap_that_is_yet_to_be_made_is_refused_for_its_name() {
    if !require_privileges() {
        return;
    }
    let segment = Segment::builder().build();
    let host = &segment.host().ns;
    run(host, RULES[0].0);
    let name = unique_name();
    let _cleanup = Cleanup::after(&name);
    contains(&refused(host, &format!("run --bridge {name} --uplink eth0 --tap vm1")), RULES[0].1);
    let bridge = Xbr::run(XBR, host, "--uplink eth0");
    contains(&refused(host, &format!("tap add vm1 --bridge {}", bridge.name)), RULES[0].1);
    assert!(!host.output("ip -br link").contains("vm1"));
    bridge.text("tap add vm1 --allow-bypass");
    bridge.text("tap add vm2");
    assert!(has(&bridge, "vm1") && has(&bridge, "vm2"));
    bridge.stop();
}

#[test]
fn an_uplink_that_is_named_is_refused() {
    if !require_privileges() {
        return;
    }
    for (commands, words) in RULES {
        let segment = Segment::builder().guests(1, GuestKind::Veth).build();
        let host = &segment.host().ns;
        let of_uplink = |text: &str| text.replace("vm1", "eth0");
        commands.iter().for_each(|words| drop(host.output(&of_uplink(words))));
        let name = unique_name();
        let _cleanup = Cleanup::after(&name);
        let before = Snapshot::with_paths(host, &[&bpffs_dir(&name)]);
        let said = refused(host, &format!("run --bridge {name} --uplink eth0 --port vm1"));
        contains(&said, &[&of_uplink(words[0])]);
        before.assert_same(&Snapshot::with_paths(host, &[&bpffs_dir(&name)]));
        let bridge = Xbr::run(XBR, host, "--uplink eth0 --port vm1 --allow-bypass");
        bridge.stop();
    }
}

/// What leaves through TC passes the port's queueing discipline as it always did; what XDP redirects does not.
#[test]
fn a_shaped_port_gets_tc_and_its_shape_holds() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(2, GuestKind::Tap).build();
    let host = segment.host().ns.clone();
    segment.make_taps();
    host.output(SHAPED);
    host.output("tc class add dev vm1 parent 1: classid 1:1 htb rate 10gbit");
    let name = unique_name();
    let _cleanup = Cleanup::after(&name);
    let said = refused(&host, &format!("run --bridge {name} --uplink eth0 --port vm1 --hook vm1=xdp"));
    contains(&said, &["the queueing discipline htb 1: shapes what vm1 sends", "--hook vm1=tc"]);
    let bridge = segment.start(TapsBy::Switch, |_| Xbr::run(XBR, &host, "--uplink eth0 --tap vm1 --tap vm2"));
    bridge.wait_forwarding();
    assert_eq!(bridge.port("vm1")["hook"], "tc", "htb wants it");
    assert_eq!(bridge.port("vm2")["hook"], "xdp", "nothing is said of this one");
    let sent = || {
        let text = host.output("tc -s -j qdisc show dev vm1");
        let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
        rows.as_array().unwrap().iter().find(|row| row["kind"] == "htb").unwrap()["bytes"].as_u64().unwrap()
    };
    let before = sent();
    let (one, two) = (segment.guest(1), segment.guest(2));
    tcp_transfer(&two.ns, &one.ns, one.v4, MIB).unwrap();
    tcp_transfer(&segment.outside().ns, &one.ns, one.v4, MIB).unwrap();
    assert!(sent() - before >= 2 * MIB, "htb saw {} bytes", sent() - before);
    everyone_talks(&segment, MIB).unwrap();
    contains(&bridge.text("doctor vm1"), &["htb 1: shapes what vm1 sends", "what XDP redirects"]);
    // It goes, and XDP is free to come.
    host.output("tc qdisc del dev vm1 root");
    assert!(wait_until(SOON, || bridge.port("vm1")["hook"] == "xdp"), "{}", bridge.port("vm1"));
    host.output(SHAPED);
    assert!(wait_until(SOON, || bridge.port("vm1")["hook"] == "tc"), "{}", bridge.port("vm1"));
    everyone_talks(&segment, MIB).unwrap();
    bridge.stop();
}

#[test]
fn a_rule_that_comes_later_is_told() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(2, GuestKind::TapVnetHdr).build();
    let mut bridge = Xbr::on(XBR, &mut segment, "");
    let monitor = bridge.monitor();
    let host = &segment.host().ns;
    let tells = |monitor: &Process, words: &[&str]| {
        let told = || monitor.stdout_text().lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(wait_until(SOON, told), "no event with {words:?}: {monitor}");
    };
    for (commands, words) in RULES {
        // Tables of the same name were made for the first.
        host.output("nft flush ruleset");
        run(host, commands);
        tells(&monitor, &["port-changed", words[0], "goes past it"]);
        ping(&segment.guest(1).ns, segment.outside().v4).expect("it is a port still");
    }
    let told = |monitor: &Process| monitor.stdout_text().matches("goes past it").count();
    let before = told(&monitor);
    host.output("nft add table bridge unrelated");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(told(&monitor), before, "each is said once");
    // A bridge that is found goes on, and says it.
    bridge.kill();
    bridge.restart("");
    assert!(bridge.process.stderr_text().contains(RULES[5].1[0]), "{}", bridge.process.stderr_text());
    everyone_talks(&segment, MIB).unwrap();
    bridge.stop();
}

/// libvirt makes the TAP, and its filters and queueing disciplines a moment later.
#[test]
fn a_rule_that_comes_with_the_tap_counts_as_if_it_had_come_before() {
    if !require_privileges() {
        return;
    }
    for (commands, words) in RULES {
        let mut segment = Segment::builder().guests(1, GuestKind::TapVnetHdr).build();
        let host = segment.host().ns.clone();
        let bridge = Xbr::run(XBR, &host, "--uplink eth0 --attach vm*");
        segment.plug(1);
        assert!(wait_until(SOON, || has(&bridge, "vm1")));
        run(&host, commands);
        assert!(wait_until(SOON, || !has(&bridge, "vm1")), "{commands:?}: {}", bridge.process.stderr_text());
        // The port is gone a moment before it is said why.
        let said = || bridge.process.stderr_text();
        wait_until(SOON, || said().contains("vm1 is not attached"));
        contains(&said(), &["vm1 is not attached", words[0]]);
        bridge.stop();
    }
}
