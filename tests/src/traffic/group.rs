//! Multicast, broadcast, and single datagrams with particular marks.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt};

use super::{udp_socket, unspecified};
use crate::{Namespace, device};

/// A socket that hears what is sent to a group, or to everyone.
pub struct Listener {
    socket: UdpSocket,
}

/// Whose datagrams a member of a group wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// Everybody's.
    All,
    /// Only this source's, as by `MCAST_JOIN_SOURCE_GROUP`.
    Only(IpAddr),
    /// All but this source's, as by `MCAST_BLOCK_SOURCE`.
    But(IpAddr),
}

impl Listener {
    /// Hears every datagram to `port` that the device receives, broadcasts among them; of the family of `like`.
    pub fn open(ns: &Namespace, dev: &str, like: impl Into<IpAddr>, port: u16) -> Result<Listener> {
        let like = like.into();
        ns.run(|| Self::bind(dev, like, port)).with_context(|| ns.name().to_owned())
    }

    fn bind(dev: &str, like: IpAddr, port: u16) -> Result<Listener> {
        let address = SocketAddr::new(unspecified(like), port);
        let socket = UdpSocket::bind(address).with_context(|| format!("bind {address}"))?;
        setsockopt(&socket, sockopt::BindToDevice, &dev.into()).with_context(|| format!("bind to {dev}"))?;
        setsockopt(&socket, sockopt::RcvBufForce, &(8 << 20)).context("receive buffer")?;
        Ok(Listener { socket })
    }

    /// Becomes a member of `group` on the device, for which the kernel sends an IGMP or MLD report, and hears `port`.
    pub fn join(ns: &Namespace, dev: &str, group: impl Into<IpAddr>, port: u16) -> Result<Listener> {
        Self::join_in(ns, dev, group.into(), port, Sources::All)
    }

    /// Becomes a member of `group` for what one source sends.
    pub fn join_source(
        ns: &Namespace,
        dev: &str,
        group: IpAddr,
        source: IpAddr,
        port: u16,
    ) -> Result<Listener> {
        Self::join_in(ns, dev, group, port, Sources::Only(source))
    }

    /// Becomes a member of `group` for what all sources send but one.
    pub fn join_without(
        ns: &Namespace,
        dev: &str,
        group: IpAddr,
        source: IpAddr,
        port: u16,
    ) -> Result<Listener> {
        Self::join_in(ns, dev, group, port, Sources::But(source))
    }

    fn join_in(ns: &Namespace, dev: &str, group: IpAddr, port: u16, sources: Sources) -> Result<Listener> {
        ns.run(|| Self::join_here(dev, group, port, sources)).with_context(|| ns.name().to_owned())
    }

    /// The same where the calling thread is, such as in a guest.
    pub fn join_here(dev: &str, group: IpAddr, port: u16, sources: Sources) -> Result<Listener> {
        let (listener, index) = (Self::bind(dev, group, port)?, device::index(dev)?);
        let joined = match (sources, group) {
            (Sources::Only(source), _) => {
                listener.source(libc::MCAST_JOIN_SOURCE_GROUP, index, group, source)?;
                return Ok(listener);
            }
            // By the interface's index; the standard library knows addresses only, which the device may not have.
            (_, IpAddr::V4(group)) => join_v4(&listener.socket, group, index),
            (_, IpAddr::V6(group)) => listener.socket.join_multicast_v6(&group, index),
        };
        joined.with_context(|| format!("join {group} on {dev}"))?;
        if let Sources::But(source) = sources {
            listener.source(libc::MCAST_BLOCK_SOURCE, index, group, source)?;
        }
        Ok(listener)
    }

    fn source(&self, option: i32, index: u32, group: IpAddr, source: IpAddr) -> Result<()> {
        // SAFETY: plain data, for which all zeroes is a value.
        let mut request: GroupSource = unsafe { std::mem::zeroed() };
        request.interface = index;
        (request.group, request.source) = (storage(group), storage(source));
        let level = if group.is_ipv4() { libc::IPPROTO_IP } else { libc::IPPROTO_IPV6 };
        set_option(&self.socket, level, option, &request)
            .with_context(|| format!("source {source} of group {group}"))
    }

    /// All datagrams that come within `time`. To prove that something came **once**, one has to wait for a second one.
    pub fn heard(&self, time: Duration) -> Result<Vec<Vec<u8>>> {
        let end = Instant::now() + time;
        let mut heard = Vec::new();
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.socket.set_read_timeout(Some(left))?;
            let mut buffer = vec![0; 65536];
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    buffer.truncate(length);
                    heard.push(buffer);
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(heard)
    }
}

/// `struct group_source_req`, which libc has not.
#[repr(C)]
struct GroupSource {
    interface: u32,
    group: libc::sockaddr_storage,
    source: libc::sockaddr_storage,
}

/// An address as a `struct sockaddr_storage`.
fn storage(address: IpAddr) -> libc::sockaddr_storage {
    // SAFETY: plain data, for which all zeroes is a value.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let to = (&raw mut storage).cast::<u8>();
    // The family, then a port, and for IPv6 the flow information before the address.
    let (family, at, octets) = match address {
        IpAddr::V4(v4) => (libc::AF_INET, 4, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6, 8, v6.octets().to_vec()),
    };
    storage.ss_family = family as libc::sa_family_t;
    // SAFETY: both kinds of addresses fit into the storage, which is made for them.
    unsafe { std::ptr::copy_nonoverlapping(octets.as_ptr(), to.add(at), octets.len()) };
    storage
}

fn join_v4(socket: &UdpSocket, group: std::net::Ipv4Addr, index: u32) -> io::Result<()> {
    let membership = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: u32::from(group).to_be() },
        imr_address: libc::in_addr { s_addr: 0 },
        imr_ifindex: index as i32,
    };
    set_option(socket, libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, &membership)
}

fn set_option<T>(socket: &UdpSocket, level: i32, option: i32, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of `value`, a plain C struct or integer.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), length)
    };
    nix::errno::Errno::result(result)?;
    Ok(())
}

/// A datagram in the making: `Datagram::from(&ns).on("eth0").mark(0x80).send("224.0.0.251:5353", b"hello")`.
pub struct Datagram<'a> {
    ns: &'a Namespace,
    dev: Option<&'a str>,
    mark: u32,
}

impl<'a> Datagram<'a> {
    /// A datagram from this namespace.
    pub fn from(ns: &'a Namespace) -> Self {
        Datagram { ns, dev: None, mark: 0 }
    }

    /// Leaves through this device whatever the routes say; needed for groups and the limited broadcast.
    pub fn on(mut self, dev: &'a str) -> Self {
        self.dev = Some(dev);
        self
    }

    /// Carries this `SO_MARK`.
    pub fn mark(mut self, mark: u32) -> Self {
        self.mark = mark;
        self
    }

    /// Sends it; broadcast is allowed, and a group's members on the sender's own machine hear it too.
    pub fn send(self, to: &str, payload: &[u8]) -> Result<()> {
        let mut to: SocketAddr = to.parse().with_context(|| format!("{to}: no address with a port"))?;
        let socket = udp_socket(self.ns, unspecified(to.ip()), 0)?;
        socket.set_broadcast(true).or_else(|e| if to.is_ipv4() { Err(e) } else { Ok(()) })?;
        if let Some(dev) = self.dev {
            setsockopt(&socket, sockopt::BindToDevice, &dev.into())
                .with_context(|| format!("bind to {dev}"))?;
            if let SocketAddr::V6(to) = &mut to {
                let index = self.ns.run(|| device::index(dev))?;
                *to = SocketAddrV6::new(*to.ip(), to.port(), 0, index);
            }
        }
        if self.mark != 0 {
            setsockopt(&socket, sockopt::Mark, &self.mark).context("SO_MARK")?;
        }
        socket.send_to(payload, to).with_context(|| format!("{}: send to {to}", self.ns.name()))?;
        Ok(())
    }
}
