//! Sending frames out of an interface, as the host does.

use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

use super::{Error, Result};

/// A packet socket that only sends.
pub struct FrameSender {
    socket: OwnedFd,
}

impl FrameSender {
    /// Opens one in the network namespace of the calling thread.
    pub fn open() -> Result<Self> {
        // Without a protocol it hears nothing.
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None);
        Ok(Self { socket: socket.map_err(|errno| Error::OpenSender { reason: errno.into() })? })
    }

    /// Sends a frame, L2 header included, past TC egress: `PACKET_QDISC_BYPASS` would leave that out.
    pub fn send(&self, interface: u32, frame: &[u8]) -> Result<()> {
        // SAFETY: plain old data, for which all zeroes is a valid value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = interface as i32;
        // SAFETY: the kernel reads the frame and an address of the size that we say.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                libc::MSG_DONTWAIT,
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        let outcome = Errno::result(sent).map(drop);
        outcome.map_err(|errno| Error::Send { index: interface, reason: errno.into() })
    }
}
