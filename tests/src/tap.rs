//! TAP devices, opened as QEMU opens them.

use std::ffi::{c_int, c_short, c_uint};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::{Namespace, device, wait_until};

/// What a frame looks like at a TAP's file descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TapMode {
    /// Nothing but the frame: its checksum is whole and it fits the MTU.
    Plain,
    /// A `virtio_net_hdr` of 10 bytes before each frame, which may then be unfinished or 64 KiB long. QEMU's and libvirt's default.
    VnetHdr,
}

/// The length of the `virtio_net_hdr` in use here. QEMU's with merged buffers is two bytes longer; they carry nothing on a TAP.
pub(crate) const VNET_HDR_LEN: usize = 10;

/// How long a TAP may stay taken after it was closed.
const RELEASE: Duration = Duration::from_secs(1);

/// An open queue of a TAP.
pub struct Tap {
    file: File,
    mode: TapMode,
}

impl Tap {
    /// Opens TAP `dev` of the namespace, or makes it if there is none; then it goes away when this is dropped.
    ///
    /// The offloads are those that a Linux guest negotiates, if there is a header to carry them.
    pub fn open(ns: &Namespace, dev: &str, mode: TapMode) -> io::Result<Tap> {
        let flags = match mode {
            TapMode::Plain => libc::IFF_TAP | libc::IFF_NO_PI,
            TapMode::VnetHdr => libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR,
        };
        ns.run(|| {
            let mut opened = Err(io::Error::from_raw_os_error(libc::EBUSY));
            // Whoever had it before may live on for a moment after it was closed: in a child of another test's thread, between fork and exec.
            wait_until(RELEASE, || {
                opened = match Self::open_here(dev, mode, flags) {
                    // A device made for several queues takes no one who asks for a single one.
                    Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                        Self::open_here(dev, mode, flags | libc::IFF_MULTI_QUEUE)
                    }
                    other => other,
                };
                !matches!(&opened, Err(e) if e.raw_os_error() == Some(libc::EBUSY))
            });
            opened
        })
    }

    fn open_here(dev: &str, mode: TapMode, flags: c_int) -> io::Result<Tap> {
        // The device that a descriptor means is looked up in the namespace in which /dev/net/tun was opened.
        let file =
            OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
        let mut request = device::request(dev)?;
        request.ifr_ifru.ifru_flags = flags as c_short;
        // SAFETY: TUNSETIFF reads and writes one ifreq.
        Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &mut request) })?;
        Self::configured(file, mode)
    }

    /// Takes a TAP that was opened by somebody else.
    pub fn from_fd(fd: OwnedFd, mode: TapMode) -> io::Result<Tap> {
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Self::configured(fd.into(), mode)
    }

    fn configured(file: File, mode: TapMode) -> io::Result<Tap> {
        let tap = Tap { file, mode };
        if mode == TapMode::VnetHdr {
            // A persistent device remembers what its last user set.
            let length = VNET_HDR_LEN as c_int;
            // SAFETY: TUNSETVNETHDRSZ reads one int.
            Errno::result(unsafe { libc::ioctl(tap.file.as_raw_fd(), libc::TUNSETVNETHDRSZ, &length) })?;
        }
        tap.set_offloads(mode == TapMode::VnetHdr)?;
        Ok(tap)
    }

    /// Says what the reader of this queue can take: unfinished checksums and long segments, or neither.
    pub fn set_offloads(&self, on: bool) -> io::Result<()> {
        let basic = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
        if !on {
            return self.offload(0);
        }
        // UDP segmentation came with Linux 6.2.
        self.offload(basic | libc::TUN_F_USO4 | libc::TUN_F_USO6).or_else(|_| self.offload(basic))
    }

    fn offload(&self, features: c_uint) -> io::Result<()> {
        // SAFETY: TUNSETOFFLOAD takes its argument by value.
        Errno::result(unsafe {
            libc::ioctl(self.file.as_raw_fd(), libc::TUNSETOFFLOAD, features as libc::c_ulong)
        })?;
        Ok(())
    }

    /// How frames look at this descriptor.
    pub fn mode(&self) -> TapMode {
        self.mode
    }

    /// Reads one frame, with its header if the mode has one; `WouldBlock` when there is none.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }

    /// Writes one frame, with its header if the mode has one.
    pub fn write(&self, frame: &[u8]) -> io::Result<usize> {
        (&self.file).write(frame)
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
