//! The verbs that read, on real pinned tables and without a controller.
#![allow(missing_docs)]

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, Output, Stdio},
    thread,
};

use bridge_common::{
    Config, FdbEntry, FdbFlags, FdbKey, Mac, Port, PortFlags, PortId,
    record::{BridgeRecord, HookChoice, Origin, PortRecord},
};
use bridge_user::{
    clock,
    datapath::{Options, PinDir, Programs, Station, Tables},
    link::{InterfaceName, Links, namespace},
};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};

const SECOND: u64 = 1_000_000_000;
const UPLINK: Mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]);

/// Pins that go with the test, also when it fails.
struct Pinned(PinDir);

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.0.remove();
    }
}

/// Runs `test` in a network namespace of its own, with the tables of a bridge of this name.
fn with_bridge(name: &'static str, test: impl FnOnce(&str) + Send + 'static) {
    if !nix::unistd::geteuid().is_root() || std::env::var_os("XBR_SKIP_PRIVILEGED").is_some() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must run the tests that need root");
        eprintln!("SKIPPED: needs root (or XBR_SKIP_PRIVILEGED is set)");
        return;
    }
    let inside = move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let pins = Pinned(PinDir::of(&name.parse().unwrap()).unwrap());
        let (_programs, mut tables, _) =
            Programs::load(&pins.0, &Options::new(1024, namespace::cookie().unwrap())).unwrap();
        fill(&mut tables);
        test(name);
    };
    if let Err(panic) = thread::spawn(inside).join() {
        std::panic::resume_unwind(panic);
    }
}

fn run(command: &[&str]) {
    assert!(Command::new(command[0]).args(&command[1..]).status().unwrap().success(), "{command:?}");
}

fn fill(tables: &mut Tables) {
    run(&["ip", "link", "add", "name", "eth0", "type", "veth", "peer", "name", "peer"]);
    run(&["ip", "tuntap", "add", "dev", "vm1", "mode", "tap"]);
    tables.set_bridge(BridgeRecord { namespace: namespace::cookie().unwrap() }).unwrap();
    tables
        .set_config(Config {
            ageing: 300 * SECOND,
            uplink: UPLINK.address(),
            ports_end: 3,
            ..Config::default()
        })
        .unwrap();
    let links = Links::open().unwrap();
    let index = |name: &str| links.get(&name.parse::<InterfaceName>().unwrap()).unwrap().unwrap().index;
    let up = PortFlags::UP;
    let mut set = |id, name: &str, ifindex, flags, origin| {
        if id != PortId::HOST {
            let record = PortRecord { hook: HookChoice::Auto as u16, origin, ..PortRecord::named(name) };
            tables.set_record(id, record).unwrap();
        }
        tables.set_port(id, Port { ifindex, mtu: 1500, flags }).unwrap();
        tables.clear_counters(id).unwrap();
    };
    set(PortId::HOST, "host", index("eth0"), up, Origin(0));
    set(PortId::UPLINK, "eth0", index("eth0"), up, Origin::CONFIGURED);
    set(PortId(2), "vm1", index("vm1"), PortFlags::UP.with(PortFlags::XDP, true), Origin::TAP);
    let now = clock::monotonic();
    let station = |last, vlan, flags, seconds: u64| Station {
        key: FdbKey { vlan, mac: Mac([0x52, 0x54, 0, 0x75, 0xdd, last]) },
        entry: FdbEntry::new(PortId(2), flags, now.saturating_sub(seconds * SECOND)),
    };
    let learned = FdbFlags::default();
    let stations = [
        station(0x1a, 0, learned, 3),
        station(0x1b, 10, FdbFlags::STATIC, 3),
        station(0x1c, 0, learned, 301),
    ];
    tables.set_stations(&stations).unwrap();
}

fn xbr(words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xbr")).args(words.split_whitespace()).output().unwrap()
}

fn good(words: &str) -> String {
    let output = xbr(words);
    assert!(output.status.success(), "xbr {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn parsed(words: &str) -> Value {
    serde_json::from_str(&good(words)).unwrap()
}

/// The exit code and what was said.
fn bad(words: &str) -> (i32, String) {
    let output = xbr(words);
    assert!(output.stdout.is_empty(), "xbr {words}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn reads_need_no_controller() {
    with_bridge("verbs-read", |name| {
        let shown = parsed("show -j");
        assert_eq!(shown[0]["ifname"], name);
        assert_eq!(shown[0]["id"], "8000.525400123456");
        assert_eq!(shown[0]["ports"], json!(["vm1"]));

        let ports = parsed("port show -j");
        let states: Vec<_> =
            ports.as_array().unwrap().iter().map(|port| (&port["ifname"], &port["state"])).collect();
        assert_eq!(states.len(), 3);
        assert!(states.iter().all(|(_, state)| **state == "forwarding"), "{states:?}");
        assert_eq!(ports[2]["hook"], "xdp");
        assert_eq!(ports[2]["carrier"], false);

        let fdb = parsed("fdb show -j");
        assert_eq!(fdb.as_array().unwrap().len(), 3, "{fdb}");
        assert_eq!(fdb[0]["state"], "permanent");
        assert_eq!(fdb[1]["mac"], "52:54:00:75:dd:1a");
        assert!(fdb[1].get("vlan").is_none() && fdb[1]["state"] == "" && fdb[1]["flags"] == json!([]));
        assert!((3..6).contains(&fdb[1]["used"].as_u64().unwrap()), "{fdb}");
        assert_eq!((&fdb[2]["vlan"], &fdb[2]["state"]), (&json!(10), &json!("static")));
        assert_eq!(parsed("fdb show -j dev vm1 vlan 10").as_array().unwrap().len(), 1);
        assert_eq!(parsed("fdb show -j --mac 52:54:00:75:dd:1a").as_array().unwrap().len(), 1);

        let stats = parsed("stats vm1 -j");
        assert_eq!(stats[0]["rx"], json!({"packets": 0, "bytes": 0}));
        assert_eq!(stats[0]["drops"]["too_big"], 0);
        assert_eq!(stats[0]["device_tx_dropped"], 0);
        assert!(parsed("stats host -j")[0].get("device_tx_dropped").is_none());
        let traced = parsed("trace -j --from eth0 52:54:00:75:dd:1e 52:54:00:75:dd:1a");
        assert_eq!((&traced["verdict"], &traced["ports"]), (&json!("forward"), &json!(["vm1"])));
        let report = parsed("doctor vm1 -j");
        assert_eq!(report["interfaces"][0]["ifname"], "vm1");
        for words in ["show", "port show", "fdb show", "stats", "top -n 1"] {
            assert!(good(&format!("{words} --bridge {name}")).contains("vm1"), "{words}");
        }
    });
}

#[test]
fn bad_input_is_refused_and_a_dead_controller_is_an_error() {
    with_bridge("verbs-bad", |name| {
        for words in [
            "--bridge nowhere port show",
            "fdb show --port vm9",
            "fdb add 52:54:00:75:dd:1a dev vm1 self",
            "fdb add 52:54:00:75:dd dev vm1",
            "stats vm9",
            "trace --from vm9 52:54:00:75:dd:1a 52:54:00:75:dd:1b",
            "doctor eht0",
            "run",
            "run --config /nowhere.toml",
            "check /nowhere.toml",
        ] {
            let (code, said) = bad(words);
            assert_eq!(code, 2, "xbr {words}: {said}");
            assert!(said.starts_with("error: ") && !said.contains("panicked"), "xbr {words}: {said}");
        }
        for words in ["monitor", "port add peer", "fdb flush", "tap del vm1"] {
            let (code, said) = bad(words);
            assert!(code == 1 && said.contains("no controller is running"), "xbr {words}: {code} {said}");
        }
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let (code, said) = bad("port show");
        assert!(code == 2 && said.contains("has no bridge of xbr"), "{said}");
        let (code, said) = bad(&format!("port show --bridge {name}"));
        assert!(code == 2 && said.contains("belongs to another network namespace"), "{said}");
    });
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    with_bridge("verbs-pipe", |_| {
        let mut xbr = Command::new(env!("CARGO_BIN_EXE_xbr"))
            .args(["stats", "-w", "1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(xbr.stdout.take());
        let output = xbr.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    });
}

#[test]
fn a_dead_controllers_bridge_can_be_taken_down() {
    with_bridge("verbs-down", |name| {
        good(&format!("down {name}"));
        assert!(!PinDir::of(&name.parse().unwrap()).unwrap().exists());
        assert_eq!(parsed("show -j"), json!([]));
        let (code, said) = bad(&format!("down {name}"));
        assert!(code == 2 && said.contains("there is no bridge"), "{said}");
    });
}

#[test]
fn who_is_not_root_hears_so() {
    with_bridge("verbs-user", |name| {
        for words in
            ["port show", "fdb show -j", "stats", "top", "monitor", "fdb flush", "down", "run --uplink eth0"]
        {
            let mut xbr = Command::new(env!("CARGO_BIN_EXE_xbr"));
            // Nobody.
            xbr.args(["--bridge", name]).args(words.split_whitespace()).uid(65_534).gid(65_534);
            let output = xbr.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "xbr {words}: {said}");
            assert!(said.starts_with("error: xbr needs root"), "xbr {words}: {said}");
        }
    });
}
