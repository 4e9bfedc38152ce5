//! What others change about interfaces, as it happens.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use tokio::io::unix::AsyncFd;

use super::channel::{Message, messages};
use super::error::describe;
use super::socket::NetlinkSocket;
use super::{Error, InterfaceName, Link, Reason, Result, decode, wireless};

/// Something happened to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// It is new, or something about it changed: name, MAC, MTU, flags, carrier, master, a TAP's options, …
    /// The kernel also sends this when nothing that a [`Link`] holds has changed.
    Changed(Box<Link>),
    /// It was deleted, or moved to another network namespace.
    Gone {
        /// The index that it had.
        index: u32,
        /// The name that it had.
        name: InterfaceName,
    },
    /// Some events were lost or could not be read: list anew. Every later change is told again.
    Overrun,
}

/// The stream of events about all interfaces of the network namespace in which it was opened. It ends only
/// when the socket fails. Dropping a `next()` half-way loses nothing.
///
/// Not everything is told. A TAP whose options change while it is down is not (`netdev_state_change` looks for
/// IFF_UP): look again when it comes up, which is told. Nor need it be told when somebody attaches XDP through a
/// BPF link: a veth lets its features' change be heard, other devices may keep silent.
pub struct LinkWatch {
    socket: AsyncFd<NetlinkSocket>,
    events: VecDeque<LinkEvent>,
}

impl LinkWatch {
    /// Watches the network namespace of the calling thread, from now on. Needs a tokio runtime.
    pub fn open() -> Result<Self> {
        let open = || -> Result<Self, Reason> {
            let socket = NetlinkSocket::for_group(SockProtocol::NetlinkRoute, libc::RTNLGRP_LINK)?;
            // SAFETY: the socket owns its file descriptor, which nothing closes or replaces while it is in here.
            let socket = unsafe { AsyncFd::register(socket) }.map_err(std::io::Error::from)?;
            Ok(Self { socket, events: VecDeque::new() })
        };
        open().map_err(|reason| Error::Watch { reason })
    }

    /// Reads until there is an event, the socket is empty (EAGAIN) or it fails.
    fn fill(&mut self) -> Result<(), Errno> {
        while self.events.is_empty() {
            match self.socket.get_mut().receive() {
                Ok(datagram) => self.events.extend(messages(datagram).filter_map(event)),
                Err(Errno::ENOBUFS) => {
                    drain(self.socket.get_mut());
                    self.events.push_back(LinkEvent::Overrun);
                }
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

/// Throws away all that is queued. After the first loss the kernel drops further events in silence until
/// the queue is empty (`netlink_overrun`, `netlink_rcv_wake`), so only a list made after this is safe.
fn drain(socket: &mut NetlinkSocket) {
    while matches!(socket.receive(), Ok(_) | Err(Errno::ENOBUFS)) {}
}

impl Stream for LinkWatch {
    type Item = LinkEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<LinkEvent>> {
        loop {
            match self.fill() {
                Ok(()) => return Poll::Ready(self.events.pop_front()),
                Err(Errno::EAGAIN) => {}
                Err(errno) => {
                    tracing::error!("cannot watch the interfaces any longer: {}", describe(errno));
                    return Poll::Ready(None);
                }
            }
            // Empty just now: forget that it was readable, and ask to be woken.
            match self.socket.poll_read_ready(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(mut guard)) => guard.clear_ready(),
                Poll::Ready(Err(_)) => return Poll::Ready(None),
            }
        }
    }
}

/// What a message tells, if it is about an interface. One that was cut short may have told anything.
fn event(message: Option<Message<'_>>) -> Option<LinkEvent> {
    let Some(message) = message else { return Some(LinkEvent::Overrun) };
    let body = message.body;
    if !decode::is_about_link(body) {
        return None;
    }
    match message.kind {
        libc::RTM_NEWLINK => {
            let mut link = decode::link(body)?;
            wireless::mark(&mut link);
            Some(LinkEvent::Changed(Box::new(link)))
        }
        libc::RTM_DELLINK => {
            let (index, name) = decode::index_and_name(body)?;
            Some(LinkEvent::Gone { index, name })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
