//! The cable between a guest's TAP and the switch's: what vhost and virtio-net do for a virtual machine.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::tap::{Tap, TapMode, VNET_HDR_LEN};

/// What crossed a relay in one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Crossed {
    /// Frames delivered to the far side.
    pub frames: u64,
    /// Their bytes, from the Ethernet header on.
    pub bytes: u64,
    /// Frames among them that still were to be segmented (a `gso_type`), and longer than 1518 bytes.
    pub gso: u64,
    /// Frames among them whose checksum was unfinished.
    pub unfinished: u64,
    /// Frames that the far side refused, since its device was down or gone.
    pub refused: u64,
}

/// One direction of a relay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the guest to the switch.
    FromGuest,
    /// From the switch to the guest.
    ToGuest,
}

#[derive(Default)]
struct Counters {
    frames: AtomicU64,
    bytes: AtomicU64,
    gso: AtomicU64,
    unfinished: AtomicU64,
    refused: AtomicU64,
}

/// Both directions' counters, which outlive any one relay.
#[derive(Clone, Default)]
pub(crate) struct Tally([Arc<Counters>; 2]);

impl Tally {
    pub(crate) fn of(&self, direction: Direction) -> Crossed {
        let of = &self.0[direction as usize];
        Crossed {
            frames: of.frames.load(Relaxed),
            bytes: of.bytes.load(Relaxed),
            gso: of.gso.load(Relaxed),
            unfinished: of.unfinished.load(Relaxed),
            refused: of.refused.load(Relaxed),
        }
    }
}

/// How a relay's threads learn that it is over: the event ends a wait, the flag a flow of frames that leaves no time to wait.
struct Stop {
    event: EventFd,
    flag: AtomicBool,
}

/// A running relay; it stops when dropped.
pub(crate) struct Relay {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Copies frames between the guest's device and the switch's, verbatim, header and all.
    pub(crate) fn start(guest: Arc<Tap>, switch: Tap, tally: &Tally) -> Relay {
        assert_eq!(guest.mode(), switch.mode(), "a relay carries headers verbatim");
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).expect("an eventfd");
        let stop = Arc::new(Stop { event, flag: AtomicBool::new(false) });
        let switch = Arc::new(switch);
        let one = |direction, from: &Arc<Tap>, to: &Arc<Tap>| {
            let (from, to, stop) = (from.clone(), to.clone(), stop.clone());
            let counters = tally.0[direction as usize].clone();
            std::thread::spawn(move || copy(&from, &to, &stop, &counters))
        };
        let threads =
            vec![one(Direction::FromGuest, &guest, &switch), one(Direction::ToGuest, &switch, &guest)];
        Relay { stop, threads }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Nobody reads the eventfd, so it stays readable and stops both threads.
        self.stop.flag.store(true, Relaxed);
        let _ = self.stop.event.write(1);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn copy(from: &Tap, to: &Tap, stop: &Stop, counters: &Counters) {
    // The longest GSO frame, its Ethernet header with two tags, and the virtio header.
    let mut buffer = vec![0; VNET_HDR_LEN + 22 + 65536];
    while !stop.flag.load(Relaxed) {
        match from.read(&mut buffer) {
            Ok(length) => deliver(&buffer[..length], to, counters),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                let mut fds = [
                    PollFd::new(stop.event.as_fd(), PollFlags::POLLIN),
                    PollFd::new(from.as_fd(), PollFlags::POLLIN),
                ];
                let _ = poll(&mut fds, PollTimeout::NONE);
                // An error here means that the device was deleted; nothing can ever come again.
                if fds[1].revents().is_some_and(|events| events.contains(PollFlags::POLLERR)) {
                    return;
                }
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            // EBADFD: the device was deleted under us.
            Err(_) => return,
        }
    }
}

fn deliver(frame: &[u8], to: &Tap, counters: &Counters) {
    // A device that is down says EIO. A wire does not care, and neither does the relay: the frame is lost and the next one may not be.
    if to.write(frame).is_err() {
        counters.refused.fetch_add(1, Relaxed);
        return;
    }
    let header = if to.mode() == TapMode::VnetHdr { VNET_HDR_LEN } else { 0 };
    counters.frames.fetch_add(1, Relaxed);
    counters.bytes.fetch_add(frame.len().saturating_sub(header) as u64, Relaxed);
    if header > 0 {
        let (needs_checksum, gso_type) = (frame[0] & 1 != 0, frame[1]);
        counters.unfinished.fetch_add(needs_checksum.into(), Relaxed);
        counters.gso.fetch_add((gso_type != 0 && frame.len() - header > 1518).into(), Relaxed);
    }
}
