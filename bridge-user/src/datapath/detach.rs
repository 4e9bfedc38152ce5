//! Taking a program off a device at once.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

const BPF_OBJ_GET: libc::c_long = 7;
const BPF_LINK_DETACH: libc::c_long = 34;

/// The part of `union bpf_attr` that both commands read.
#[repr(C)]
struct Attributes {
    /// The path; for a detachment, the descriptor in the first half.
    first: u64,
    rest: [u32; 2],
}

/// Detaches the link that is pinned at `path`. Removing the pin does that too, but some time later
/// (`bpf_link_put` leaves it to a worker), and until then nothing can be attached there anew.
pub fn at_once(path: &Path) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let fd = bpf(BPF_OBJ_GET, name.as_ptr() as u64)?;
    // SAFETY: the kernel has just given us this descriptor.
    let link = unsafe { OwnedFd::from_raw_fd(fd) };
    // In memory the descriptor, of four bytes, comes first.
    let [a, b, c, d] = link.as_raw_fd().to_ne_bytes();
    bpf(BPF_LINK_DETACH, u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0])).map(drop)
}

fn bpf(command: libc::c_long, first: u64) -> io::Result<RawFd> {
    let attributes = Attributes { first, rest: [0; 2] };
    // SAFETY: the kernel reads attributes of the size given, and for BPF_OBJ_GET the path, which the caller keeps.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, &raw const attributes, size_of::<Attributes>() as libc::c_uint)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as RawFd) }
}
