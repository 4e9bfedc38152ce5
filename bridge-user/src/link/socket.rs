//! A netlink socket: datagrams from and to the kernel, and nobody else.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::SetBool;
use nix::sys::socket::{
    self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, setsockopt,
};

/// The largest datagram, in bytes, that the kernel sends (`netlink_dump` fits its answers to the reader's buffer).
const DATAGRAM: usize = 64 * 1024;

/// Asks for the kernel's words with an error (NETLINK_EXT_ACK).
#[derive(Clone)]
struct ExtendedAcknowledgement;
nix::setsockopt_impl!(ExtendedAcknowledgement, libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, bool, SetBool);

/// Asks not to have our own request back with an error (NETLINK_CAP_ACK).
#[derive(Clone)]
struct CappedAcknowledgement;
nix::setsockopt_impl!(CappedAcknowledgement, libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, bool, SetBool);

/// A netlink socket in the network namespace of the thread that opened it.
pub struct NetlinkSocket {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl NetlinkSocket {
    /// Opens a socket that waits for its answers.
    pub fn for_requests(protocol: SockProtocol) -> Result<Self, Errno> {
        let socket = Self::open(protocol, SockFlag::SOCK_CLOEXEC, 0)?;
        setsockopt(&socket.socket, ExtendedAcknowledgement, &true)?;
        setsockopt(&socket.socket, CappedAcknowledgement, &true)?;
        Ok(socket)
    }

    /// Opens a socket that hears a multicast group (`RTNLGRP_*`, 1 to 31) and never waits.
    pub fn for_group(protocol: SockProtocol, group: u32) -> Result<Self, Errno> {
        Self::open(protocol, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, 1 << (group - 1))
    }

    fn open(protocol: SockProtocol, flags: SockFlag, groups: u32) -> Result<Self, Errno> {
        let socket = socket::socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol)?;
        socket::bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Self { socket, buffer: vec![0; DATAGRAM] })
    }

    /// Sends a datagram to the kernel.
    pub fn send(&self, datagram: &[u8]) -> Result<(), Errno> {
        let kernel = NetlinkAddr::new(0, 0);
        socket::sendto(self.socket.as_raw_fd(), datagram, &kernel, MsgFlags::empty()).map(drop)
    }

    /// The next datagram from the kernel.
    pub fn receive(&mut self) -> Result<&[u8], Errno> {
        loop {
            match socket::recvfrom::<NetlinkAddr>(self.socket.as_raw_fd(), &mut self.buffer) {
                // Port 0 is the kernel's. Another process can send here too, if it has CAP_NET_ADMIN.
                Ok((length, Some(sender))) if sender.pid() == 0 => return Ok(&self.buffer[..length]),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl AsRawFd for NetlinkSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
