//! Somebody else's XDP program.

use crate::{
    Namespace,
    bpf::{Attached, Hook, Program},
};

/// `r0 = XDP_PASS; exit`.
const PASS: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];

/// An XDP program that lets everything through, on a device until this is dropped.
pub struct ForeignXdp {
    _attached: Attached,
}

impl ForeignXdp {
    /// Attaches it to `dev` of the namespace.
    #[track_caller]
    pub fn attach(ns: &Namespace, dev: &str) -> ForeignXdp {
        let attached = ns.run(|| Program::load(Hook::Xdp, &PASS)?.attach(dev));
        let attached = attached.unwrap_or_else(|e| panic!("{}: XDP on {dev}: {e}", ns.name()));
        ForeignXdp { _attached: attached }
    }
}
