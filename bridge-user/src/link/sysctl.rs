//! IPv6 on one interface: `/proc/sys/net/ipv6/conf/NAME/disable_ipv6`.
//!
//! `/proc/sys/net` shows the network namespace of the calling thread (`net_ctl_header_lookup`), wherever and
//! whenever it was mounted. It goes by the name of an interface alone, not by its alternative names.

use std::fs;
use std::io::{self, ErrorKind};

use super::{Error, InterfaceName, Reason, Result};

/// Whether IPv6 is disabled on an interface. None where the interface has no IPv6 at all: it is compiled out,
/// the MTU is below 1280 bytes, or there is no such interface.
pub fn ipv6_disabled(name: &InterfaceName) -> Result<Option<bool>> {
    let failed = |reason: Reason| Error::ReadIpv6 { name: name.clone(), reason };
    match fs::read_to_string(path(name)) {
        Ok(text) => match text.trim() {
            "0" => Ok(Some(false)),
            "1" => Ok(Some(true)),
            _ => Err(failed(Reason::Answer("disable_ipv6 is neither 0 nor 1"))),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error.into())),
    }
}

/// Disables or enables IPv6 on an interface. Disabling removes its IPv6 addresses for good.
pub fn set_ipv6_disabled(name: &InterfaceName, disabled: bool) -> Result<()> {
    // Only a file that exists is written, never made.
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).open(path(name))?;
        io::Write::write_all(&mut file, if disabled { b"1" } else { b"0" })
    };
    write().map_err(|error| Error::SetIpv6 { name: name.clone(), disabled, reason: error.into() })
}

/// A name holds no '/', and is not one of those that mean every interface ("all", "default").
fn path(name: &InterfaceName) -> String {
    format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::link::testing::{in_new_namespace, index, links_with_veth, name, wait_until};

    #[test]
    fn ipv6_goes_off_and_on() {
        in_new_namespace(|| {
            let links = links_with_veth();
            let a = name("a");
            assert_eq!(ipv6_disabled(&a).unwrap(), Some(false));
            set_ipv6_disabled(&a, true).unwrap();
            assert_eq!(ipv6_disabled(&a).unwrap(), Some(true));
            assert_eq!(ipv6_disabled(&name("b")).unwrap(), Some(false));
            links.set_up(index(&links, "a")).unwrap();
            links.set_up(index(&links, "b")).unwrap();
            // Once b has its address, carrier has been noticed on both ends, and a would have one too.
            let addresses = |text: &str| links.addresses(index(&links, text)).unwrap();
            wait_until(|| addresses("b").len() == 1);
            assert_eq!(addresses("a"), []);
            set_ipv6_disabled(&a, false).unwrap();
            wait_until(|| addresses("a").len() == 1);
            set_ipv6_disabled(&a, true).unwrap();
            assert_eq!(addresses("a"), []);
        });
    }

    #[test]
    fn an_interface_without_ipv6_has_no_answer() {
        in_new_namespace(|| {
            let links = links_with_veth();
            links.set_mtu(index(&links, "a"), 1000).unwrap();
            assert_eq!(ipv6_disabled(&name("a")).unwrap(), None);
            assert_eq!(ipv6_disabled(&name("nope")).unwrap(), None);
            let error = set_ipv6_disabled(&name("a"), true).unwrap_err();
            assert_eq!(error.to_string(), "cannot disable IPv6 on a: No such file or directory");
        });
    }

    #[test]
    fn each_thread_sees_its_own_namespace() {
        let (send, receive) = mpsc::channel();
        in_new_namespace(move || {
            let _links = links_with_veth();
            set_ipv6_disabled(&name("a"), true).unwrap();
            in_new_namespace(move || {
                let _links = links_with_veth();
                send.send(ipv6_disabled(&name("a")).unwrap()).unwrap();
            });
            assert_eq!(ipv6_disabled(&name("a")).unwrap(), Some(true));
        });
        // Nothing comes where the test was skipped.
        receive.iter().for_each(|other| assert_eq!(other, Some(false)));
    }
}
