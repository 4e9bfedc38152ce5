//! The lab and the machine: namespaces, processes, TAPs, names, and the snapshot that notices every change.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use xbr_lab::{
    Cleanup, Namespace, Ping, Process, Snapshot, Tap, TapMode, bpffs_dir, ethtool, is_running, ping,
    remove_stale_bridges, require_privileges, unique_name, veth, wait_until,
};

const MOMENT: Duration = Duration::from_millis(150);

#[test]
fn a_snapshot_sees_each_change_and_nothing_else() {
    if !require_privileges() {
        return;
    }
    let (ns, peer) = (Namespace::new("machine"), Namespace::new("peer"));
    // An address that becomes valid in the meantime is a change, and not what this is about.
    ns.sysctl("net/ipv6/conf/default/accept_dad", "0");
    veth(&peer, "eth0", &ns, "eth0");
    ns.ip("addr add 10.1.1.1/24 dev eth0");
    assert!(wait_until(Duration::from_secs(2), || is_running(&ns, "eth0")));
    // The link-local address comes a little after the carrier.
    assert!(wait_until(Duration::from_secs(2), || ns
        .output("ip -6 route show table all")
        .contains("local fe80")));
    let pins = bpffs_dir(&unique_name());
    let take = || Snapshot::with_paths(&ns, &[&pins]);
    let before = take();
    let _ = Ping::from(&ns).count(1).report(std::net::Ipv4Addr::new(10, 1, 1, 1)).unwrap();
    before.assert_same(&take());

    type Change<'a> = (&'a str, &'a dyn Fn(), &'a dyn Fn());
    let changes: [Change; 8] = [
        ("PROMISC", &|| ns.ip("link set eth0 promisc on"), &|| ns.ip("link set eth0 promisc off")),
        ("rx-vlan-offload", &|| ethtool(&ns, "eth0", "rxvlan off"), &|| ethtool(&ns, "eth0", "rxvlan on")),
        ("clsact", &|| drop(ns.output("tc qdisc add dev eth0 clsact")), &|| {
            drop(ns.output("tc qdisc del dev eth0 clsact"))
        }),
        (
            "egress",
            &|| {
                ns.output("tc qdisc add dev eth0 clsact");
                let filter =
                    ["filter", "add", "dev", "eth0", "egress", "prio", "7", "bpf", "bytecode", "1,6 0 0 0,"];
                assert!(ns.command("tc", filter).status().unwrap().success());
            },
            &|| drop(ns.output("tc qdisc del dev eth0 clsact")),
        ),
        ("conf/eth0/rp_filter", &|| ns.sysctl("net/ipv4/conf/eth0/rp_filter", "2"), &|| {
            ns.sysctl("net/ipv4/conf/eth0/rp_filter", "0")
        }),
        ("10.9.0.0/16", &|| ns.ip("route add 10.9.0.0/16 via 10.1.1.2"), &|| ns.ip("route del 10.9.0.0/16")),
        ("vm7", &|| ns.ip("tuntap add dev vm7 mode tap"), &|| ns.ip("link del vm7")),
        ("exists", &|| std::fs::create_dir_all(&pins).unwrap(), &|| std::fs::remove_dir(&pins).unwrap()),
    ];
    for (word, make, undo) in changes {
        make();
        let difference = before.difference(&take());
        undo();
        let difference = difference.unwrap_or_else(|| panic!("{word} goes unseen"));
        println!("{difference}");
        assert!(difference.contains(word), "{word} goes unseen in:\n{difference}");
        before.assert_same(&take());
    }
}

#[test]
fn a_process_is_heard_signalled_and_gone() {
    if !require_privileges() {
        return;
    }
    let ns = Namespace::new("process");
    let script =
        "echo one; echo oops >&2; trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done";
    let process = Process::spawn(ns.command("sh", ["-c", script]));
    process.wait_line("ready", Duration::from_secs(5));
    assert!(process.is_running());
    assert!(ns.output(&format!("ip netns identify {}", process.pid())).trim().is_empty(), "it has no name");
    assert_eq!(process.terminate(Duration::from_secs(5)).code(), Some(3));
    assert_eq!((process.stdout_text().as_str(), process.stderr_text().as_str()), ("one\nready\nbye", "oops"));
    assert!(!process.signal(Signal::SIGTERM), "no signal to a number that may be another's");

    // Started by a thread that ends at once, it lives on; dropped, it is gone.
    let process = ns.run(|| Process::spawn(ns.command("sleep", ["60"])));
    std::thread::sleep(MOMENT);
    assert!(process.is_running());
    let pid = process.pid();
    drop(process);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());

    let process = Process::spawn(ns.command("sleep", ["60"]));
    process.kill9();
    assert!(!process.is_running());
}

#[test]
fn a_command_and_a_thread_are_in_the_namespace_and_the_caller_is_not() {
    if !require_privileges() {
        return;
    }
    let ns = Namespace::new("inside");
    let here = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let (before, inside) = (here(), ns.run(here));
    assert_ne!(before, inside);
    assert_eq!(before, here());
    assert_eq!(ns.output("readlink /proc/self/ns/net").trim(), inside.to_str().unwrap());
    assert_eq!(ns.spawn(here).join().unwrap(), inside);
    assert!(ns.output("ip -br link").starts_with("lo "));
    ping(&ns, std::net::Ipv4Addr::LOCALHOST).unwrap();
    assert!(ns.output("ls /sys/fs/bpf").len() > 1, "bpffs stays visible");
    let open = ns.output("ls -l /proc/self/fd");
    assert!(!open.contains("net:["), "no namespace leaks into a child:\n{open}");
}

#[test]
fn a_dead_test_s_pins_are_cleared_and_a_live_one_s_are_not() {
    if !require_privileges() {
        return;
    }
    let mut child = Command::new("true").spawn().unwrap();
    let dead = format!("t{}x1", child.id());
    child.wait().unwrap();
    let live = unique_name();
    let cleanup = Cleanup::after(&live);
    for name in [&dead, &live] {
        std::fs::create_dir_all(bpffs_dir(name).join("deeper")).unwrap();
    }
    assert!(remove_stale_bridges().contains(&dead));
    assert!(!bpffs_dir(&dead).exists());
    assert!(bpffs_dir(&live).exists());
    drop(cleanup);
    assert!(!bpffs_dir(&live).exists());
}

#[test]
fn a_tap_is_opened_whatever_its_queues() {
    if !require_privileges() {
        return;
    }
    let ns = Namespace::new("taps");
    ns.ip("tuntap add dev many mode tap multi_queue vnet_hdr");
    ns.ip("tuntap add dev one mode tap");
    for mode in [TapMode::Plain, TapMode::VnetHdr] {
        for dev in ["many", "one", "new"] {
            let _tap = Tap::open(&ns, dev, mode).unwrap();
            let features = ns.output(&format!("ethtool -k {dev}"));
            let tso = features.contains("tcp-segmentation-offload: on");
            assert_eq!(tso, mode == TapMode::VnetHdr, "{dev} {mode:?}\n{features}");
        }
    }
}
