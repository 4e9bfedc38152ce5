//! Frames at the rate of the kernel's own generator.

use crate::{
    Namespace,
    bpf::{Hook, Program, redirect},
};

/// Sends copies of one frame out of a device, as fast as one CPU can (`BPF_F_TEST_XDP_LIVE_FRAMES`). What the device does with them is
/// done when [`LiveFrames::send`] returns, but for what another CPU has taken over.
pub struct LiveFrames {
    ns: Namespace,
    program: Program,
    ifindex: u32,
}

impl LiveFrames {
    /// Out of `dev` of the namespace.
    #[track_caller]
    pub fn out_of(ns: &Namespace, dev: &str) -> LiveFrames {
        let load = || {
            let ifindex = crate::device::index(dev)?;
            Ok::<_, std::io::Error>((redirect(Hook::Xdp, ifindex)?, ifindex))
        };
        let (program, ifindex) =
            ns.run(load).unwrap_or_else(|e| panic!("{}: frames out of {dev}: {e}", ns.name()));
        LiveFrames { ns: ns.clone(), program, ifindex }
    }

    /// Sends it so many times. After each `batch` (0 for 64) the kernel does what the frames have given it to do, as far as it can at a time:
    /// 300 packets ten times (`netdev_budget`, `MAX_SOFTIRQ_RESTART`). More than that and frames are lost on the way in.
    #[track_caller]
    pub fn send(&self, frame: &[u8], count: u32, batch: u32) {
        let done = self.ns.run(|| self.program.run_live(frame, self.ifindex, count, batch));
        done.unwrap_or_else(|e| panic!("{}: live frames: {e}", self.ns.name()));
    }
}
