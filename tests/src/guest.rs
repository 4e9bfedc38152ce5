//! Guests behind TAPs.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::relay::{Crossed, Direction, Relay, Tally};
use crate::tap::{Tap, TapMode};
use crate::{Namespace, Offloads};

/// A virtual machine without the machine: a namespace whose network device is a TAP itself, and a relay that carries
/// frames between that and the switch's TAP.
///
/// With [`TapMode::VnetHdr`] the virtio header travels along untouched, so the guest kernel's unfinished checksums and 64 KiB
/// segments reach the switch exactly as from virtio-net, and the other way round.
pub struct TapGuest {
    inside: Arc<Tap>,
    offloads: Offloads,
    tally: Tally,
    relay: Option<Relay>,
}

impl TapGuest {
    /// Gives the namespace its device `dev`. The guest is not yet plugged in.
    #[track_caller]
    pub fn new(ns: &Namespace, dev: &str, mode: TapMode, offloads: Offloads) -> TapGuest {
        let inside = Tap::open(ns, dev, mode).unwrap_or_else(|e| panic!("{}: TAP {dev}: {e}", ns.name()));
        if offloads == Offloads::Off {
            inside.set_offloads(false).expect("TUNSETOFFLOAD");
        }
        TapGuest { inside: Arc::new(inside), offloads, tally: Tally::default(), relay: None }
    }

    /// The guest starts: its relay opens the TAP `dev` of the switch's namespace, which gives that a carrier.
    #[track_caller]
    pub fn plug(&mut self, ns: &Namespace, dev: &str) {
        self.unplug();
        let mut opened = Tap::open(ns, dev, self.inside.mode());
        // A process that another test is just starting has the former user's descriptor until its exec.
        crate::wait_until(Duration::from_secs(1), || {
            let busy = opened.as_ref().is_err_and(|e| e.raw_os_error() == Some(libc::EBUSY));
            if busy {
                opened = Tap::open(ns, dev, self.inside.mode());
            }
            !busy
        });
        self.start(opened.unwrap_or_else(|e| panic!("{}: TAP {dev}: {e}", ns.name())));
    }

    /// The guest starts with a TAP that somebody else has opened for it.
    #[track_caller]
    pub fn plug_opened(&mut self, tap: OwnedFd) {
        self.unplug();
        self.start(Tap::from_fd(tap, self.inside.mode()).expect("a TAP"));
    }

    fn start(&mut self, outside: Tap) {
        if self.offloads == Offloads::Off {
            outside.set_offloads(false).expect("TUNSETOFFLOAD");
        }
        self.relay = Some(Relay::start(self.inside.clone(), outside, &self.tally));
    }

    /// The guest ends: the switch's TAP is closed and loses its carrier.
    pub fn unplug(&mut self) {
        self.relay = None;
    }

    /// What crossed the relay so far.
    pub fn crossed(&self, direction: Direction) -> Crossed {
        self.tally.of(direction)
    }
}
