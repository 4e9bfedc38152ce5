//! The ioctls that take an interface by its name.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::{InterfaceName, Reason};

/// `struct ifreq` for this name, all else zero.
pub fn request(name: &InterfaceName) -> libc::ifreq {
    request_text(name.as_str())
}

/// The same for a text that need not be a name, such as a pattern; at most 15 bytes of it are kept.
pub fn request_text(text: &str) -> libc::ifreq {
    // SAFETY: ifreq is plain old data, for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The closing zero stays.
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(text.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

/// An ethtool command in the network namespace of the calling thread. `command` begins with the command's
/// number, holds the question, and takes the answer. Returns what the ioctl returned.
pub fn ethtool(name: &InterfaceName, command: &mut [u32]) -> Result<i32, Reason> {
    // Any socket will do (sock_do_ioctl); a UNIX one is open to the most restricted service.
    let socket: OwnedFd = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut request = request(name);
    request.ifr_ifru.ifru_data = command.as_mut_ptr().cast();
    // SAFETY: SIOCETHTOOL reads an ifreq whose ifr_data points to memory that outlives the call. How much of it
    // the kernel writes is told by the command itself; every caller in this module reserves that much.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &mut request) };
    Ok(Errno::result(result)?)
}

/// The text in these words, up to its first zero.
pub fn text(words: &[u32]) -> String {
    let bytes: Vec<u8> =
        words.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
