//! Word of changes to rules, queueing disciplines and filters, whoever makes them.

use std::io;

use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use tokio::io::unix::AsyncFd;

use super::channel::{Message, messages};
use super::rules::concerns_interfaces;
use super::socket::NetlinkSocket;
use super::{Error, Reason, Result};

/// Hears that something changed, and not what: whoever wants to know looks again.
pub struct RuleWatch {
    traffic_control: AsyncFd<NetlinkSocket>,
    /// None where the kernel has no nfnetlink.
    nftables: Option<AsyncFd<NetlinkSocket>>,
}

/// `NFNLGRP_NFTABLES`.
const NFTABLES: u32 = 7;

impl RuleWatch {
    /// Watches the network namespace of the calling thread, from now on. Needs a tokio runtime.
    pub fn open() -> Result<Self> {
        let open = || -> Result<Self, Reason> {
            let traffic_control = NetlinkSocket::for_group(SockProtocol::NetlinkRoute, libc::RTNLGRP_TC)?;
            let nftables = match NetlinkSocket::for_group(SockProtocol::NetlinkNetFilter, NFTABLES) {
                Ok(socket) => Some(register(socket)?),
                Err(Errno::EPROTONOSUPPORT) => None,
                Err(errno) => return Err(errno.into()),
            };
            Ok(Self { traffic_control: register(traffic_control)?, nftables })
        };
        open().map_err(|reason| Error::WatchRules { reason })
    }

    /// Waits for a change. Dropping it half-way loses nothing that is not told again by the next one.
    pub async fn changed(&mut self) -> Result<()> {
        let nftables = async {
            match &mut self.nftables {
                Some(socket) => heard(socket, concerns_interfaces).await,
                None => std::future::pending().await,
            }
        };
        let heard = tokio::select! {
            heard = heard(&mut self.traffic_control, |_| true) => heard,
            heard = nftables => heard,
        };
        heard.map_err(|reason| Error::WatchRules { reason })
    }
}

fn register(socket: NetlinkSocket) -> Result<AsyncFd<NetlinkSocket>, Reason> {
    // SAFETY: the socket owns its file descriptor, which nothing closes or replaces while it is in here.
    Ok(unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)?)
}

/// Empties the socket, until a message among those that were there is of interest.
async fn heard(
    socket: &mut AsyncFd<NetlinkSocket>,
    interesting: impl Fn(Message<'_>) -> bool,
) -> Result<(), Reason> {
    loop {
        let mut guard = socket.readable_mut().await?;
        let mut any = false;
        loop {
            match guard.get_inner_mut().receive() {
                // One that was cut short may have been of interest.
                Ok(datagram) => any |= messages(datagram).any(|message| message.is_none_or(&interesting)),
                Err(Errno::ENOBUFS) => any = true,
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        guard.clear_ready();
        if any {
            return Ok(());
        }
    }
}
