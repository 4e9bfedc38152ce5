//! What is measured, and against what.

use std::os::fd::OwnedFd;

use crate::{
    LinuxBridge, Namespace, Node, Segment, Xbr,
    bench::{ovs::Ovs, programs::bare_xdp, wire::statistics},
    bpf::{Attached, Hook, redirect},
    device, ethtool,
};

/// Of the segments here.
const MTU: u32 = 1500;
/// The kernel's and the controller's own frames, a few a second, which not all count.
const SPARE: u64 = 64;

/// A switch, or the part of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// The kernel's, without netfilter.
    LinuxBridge,
    /// Open vSwitch, where it is installed and the kernel has its datapath.
    Ovs,
    /// As users run it, with these words more.
    Xbr {
        /// The name in the report.
        name: &'static str,
        /// For `xbr run`.
        words: &'static str,
        /// Then, for the verbs, one a line.
        settings: &'static str,
    },
    /// Another build of it, named by `XBR_BENCH_OTHER`: for the cost of a change.
    Other(&'static str),
    /// XDP that redirects without a look.
    BareXdp,
    /// TC that does.
    BareTcx,
}

/// While this lives the subject forwards.
#[allow(dead_code, reason = "held until it is dropped")]
pub enum Running {
    /// The kernel's.
    Bridge(LinuxBridge),
    /// Open vSwitch.
    Ovs(Ovs),
    /// xbr.
    Xbr(Box<Xbr>),
    /// Programs of the lab's, one for each two ports.
    Bare(Vec<(Attached, Option<OwnedFd>)>),
}

impl Running {
    /// Ends it, and leaves the hooks free for the next one.
    #[track_caller]
    pub fn stop(self) {
        if let Running::Xbr(bridge) = self {
            bridge.stop();
        }
    }

    /// xbr, if it is that.
    pub fn xbr(&self) -> Option<&Xbr> {
        match self {
            Running::Xbr(bridge) => Some(bridge),
            _ => None,
        }
    }

    /// Frames that it says it has sent out of a port; a bare redirect does not say.
    #[track_caller]
    pub fn sent(&self, host: &Namespace, port: &str) -> Option<u64> {
        match self {
            Running::Xbr(bridge) => Some(bridge.counters(port).tx.packets),
            Running::Bridge(_) => Some(statistics(host, port).tx_packets),
            // Its own counters are not a device's.
            Running::Bare(_) | Running::Ovs(_) => None,
        }
    }

    /// Bytes that it says have come in from a port or from the `host`, and that it has sent there. A chain of segments may count once.
    #[track_caller]
    pub fn bytes(&self, host: &Namespace, port: &str) -> [u64; 2] {
        match self {
            Running::Xbr(bridge) => {
                let counters = bridge.counters(port);
                [counters.rx.bytes, counters.tx.bytes]
            }
            // What the host's device receives the bridge has sent.
            Running::Bridge(_) if port == "host" => {
                let counted = statistics(host, "br0");
                [counted.tx_bytes, counted.rx_bytes]
            }
            Running::Bridge(_) => {
                let counted = statistics(host, port);
                [counted.rx_bytes, counted.tx_bytes]
            }
            Running::Bare(_) | Running::Ovs(_) => panic!("does not say what it has carried"),
        }
    }
}

/// Frames that a switch says it has sent out of a port, and frames that came in behind it, both from a moment on.
pub struct Ledger {
    sent: Option<u64>,
    came: u64,
}

impl Ledger {
    /// From now on. `came` is what has come in behind the port.
    #[track_caller]
    pub fn open(running: &Running, host: &Namespace, port: &str, came: u64) -> Self {
        Self { sent: running.sent(host, port), came }
    }

    /// A figure counts what was forwarded, so no frame may have come that the switch does not know of. (It may have sent more, which
    /// then were lost on the way: a ring ran over.)
    #[track_caller]
    pub fn close(self, running: &Running, host: &Namespace, port: &str, came: u64) {
        let (Some(before), Some(now)) = (self.sent, running.sent(host, port)) else { return };
        let (sent, came) = (now - before, came - self.came);
        assert!(came <= sent + SPARE, "{came} frames came out of {port}, into which {sent} were sent");
        if came < sent * 98 / 100 {
            eprintln!("of {sent} frames sent out of {port} only {came} arrived");
        }
    }
}

impl Subject {
    /// xbr with nothing set.
    pub const fn xbr(words: &'static str) -> Self {
        Subject::Xbr { name: "xbr", words, settings: "" }
    }

    /// In the report.
    pub fn name(&self) -> &'static str {
        match self {
            Subject::LinuxBridge => "bridge",
            Subject::Ovs => "ovs",
            Subject::Xbr { name, .. } => name,
            Subject::Other(_) => "other",
            Subject::BareXdp | Subject::BareTcx => "ceiling",
        }
    }

    /// Connects the ports of a segment.
    #[track_caller]
    pub fn start(&self, program: &str, segment: &Segment) -> Running {
        let ports: Vec<&str> = segment.ports().collect();
        self.start_on(program, segment.host(), &ports)
    }

    /// Connects these devices of the host's namespace, which are there, with each other and with `eth0`. A bare redirect takes what comes
    /// in at each first one of two to the second. A frame from the lab comes in at a port as one from a driver, for which it needs NAPI: GRO.
    #[track_caller]
    pub fn start_on(&self, program: &str, host: &Node, ports: &[&str]) -> Running {
        let ns = &host.ns;
        let running = match self {
            Subject::LinuxBridge => Running::Bridge(LinuxBridge::over(host, MTU, ports)),
            Subject::Ovs => Running::Ovs(Ovs::start(host, ports)),
            Subject::Xbr { words, settings, .. } => xbr(program, ns, ports, words, settings),
            Subject::Other(words) => {
                let program = std::env::var("XBR_BENCH_OTHER").expect("XBR_BENCH_OTHER");
                xbr(&program, ns, ports, words, "")
            }
            Subject::BareXdp | Subject::BareTcx => {
                // xbr leaves a TAP down when it goes.
                ns.ip_batch(&ports.iter().map(|port| format!("link set {port} up")).collect::<Vec<_>>());
                ns.run(|| Running::Bare(ports.chunks(2).map(|pair| self.bare(pair)).collect()))
            }
        };
        for port in ports {
            ethtool(ns, port, "gro on");
        }
        running
    }

    #[track_caller]
    fn bare(&self, pair: &[&str]) -> (Attached, Option<OwnedFd>) {
        let to = device::index(pair[1]).expect("the second port");
        let (program, map) = if *self == Subject::BareXdp {
            let (program, map) = bare_xdp(to).expect("the ceiling of XDP");
            (program, Some(map))
        } else {
            (redirect(Hook::TcxIngress, to).expect("the ceiling of TC"), None)
        };
        (program.attach(pair[0]).expect("a free hook"), map)
    }
}

#[track_caller]
fn xbr(program: &str, ns: &Namespace, ports: &[&str], words: &str, settings: &str) -> Running {
    let named: Vec<_> = ports.iter().map(|port| format!("--port {port}")).collect();
    let bridge = Xbr::run(program, ns, &format!("--uplink eth0 {} {words}", named.join(" ")));
    bridge.wait_forwarding();
    for words in settings.lines() {
        bridge.text(words);
    }
    Running::Xbr(Box::new(bridge))
}
