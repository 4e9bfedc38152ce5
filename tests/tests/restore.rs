//! Whatever way a bridge ends, the machine is as it was found.

use nix::sys::signal::Signal;
use xbr_lab::{
    Cleanup, GuestKind, Namespace, Process, Segment, Snapshot, Xbr, bpffs_dir, has_tcx, require_privileges,
    socket_path, unique_name,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");

/// A machine whose devices differ in all that a bridge could get wrong when it leaves.
struct Machine {
    segment: Segment,
    words: &'static str,
}

impl Machine {
    /// `vm1` is up and `vm2` down, `vm3` a TAP that exists, `new1` one that does not; IPv6 is off on `vm2`.
    #[track_caller]
    fn new(words: &'static str) -> Machine {
        let segment = Segment::builder().guests(2, GuestKind::Veth).guests(1, GuestKind::TapVnetHdr).build();
        segment.make_taps();
        let host = &segment.host().ns;
        // A device gets its queueing discipline when it is first up, and keeps it.
        host.ip_batch(&["link set vm3 up", "link set vm3 down"]);
        host.sysctl("net/ipv6/conf/vm1/disable_ipv6", "0");
        host.ip("link set vm2 down");
        host.sysctl("net/ipv6/conf/vm2/disable_ipv6", "1");
        Machine { segment, words }
    }

    fn host(&self) -> &Namespace {
        &self.segment.host().ns
    }

    #[track_caller]
    fn run(&self) -> Xbr {
        Xbr::run(XBR, self.host(), self.words)
    }

    /// The machine now, and what is left of this bridge.
    #[track_caller]
    fn snapshot(&self, bridge: &str) -> Snapshot {
        let socket = socket_path(bridge);
        let paths = [bpffs_dir(bridge), socket.with_extension("lock"), socket];
        let paths: Vec<_> = paths.iter().map(|path| path.as_path()).collect();
        Snapshot::with_paths(self.host(), &paths)
    }
}

const TC: &str = "--uplink eth0 --port vm1 --port vm2 --tap vm3 --tap new1 --hook tc";
const XDP: &str = "--uplink eth0 --port vm1 --port vm2 --tap vm3 --tap new1 --hook xdp";

#[test]
fn a_signal_ends_it_and_nothing_is_left() {
    if !require_privileges() {
        return;
    }
    for (words, signal, promiscuous) in [
        (TC, Signal::SIGTERM, "on"),
        (TC, Signal::SIGINT, "off"),
        (XDP, Signal::SIGTERM, "off"),
        (XDP, Signal::SIGINT, "on"),
    ] {
        let machine = Machine::new(words);
        machine.host().ip(&format!("link set eth0 promisc {promiscuous}"));
        let before = machine.snapshot("nobody");
        let bridge = machine.run();
        bridge.text("tap add new2");
        let during = machine.snapshot("nobody");
        let difference = before.difference(&during).expect("a running bridge is to be seen");
        let places =
            ["vm1 ingress", "eth0 ingress", "eth0 egress"].map(|place| match place.split_once(' ') {
                Some((dev, hook)) if has_tcx() => format!("tcx {hook} of {dev}"),
                _ => format!("+ filter show dev {place}"),
            });
        for trace in ["new1", "new2"].into_iter().chain(places.iter().map(String::as_str)) {
            assert!(difference.contains(trace), "{words}: no trace of {trace}:\n{difference}");
        }
        assert_eq!(difference.contains("+ addr eth0.xdp"), words == XDP, "{difference}");
        assert_eq!(difference.contains("PROMISC"), promiscuous == "off", "{difference}");
        assert!(bridge.end(signal).success(), "{}", bridge.process);
        before.assert_same(&machine.snapshot(&bridge.name));
    }
}

#[test]
fn a_start_that_fails_leaves_nothing() {
    if !require_privileges() {
        return;
    }
    // All steps that tc has, and XDP's.
    for words in [XDP] {
        let machine = Machine::new(words);
        let before = machine.snapshot("nobody");
        for step in 0.. {
            let name = unique_name();
            let _cleanup = Cleanup::after(&name);
            let all = format!("run --bridge {name} --log warn --lab-fail-step {step} {words}");
            let process = Process::spawn(machine.host().command(XBR, all.split(' ')));
            let ended = xbr_lab::wait_until(std::time::Duration::from_secs(20), || {
                !process.is_running() || process.stdout_text().contains("ready")
            });
            assert!(ended, "step {step}: neither ready nor gone");
            if process.is_running() {
                assert!(step > 20, "only {step} steps can fail");
                process.terminate(std::time::Duration::from_secs(10));
                before.assert_same(&machine.snapshot(&name));
                eprintln!("{step} steps: {words}");
                break;
            }
            let status = process.wait(std::time::Duration::ZERO);
            let said = process.stderr_text();
            assert_eq!(status.code(), Some(1), "step {step}: {process}");
            assert_eq!(said.lines().count(), 1, "step {step}: not one sentence: {said}");
            assert!(said.starts_with("error: ") && said.contains("the lab made this step fail"), "{said}");
            if let Some(difference) = before.difference(&machine.snapshot(&name)) {
                panic!("{said}\nthe machine is not as it was:\n{difference}");
            }
        }
    }
}

#[test]
fn down_cleans_up_after_a_crash_and_with_the_controller_alive() {
    if !require_privileges() {
        return;
    }
    for (words, crash) in [(TC, true), (XDP, true), (XDP, false)] {
        let machine = Machine::new(words);
        let before = machine.snapshot("nobody");
        let bridge = machine.run();
        bridge.text("tap add new2");
        if crash {
            bridge.kill();
        }
        bridge.text("down");
        if !crash {
            let status = bridge.process.wait(std::time::Duration::from_secs(10));
            assert!(status.success(), "{}", bridge.process);
        }
        before.assert_same(&machine.snapshot(&bridge.name));
    }
}

#[test]
fn down_cleans_up_after_a_start_that_died() {
    if !require_privileges() {
        return;
    }
    let machine = Machine::new(XDP);
    let before = machine.snapshot("nobody");
    let mut bridge = machine.run();
    let start = std::time::Instant::now();
    assert!(bridge.end(Signal::SIGTERM).success());
    bridge.launch("");
    bridge.wait_ready();
    let whole = start.elapsed();
    assert!(bridge.end(Signal::SIGTERM).success());
    before.assert_same(&machine.snapshot(&bridge.name));
    const DEATHS: u32 = 12;
    for death in 0..DEATHS {
        bridge.launch("");
        // The first half of a start is the verifier's; what can be left behind comes after it.
        std::thread::sleep(whole / 2 + whole / 2 * death / DEATHS);
        bridge.kill();
        let left = bpffs_dir(&bridge.name).exists();
        if death % 2 == 0 && left {
            // The next one takes over what is half done, completes it and knows what to undo.
            bridge.launch("");
            bridge.wait_ready();
            for port in ["vm1", "vm2", "vm3", "new1"] {
                assert!(machine.host().output(&format!("ip link show {port}")).contains(",UP"), "{port}");
            }
            assert!(bridge.end(Signal::SIGTERM).success());
        } else if left {
            bridge.text("down");
        } else {
            let _ = std::fs::remove_file(socket_path(&bridge.name).with_extension("lock"));
        }
        if let Some(difference) = before.difference(&machine.snapshot(&bridge.name)) {
            panic!("death {death} of {DEATHS}: the machine is not as it was:\n{difference}");
        }
    }
}
