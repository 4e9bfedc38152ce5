//! What is measured, and against what.

use std::os::fd::OwnedFd;

use crate::{
    LinuxBridge, Segment, Xbr,
    bench::{ovs::Ovs, programs::bare_xdp},
    bpf::{Attached, Hook, redirect},
    device, ethtool,
};

/// A switch, or the part of one, between guest 1 and guest 2.
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
    /// A program of the lab's.
    Bare(Attached, Option<OwnedFd>),
}

impl Running {
    /// Ends it, and leaves the hooks free for the next one.
    #[track_caller]
    pub fn stop(self) {
        if let Running::Xbr(bridge) = self {
            bridge.stop();
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

    /// Connects the two guests. A frame from the lab comes in at the ports as one from a driver, for which they need NAPI: GRO.
    #[track_caller]
    pub fn start(&self, program: &str, segment: &Segment) -> Running {
        let host = &segment.host().ns;
        let ports: Vec<&str> = segment.ports().collect();
        let running = match self {
            Subject::LinuxBridge => Running::Bridge(LinuxBridge::start(segment)),
            Subject::Ovs => Running::Ovs(Ovs::start(segment)),
            Subject::Xbr { words, settings, .. } => {
                let bridge = Xbr::start(program, segment, words);
                bridge.wait_forwarding();
                for words in settings.lines() {
                    bridge.text(words);
                }
                Running::Xbr(Box::new(bridge))
            }
            Subject::Other(words) => {
                let program = std::env::var("XBR_BENCH_OTHER").expect("XBR_BENCH_OTHER");
                let bridge = Xbr::start(&program, segment, words);
                bridge.wait_forwarding();
                Running::Xbr(Box::new(bridge))
            }
            Subject::BareXdp | Subject::BareTcx => host.run(|| {
                let to = device::index(ports[1]).expect("the second port");
                let (program, map) = if *self == Subject::BareXdp {
                    let (program, map) = bare_xdp(to).expect("the ceiling of XDP");
                    (program, Some(map))
                } else {
                    (redirect(Hook::TcxIngress, to).expect("the ceiling of TC"), None)
                };
                Running::Bare(program.attach(ports[0]).expect("a free hook"), map)
            }),
        };
        for port in ports {
            ethtool(host, port, "gro on");
        }
        running
    }
}
