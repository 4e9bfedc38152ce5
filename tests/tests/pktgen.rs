//! `cargo xtask bench pktgen`, where there is a pktgen: inside a guest, between veths for cards and cables.

use std::time::Duration;

use serde_json::Value;
use xbr_lab::{
    Namespace,
    vm::{Kernel, Vm, require_full, require_guests},
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const BENCH: &str = env!("CARGO_BIN_EXE_xbr-bench");

/// The longest measurement here, on an emulated machine with others beside it.
const LIMIT: Duration = Duration::from_secs(600);

/// `gen` is cabled to `pa`, and `pb` to `sink`, which is in a namespace of its own. The former two are up, and the latter two have been.
const CABLES: &str = "modprobe -a veth bridge sch_tbf sch_ingress cls_bpf; mkdir -p /run/netns; /sbin/ip netns add far; \
    /sbin/ip link add gen type veth peer name pa; /sbin/ip link add pb type veth peer name sink netns far; \
    for d in gen pa pb; do /sbin/ip link set $d up; done; /sbin/ip -n far link set sink up; sleep 3; \
    /sbin/ip link set pb down; /sbin/ip -n far link set sink down";

/// What the switch can forward: 5 Mbit/s are 413 frames of 1514 bytes. Its queue holds 132, since an emulated generator stops now and then
/// and makes up for it.
const BOTTLENECK: &str = "/sbin/tc qdisc add dev pb root tbf rate 5mbit burst 10kb limit 200kb";

/// On an emulated machine xbr takes long to start.
const RUN: &str = "XBR_LAB_SLOWNESS=10 xbr-bench --xbr /bin/xbr --to /tmp/out pktgen";

const WORDS: &str = "--dev gen --sink sink --sink-netns far --switch both --ports pa,pb --rounds 1";

/// Everything that a measurement changes.
const STATE: &str = "/sbin/ip -d -o link; /sbin/ip -n far -d -o link; /sbin/ip addr; /sbin/ip -n far addr; ls /sys/fs/bpf; \
    cat /proc/sys/net/ipv6/conf/*/disable_ipv6; ! [ -e /proc/net/pktgen ] || grep -v Result /proc/net/pktgen/kpktgend_*";

/// Addresses that devices give themselves are back after the search for duplicates.
fn settled(vm: &Vm) -> String {
    vm.sh(&format!("sleep 4; {STATE}")).unwrap()
}

fn machine() -> Vm {
    let builder = Vm::builder("machine").memory(768).cpus(2).program(XBR, "/bin/xbr");
    let vm = builder.program(BENCH, "/bin/xbr-bench").start(&Namespace::new("machine"));
    vm.sh(CABLES).unwrap();
    vm
}

/// The exit code, and what was printed.
fn bench(vm: &Vm, words: &str) -> (i32, String) {
    let answer = vm.run(LIMIT, &format!("{RUN} {words} 2>&1"));
    let answer = answer.unwrap();
    println!("{words}: {}\n{}", answer.status, answer.output);
    (answer.status, answer.output)
}

#[test]
fn measures_a_linux_bridge_and_xbr() {
    if !require_full() || !require_guests(Kernel::Newest) {
        return;
    }
    let vm = machine();
    refuses(&vm);
    vm.sh("modprobe pktgen; cat /proc/net/pktgen/kpktgend_0").unwrap();
    vm.sh(BOTTLENECK).unwrap();
    let before = settled(&vm);
    finds_the_bottleneck(&vm);
    assert_eq!(settled(&vm), before);
    gives_back_when_interrupted(&vm);
    assert_eq!(settled(&vm), before);
    vm.sh("/sbin/tc qdisc del dev pb root").unwrap();
    compares_many_stations(&vm);
    let complaints = vm.sh("dmesg | grep -E 'WARNING:|BUG:|Oops|Call Trace' || true").unwrap();
    assert_eq!(complaints, "");
}

/// One sentence, a hint, and nothing changed.
fn refuses(vm: &Vm) {
    let before = vm.sh(STATE).unwrap();
    let refused = |words: &str, sentence: &str, hint: &str| {
        let (code, said) = bench(vm, words);
        let lines: Vec<&str> = said.lines().collect();
        let [error, what] = lines[..] else { panic!("{said}") };
        assert!(code == 2 && error.contains(sentence) && what.starts_with("hint: "), "{code}: {said}");
        assert!(what.contains(hint), "{said}");
    };
    refused(WORDS, "no pktgen", "modprobe pktgen");
    refused(&format!("{WORDS} --size 12"), "12 bytes is no frame", "RFC 2544");
    vm.sh("modprobe pktgen").unwrap();
    refused(&WORDS.replace("gen", "none"), "there is no device none", "ip link");
    refused(&WORDS.replace("far", "near"), "no network namespace near", "ip netns");
    refused(&format!("{WORDS} --cpus 7"), "no thread for CPU 7", "");
    refused(&format!("{WORDS} --size 9000"), "do not fit the MTU 1500 of gen", "mtu 8982");
    vm.sh("/sbin/ip addr add 192.0.2.1/24 dev gen").unwrap();
    refused(WORDS, "gen has the address 192.0.2.1/24", "--force");
    vm.sh("/sbin/ip route add default via 192.0.2.9").unwrap();
    refused(WORDS, "gen carries the default route", "--force");
    vm.sh("/sbin/ip addr del 192.0.2.1/24 dev gen").unwrap();
    vm.sh("echo add_device gen >/proc/net/pktgen/kpktgend_1").unwrap();
    refused(WORDS, "thread kpktgend_1 has gen", "reset");
    vm.sh("echo rem_device_all >/proc/net/pktgen/kpktgend_1; modprobe -r pktgen").unwrap();
    assert_eq!(vm.sh(STATE).unwrap(), before);
}

fn finds_the_bottleneck(vm: &Vm) {
    let (code, said) = bench(vm, &format!("{WORDS} --size 1518 --seconds 2 --resolution 0.1 --curve 3"));
    assert_eq!(code, 0, "{said}");
    let results: Value = serde_json::from_str(&vm.sh("cat /tmp/out/results.json").unwrap()).unwrap();
    let searches = results["searches"].as_array().unwrap();
    assert_eq!(searches.len(), 2, "{results}");
    for (search, switch) in searches.iter().zip(["bridge", "xbr"]) {
        assert_eq!(search["switch"], switch);
        let rate = search["rate"].as_f64().unwrap();
        // In two seconds 413 each, and what the queue holds; less where others have slowed the generator down.
        assert!((250.0..=500.0).contains(&rate), "{search}");
        assert_eq!(search["generator_limits"], false, "{search}");
        let first = &search["trials"][0];
        let (sent, received) = (first["sent"].as_u64().unwrap(), first["received"].as_u64().unwrap());
        assert!(sent > 2 * received && received > 600, "{first}");
        assert!(search["cpu"].as_f64().is_some_and(|nanoseconds| nanoseconds > 0.0), "{search}");
    }
    let curves = results["curves"].as_array().unwrap();
    assert!(curves.len() == 2 && curves.iter().all(|curve| curve["points"].as_array().unwrap().len() == 3));
    for name in ["report.md", "to-bridge.svg", "loss-1518.svg"] {
        vm.sh(&format!("test -s /tmp/out/{name}")).unwrap();
    }
}

fn gives_back_when_interrupted(vm: &Vm) {
    let start = format!(
        "{RUN} {WORDS} --seconds 60 >/tmp/said 2>&1 & p=$!; sleep 10; \
         kill -INT $p; wait $p; echo $?; cat /tmp/said"
    );
    let said = vm.sh_within(LIMIT, &start).unwrap();
    assert!(said.starts_with("1\n") && said.contains("interrupted; everything is as it was"), "{said}");
}

/// As fast as an emulated machine goes, with stations that are learned and not flooded to.
fn compares_many_stations(vm: &Vm) {
    let words =
        "--size 64 --seconds 1 --resolution 0.3 --curve 0 --src-macs 100 --dst-macs 300 --accept-loss 0.01";
    let (code, said) = bench(vm, &format!("{WORDS} {words}"));
    assert_eq!(code, 0, "{said}");
    let report = vm.sh("cat /tmp/out/report.md").unwrap();
    assert!(report.contains("| 64 bytes | xbr |") && report.contains("| 64 bytes, CPU | xbr |"), "{report}");
}
