//! Frames at the rate of the kernel's own generator.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::Namespace;
use crate::foreign;

const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;

/// The part of `union bpf_attr` that a test run reads and writes.
#[repr(C)]
#[derive(Default)]
struct Run {
    program: u32,
    outcome: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context: [u64; 3],
    flags: u32,
    cpu: u32,
    batch: u32,
    rest: u32,
}

/// Sends copies of one frame out of a device, as fast as one CPU can (`BPF_F_TEST_XDP_LIVE_FRAMES`). What the device does with them is
/// done when [`LiveFrames::send`] returns, but for what another CPU has taken over.
pub struct LiveFrames {
    ns: Namespace,
    program: OwnedFd,
}

impl LiveFrames {
    /// Out of `dev` of the namespace.
    #[track_caller]
    pub fn out_of(ns: &Namespace, dev: &str) -> LiveFrames {
        let load = || {
            let index = crate::device::index(dev)?;
            // r1 = index; r2 = 0; call bpf_redirect; exit
            foreign::load(&[u64::from(index) << 32 | 0x01b7, 0x02b7, 23 << 32 | 0x85, 0x95])
        };
        let program = ns.run(load).unwrap_or_else(|e| panic!("{}: frames out of {dev}: {e}", ns.name()));
        LiveFrames { ns: ns.clone(), program }
    }

    /// Sends it so many times. After each `batch` (0 for 64) the kernel does what the frames have given it to do, as far as it can at a time:
    /// 300 packets ten times (`netdev_budget`, `MAX_SOFTIRQ_RESTART`). More than that and frames are lost on the way in.
    #[track_caller]
    pub fn send(&self, frame: &[u8], count: u32, batch: u32) {
        let mut run = Run {
            program: self.program.as_raw_fd() as u32,
            size_in: frame.len() as u32,
            data_in: frame.as_ptr() as u64,
            repeat: count,
            batch,
            flags: BPF_F_TEST_XDP_LIVE_FRAMES,
            ..Run::default()
        };
        let done = self.ns.run(|| {
            // SAFETY: the attribute is of the size given, and the frame that it points to is alive.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_bpf,
                    BPF_PROG_TEST_RUN,
                    &raw mut run,
                    size_of::<Run>() as libc::c_uint,
                )
            };
            if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        });
        done.unwrap_or_else(|e| panic!("{}: live frames: {e}", self.ns.name()));
    }
}
