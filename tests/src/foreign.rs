//! Somebody else's XDP program.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use nix::errno::Errno;

use crate::Namespace;

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
/// `r0 = XDP_PASS; exit`.
const PASS: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];

/// An XDP program that lets everything through, on a device until this is dropped.
pub struct ForeignXdp {
    _link: OwnedFd,
}

#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_count: u32,
    insns: u64,
    license: u64,
    rest: [u64; 3],
}

#[repr(C)]
#[derive(Default)]
struct Create {
    program: u32,
    ifindex: u32,
    attach_type: u32,
    flags: u32,
}

impl ForeignXdp {
    /// Attaches it to `dev` of the namespace.
    #[track_caller]
    pub fn attach(ns: &Namespace, dev: &str) -> ForeignXdp {
        let attached = ns.run(|| Self::attach_here(dev));
        attached.unwrap_or_else(|e| panic!("{}: XDP on {dev}: {e}", ns.name()))
    }

    fn attach_here(dev: &str) -> io::Result<ForeignXdp> {
        let program = load(&PASS)?;
        let create = Create {
            program: std::os::fd::AsRawFd::as_raw_fd(&program) as u32,
            ifindex: crate::device::index(dev)?,
            attach_type: BPF_XDP,
            flags: 0,
        };
        Ok(ForeignXdp { _link: bpf(BPF_LINK_CREATE, &create)? })
    }
}

/// Loads an XDP program of these instructions.
pub fn load(instructions: &[u64]) -> io::Result<OwnedFd> {
    let load = Load {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_count: instructions.len() as u32,
        insns: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        ..Load::default()
    };
    bpf(BPF_PROG_LOAD, &load)
}

fn bpf<T>(command: libc::c_long, attribute: &T) -> io::Result<OwnedFd> {
    // SAFETY: both commands only read the attribute, of the size given, and what it points to, which is alive.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attribute), size_of::<T>() as libc::c_uint)
    };
    let fd = Errno::result(result)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
