//! Which network namespace we are in.

use nix::sys::socket::sockopt::GetStruct;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, socket};

use super::{Error, Result};

/// Absent from libc (<asm-generic/socket.h>); since Linux 5.14.
const SO_NETNS_COOKIE: i32 = 71;

#[derive(Clone, Copy)]
struct Cookie;
nix::getsockopt_impl!(Cookie, libc::SOL_SOCKET, SO_NETNS_COOKIE, u64, GetStruct<u64>);

/// The cookie of the calling thread's network namespace: a number that no other one has until the next boot.
pub fn cookie() -> Result<u64> {
    let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
    let cookie = socket.and_then(|socket| getsockopt(&socket, Cookie));
    cookie.map_err(|errno| Error::Cookie { reason: errno.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::testing::in_new_namespace;

    #[test]
    fn each_namespace_has_a_cookie_of_its_own() {
        let outside = cookie().unwrap();
        assert_eq!(cookie().unwrap(), outside);
        in_new_namespace(move || {
            let inside = cookie().unwrap();
            assert_ne!(inside, outside);
            assert_eq!(cookie().unwrap(), inside);
        });
    }
}
