//! Frames, as they are.

use std::fmt;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{Namespace, device};

// linux/if_packet.h, which libc has only in parts.
const PACKET_AUXDATA: i32 = 8;
const PACKET_IGNORE_OUTGOING: i32 = 23;
const TP_STATUS_CSUMNOTREADY: u32 = 1 << 3;
const TP_STATUS_VLAN_VALID: u32 = 1 << 4;
const TP_STATUS_VLAN_TPID_VALID: u32 = 1 << 6;

/// `struct tpacket_auxdata`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Auxdata {
    status: u32,
    len: u32,
    snaplen: u32,
    mac: u16,
    net: u16,
    vlan_tci: u16,
    vlan_tpid: u16,
}

/// A frame that was received.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// From the Ethernet header on; a VLAN tag that the kernel carried beside the frame is back in its place.
    pub bytes: Vec<u8>,
    /// The kernel says that the checksum is still to be computed: it never left this machine unfinished, and is no error.
    pub unfinished: bool,
}

impl Frame {
    /// Its destination and source address.
    pub fn addresses(&self) -> (crate::Mac, crate::Mac) {
        let mac =
            |at: usize| crate::Mac(std::array::from_fn(|i| self.bytes.get(at + i).copied().unwrap_or(0)));
        (mac(0), mac(6))
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex: Vec<String> = self.bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
        write!(
            f,
            "{} bytes{}: {}",
            self.bytes.len(),
            if self.unfinished { ", unfinished" } else { "" },
            hex.join(" ")
        )
    }
}

/// A packet socket on one device: it sends any frame, and receives every frame that comes in.
pub struct RawPort {
    socket: OwnedFd,
    ifindex: u32,
    what: String,
}

impl RawPort {
    /// Opens `dev` of the namespace. Frames that the device sends are not received.
    #[track_caller]
    pub fn open(ns: &Namespace, dev: &str) -> RawPort {
        Self::open_protocol(ns, dev, libc::ETH_P_ALL as u16)
    }

    /// Opens `dev` for one protocol. Such a socket is handed what TC let through, as the network stack is; one for all protocols
    /// looks before TC does. The kernel has taken the outermost VLAN tag off by then.
    #[track_caller]
    pub fn open_protocol(ns: &Namespace, dev: &str, protocol: u16) -> RawPort {
        Self::try_open(ns, dev, protocol).unwrap_or_else(|e| panic!("{e:#}"))
    }

    /// The same for those who have somebody to tell. A socket of protocol 0 receives nothing.
    pub fn try_open(ns: &Namespace, dev: &str, protocol: u16) -> Result<RawPort> {
        let what = format!("{}: {dev}", ns.name());
        let opened = ns.run(|| Ok::<_, std::io::Error>((open(dev, protocol)?, device::index(dev)?)));
        let (socket, ifindex) = opened.with_context(|| format!("packet socket on {what}"))?;
        Ok(RawPort { socket, ifindex, what })
    }

    /// Has the device take in what is for others, for as long as this is open: such a wish is counted, and goes with the socket.
    pub fn promiscuous(&self) -> Result<()> {
        let wish = libc::packet_mreq {
            mr_ifindex: self.ifindex as i32,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        // SAFETY: the option reads one packet_mreq.
        let set = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_ADD_MEMBERSHIP,
                (&raw const wish).cast(),
                size_of_val(&wish) as u32,
            )
        };
        Errno::result(set).with_context(|| format!("{}: promiscuous", self.what))?;
        Ok(())
    }

    /// Sends one frame, from its Ethernet header on, without FCS.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let sent =
            nix::sys::socket::send(self.socket.as_raw_fd(), frame, nix::sys::socket::MsgFlags::empty())
                .with_context(|| format!("{}: send {} bytes", self.what, frame.len()))?;
        anyhow::ensure!(sent == frame.len(), "{}: sent {sent} of {} bytes", self.what, frame.len());
        Ok(())
    }

    /// The next frame, or none when the time is up.
    pub fn recv(&self, timeout: Duration) -> Result<Option<Frame>> {
        let end = Instant::now() + timeout;
        loop {
            match self.receive_now() {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                // What a device says once that was taken down; frames may come again.
                Err(Errno::ENETDOWN) => {}
                Err(e) => bail!("{}: receive: {e}", self.what),
                Ok(frame) => return Ok(Some(frame)),
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let wait = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            let _ = poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], wait);
        }
    }

    /// The next frame for which `wanted` holds, or none when the time is up; others are thrown away.
    pub fn recv_matching(&self, timeout: Duration, wanted: impl Fn(&Frame) -> bool) -> Result<Option<Frame>> {
        let end = Instant::now() + timeout;
        loop {
            match self.recv(end.saturating_duration_since(Instant::now()))? {
                Some(frame) if !wanted(&frame) => {}
                other => return Ok(other),
            }
        }
    }

    /// Everything that has come until now.
    pub fn drain(&self) -> Result<Vec<Frame>> {
        self.collect(Duration::ZERO)
    }

    /// Everything that comes until nothing has come for `quiet`.
    pub fn collect(&self, quiet: Duration) -> Result<Vec<Frame>> {
        std::iter::from_fn(|| self.recv(quiet).transpose()).collect()
    }

    fn receive_now(&self) -> Result<Frame, Errno> {
        let mut bytes = vec![0; 22 + 65536];
        let mut control = [0u64; 16];
        let mut part = IoSliceMut::new(&mut bytes);
        // SAFETY: msghdr is plain data for which all zeroes is a value.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = std::ptr::from_mut(&mut part).cast();
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        // SAFETY: the header points to one buffer (IoSliceMut is an iovec) and to the control space, both alive and of the lengths given.
        let length = Errno::result(unsafe {
            libc::recvmsg(self.socket.as_raw_fd(), &mut message, libc::MSG_DONTWAIT)
        })?;
        let mut auxdata = Auxdata::default();
        // SAFETY: the kernel filled the control space, and the macros stay within msg_controllen.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&message);
            if !header.is_null()
                && ((*header).cmsg_level, (*header).cmsg_type) == (libc::SOL_PACKET, PACKET_AUXDATA)
            {
                auxdata = libc::CMSG_DATA(header).cast::<Auxdata>().read_unaligned();
            }
        }
        bytes.truncate(length as usize);
        if auxdata.status & TP_STATUS_VLAN_VALID != 0 && bytes.len() >= 12 {
            let tpid =
                if auxdata.status & TP_STATUS_VLAN_TPID_VALID != 0 { auxdata.vlan_tpid } else { 0x8100 };
            let tag = [tpid.to_be_bytes(), auxdata.vlan_tci.to_be_bytes()].concat();
            bytes.splice(12..12, tag);
        }
        Ok(Frame { bytes, unfinished: auxdata.status & TP_STATUS_CSUMNOTREADY != 0 })
    }
}

fn open(dev: &str, protocol: u16) -> std::io::Result<OwnedFd> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt};
    // Protocol 0 receives nothing; bind says which device and that it is all protocols, so no other device's frame slips in.
    let fd = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::RcvBufForce, &(32 << 20))?;
    for option in [PACKET_AUXDATA, PACKET_IGNORE_OUTGOING] {
        let on: i32 = 1;
        // SAFETY: both options read one int.
        let set = unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::SOL_PACKET,
                option,
                (&raw const on).cast(),
                size_of::<i32>() as u32,
            )
        };
        Errno::result(set)?;
    }
    // SAFETY: sockaddr_ll is plain data for which all zeroes is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = device::index(dev)? as i32;
    // SAFETY: bind reads one sockaddr_ll.
    let bound =
        unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as u32) };
    Errno::result(bound)?;
    Ok(fd)
}
