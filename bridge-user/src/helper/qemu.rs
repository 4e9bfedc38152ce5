//! The socket on which QEMU waits for its TAP.

use std::{
    fs::File,
    io::{self, IoSlice},
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::socket::{ControlMessage, MsgFlags, SockType, getsockopt, sendmsg, sockopt},
};

use super::{Error, Result};

#[derive(Clone, Copy)]
struct Domain;
nix::getsockopt_impl!(Domain, libc::SOL_SOCKET, libc::SO_DOMAIN, i32, sockopt::GetStruct<i32>);

/// A connected UNIX stream socket that the caller left open for us.
pub struct Socket(OwnedFd);

impl Socket {
    /// Takes the descriptor that the command line names, if it is what it should be.
    pub fn new(fd: RawFd) -> Result<Self> {
        // SAFETY: it is looked at only, and by calls that fail for a descriptor that is not open.
        let looked_at = unsafe { BorrowedFd::borrow_raw(fd) };
        let refused = |what| Error::Socket { fd, what };
        fcntl(looked_at, FcntlArg::F_GETFD).map_err(|_| refused("is not open"))?;
        match getsockopt(&looked_at, Domain) {
            Ok(libc::AF_UNIX) => {}
            Ok(_) => return Err(refused("is no UNIX socket")),
            Err(_) => return Err(refused("is no socket")),
        }
        if getsockopt(&looked_at, sockopt::SockType) != Ok(SockType::Stream) {
            return Err(refused("is no stream socket"));
        }
        fcntl(looked_at, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(|_| refused("is not open"))?;
        // SAFETY: it is open, and nothing else in this process owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sends the TAP, with the one byte that QEMU and libvirt read along with it.
    pub fn hand_over(self, tap: File) -> Result<()> {
        let (byte, fds) = ([0], [tap.as_raw_fd()]);
        let rights = [ControlMessage::ScmRights(&fds)];
        let send = || {
            sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(&byte)], &rights, MsgFlags::MSG_NOSIGNAL, None)
        };
        let sent = loop {
            match send() {
                Err(Errno::EINTR) => {}
                other => break other,
            }
        };
        sent.map(drop).map_err(|errno| Error::HandOver(io::Error::from(errno)))
    }
}
