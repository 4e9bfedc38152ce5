//! TAPs for guests.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;

use nix::errno::Errno;

use super::ioctl::request_text;
use super::{Error, InterfaceName, Links, Reason, Result};

/// How a TAP is made. Who opens it later may ask for other options, and gets them where the kernel allows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapOptions {
    /// The user who may open it without CAP_NET_ADMIN.
    pub owner: Option<u32>,
    /// Whether it has several queues, for guests with more than one. It cannot be changed later.
    pub multi_queue: bool,
    /// Whether frames cross with a `virtio_net_hdr`.
    pub vnet_hdr: bool,
}

impl TapOptions {
    fn flags(&self) -> i32 {
        let when = |wanted: bool, flag: i32| if wanted { flag } else { 0 };
        libc::IFF_TAP
            | libc::IFF_NO_PI
            | libc::IFF_TUN_EXCL
            | when(self.multi_queue, libc::IFF_MULTI_QUEUE)
            | when(self.vnet_hdr, libc::IFF_VNET_HDR)
    }
}

/// Makes a TAP that stays until it is destroyed, in the network namespace of the calling thread. It is down,
/// and stays down until somebody sets it up. An interface of that name is an error, also when it is a TAP.
pub fn create(name: &InterfaceName, options: &TapOptions) -> Result<()> {
    let tun = clone_device()?;
    let failed = |errno: Errno| match errno {
        // What IFF_TUN_EXCL says to a name that is taken (tun_set_iff).
        Errno::EBUSY => Error::NameTaken { name: name.clone() },
        errno => Error::CreateTap { name: name.clone(), reason: Reason::from(errno) },
    };
    set_interface(&tun, name.as_str(), options).map_err(failed)?;
    // If one of the next steps fails, the TAP vanishes with its file, since it is not persistent yet.
    if let Some(owner) = options.owner {
        set_number(&tun, libc::TUNSETOWNER, owner).map_err(failed)?;
    }
    set_number(&tun, libc::TUNSETPERSIST, 1).map_err(failed)
}

/// Makes a TAP that lives as long as the file that is returned, or a copy of it, is open. The kernel makes its name of the pattern,
/// such as `tap%d`, with the first number that is free. It is down, and stays down until somebody sets it up.
pub fn open_new(pattern: &str, options: &TapOptions) -> Result<(File, InterfaceName)> {
    let tun = clone_device()?;
    let failed = |reason: Reason| Error::OpenTap { pattern: pattern.into(), reason };
    let text = set_interface(&tun, pattern, options).map_err(|errno| failed(errno.into()))?;
    let name =
        text.parse().map_err(|_| failed(Reason::Answer("the kernel gave it no name that can be used")))?;
    if let Some(owner) = options.owner {
        set_number(&tun, libc::TUNSETOWNER, owner).map_err(|errno| failed(errno.into()))?;
    }
    Ok((tun, name))
}

/// The device belongs to the namespace of whoever opens this file (`tun_chr_open`).
fn clone_device() -> Result<File> {
    let tun = OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    tun.map_err(|error| Error::TunDevice { reason: error.into() })
}

/// Destroys a TAP, also one that a guest still has open. Nothing but a TAP is touched.
pub fn destroy(links: &Links, name: &InterfaceName) -> Result<()> {
    let failed = |reason: Reason| Error::DestroyTap { name: name.clone(), reason };
    let link = links.get(name)?.ok_or_else(|| failed(Errno::ENODEV.into()))?;
    if !link.is_tap() {
        return Err(Error::NotTap { name: name.clone() });
    }
    links.delete(link.index).map_err(|error| match error {
        Error::Delete { reason, .. } => failed(reason),
        other => other,
    })
}

/// TUNSETIFF. Returns the name that the device has.
fn set_interface(tun: &File, name: &str, options: &TapOptions) -> Result<String, Errno> {
    let mut request = request_text(name);
    request.ifr_ifru.ifru_flags = options.flags() as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which outlives the call.
    let result = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &mut request) };
    Errno::result(result)?;
    let bytes: Vec<u8> =
        request.ifr_name.iter().map(|byte| *byte as u8).take_while(|byte| *byte != 0).collect();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// TUNSETOWNER and TUNSETPERSIST, which take their argument by value.
fn set_number(tun: &File, command: libc::Ioctl, number: u32) -> Result<(), Errno> {
    // SAFETY: both commands take a number in place of the pointer, so the kernel touches no memory of ours.
    let result = unsafe { libc::ioctl(tun.as_raw_fd(), command, libc::c_ulong::from(number)) };
    Errno::result(result).map(drop)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::link::Tun;
    use crate::link::ioctl::request;
    use crate::link::testing::{in_new_namespace, links_with_veth, name};

    /// Opens an existing TAP as a guest would, which may change its options.
    pub fn reopen(interface: &str, options: &TapOptions) -> File {
        let tun = OpenOptions::new().read(true).write(true).open("/dev/net/tun").unwrap();
        let mut request = request(&name(interface));
        request.ifr_ifru.ifru_flags = (options.flags() & !libc::IFF_TUN_EXCL) as libc::c_short;
        // SAFETY: TUNSETIFF reads and writes one ifreq, which outlives the call.
        Errno::result(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &mut request) }).unwrap();
        tun
    }

    #[test]
    fn a_tap_is_what_was_asked_for_and_down() {
        in_new_namespace(|| {
            let links = Links::open().unwrap();
            for (number, vnet_hdr, multi_queue, owner) in [
                (0, false, false, None),
                (1, true, false, Some(0)),
                (2, false, true, Some(1000)),
                (3, true, true, None),
            ] {
                let tap = name(&format!("tap{number}"));
                create(&tap, &TapOptions { owner, multi_queue, vnet_hdr }).unwrap();
                let link = links.get(&tap).unwrap().unwrap();
                let packet_information = false;
                let expected = Tun {
                    tap: true,
                    vnet_hdr,
                    packet_information,
                    multi_queue,
                    persist: true,
                    owner,
                    group: None,
                };
                assert_eq!(link.tun, Some(expected));
                assert!(link.is_tap() && link.is_kind("tun") && !link.up && !link.carrier && !link.wireless);
                assert!(link.hardware == Link::ETHERNET && link.mtu == 1500);
            }
        });
    }

    use crate::link::Link;

    #[test]
    fn a_taken_name_is_refused() {
        in_new_namespace(|| {
            let links = links_with_veth();
            create(&name("t"), &TapOptions::default()).unwrap();
            for taken in ["a", "t", "lo"] {
                let error = create(&name(taken), &TapOptions::default()).unwrap_err();
                assert_eq!(
                    error.to_string(),
                    format!("cannot create the TAP {taken}: an interface of that name exists")
                );
            }
            assert_eq!(links.list().unwrap().len(), 4);
        });
    }

    #[test]
    fn a_new_tap_gets_the_first_free_name_and_goes_with_its_file() {
        in_new_namespace(|| {
            let links = Links::open().unwrap();
            let options = TapOptions { owner: Some(1000), vnet_hdr: true, ..TapOptions::default() };
            let (first, name0) = open_new("xu1000-%d", &options).unwrap();
            let (_second, name1) = open_new("xu1000-%d", &options).unwrap();
            assert_eq!((name0.as_str(), name1.as_str()), ("xu1000-0", "xu1000-1"));
            let link = links.get(&name0).unwrap().unwrap();
            let tun = link.tun.clone().unwrap();
            assert!(tun.tap && tun.vnet_hdr && !tun.persist && tun.owner == Some(1000), "{tun:?}");
            assert!(!link.up && !link.carrier);
            drop(first);
            assert_eq!(links.get(&name0).unwrap(), None);
            assert!(links.get(&name1).unwrap().is_some());
            let (_third, name2) = open_new("xu4294967294-%d", &options).unwrap();
            assert_eq!(name2.as_str(), "xu4294967294-0");
        });
    }

    #[test]
    fn only_taps_are_destroyed() {
        in_new_namespace(|| {
            let links = links_with_veth();
            create(&name("t"), &TapOptions::default()).unwrap();
            let _open = reopen("t", &TapOptions::default());
            destroy(&links, &name("t")).unwrap();
            assert_eq!(links.get(&name("t")).unwrap(), None);
            let sentence = |interface: &str| destroy(&links, &name(interface)).unwrap_err().to_string();
            assert_eq!(sentence("a"), "cannot destroy the TAP a: it is no TAP");
            assert_eq!(sentence("t"), "cannot destroy the TAP t: No such device");
            assert!(links.get(&name("a")).unwrap().is_some());
        });
    }

    #[test]
    fn a_tap_has_carrier_while_open() {
        in_new_namespace(|| {
            let links = Links::open().unwrap();
            create(&name("t"), &TapOptions::default()).unwrap();
            let index = links.get(&name("t")).unwrap().unwrap().index;
            links.set_up(index).unwrap();
            let carrier = || links.by_index(index).unwrap().unwrap().carrier;
            assert!(!carrier());
            let open = reopen("t", &TapOptions::default());
            assert!(carrier());
            drop(open);
            assert!(!carrier());
        });
    }
}
