//! Whether an interface is a Wi-Fi device: nl80211 knows.
//!
//! `/sys/class/net/NAME/phy80211` would say it too, but sysfs shows the namespace of its mount rather than the
//! caller's; SIOCGIWNAME needs the wireless extensions, which kernels are about to lose.

use std::cell::Cell;

use nix::sys::socket::SockProtocol;

use super::channel::{Channel, Request, attributes, text, u16_at};
use super::{Link, Reason};

// <linux/genetlink.h> and <linux/nl80211.h>
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const NL80211_CMD_GET_INTERFACE: u8 = 5;
const NL80211_ATTR_IFINDEX: u16 = 3;

/// Sets [`Link::wireless`]. Only what could be a Wi-Fi device is asked about: a physical one with Ethernet frames.
pub fn mark(link: &mut Link) {
    link.wireless = link.kind.is_none() && link.hardware == Link::ETHERNET && is_wireless(link.index);
}

/// An interface that nl80211 does not know is none of its own, and so is every one where there is no nl80211.
fn is_wireless(index: u32) -> bool {
    let ask = || -> Result<bool, Reason> {
        let channel = Channel::open(SockProtocol::NetlinkGeneric)?;
        let Some(nl80211) = family(&channel, "nl80211")? else { return Ok(false) };
        let request = Request::new(nl80211, &generic(NL80211_CMD_GET_INTERFACE));
        let answered = Cell::new(false);
        channel
            .ask(&request.attribute(NL80211_ATTR_IFINDEX, &index.to_ne_bytes()), |_| answered.set(true))?;
        Ok(answered.get())
    };
    ask().unwrap_or(false)
}

/// The message type of a generic netlink family. All are listed, since asking for one by name makes the kernel
/// load a module for it (`ctrl_getfamily`), and a look must not change the machine.
fn family(channel: &Channel, wanted: &str) -> Result<Option<u16>, Reason> {
    let request = Request::new(GENL_ID_CTRL, &generic(CTRL_CMD_GETFAMILY)).dump();
    let families = channel.list(&request, |message| {
        let find = |wanted: u16| attributes(message.body.get(4..)?).find(|(kind, _)| *kind == wanted);
        let name = text(find(CTRL_ATTR_FAMILY_NAME)?.1)?;
        Some((name, u16_at(find(CTRL_ATTR_FAMILY_ID)?.1, 0)?))
    })?;
    Ok(families.into_iter().find(|(name, _)| name == wanted).map(|(_, id)| id))
}

/// `struct genlmsghdr`: command, version, padding.
fn generic(command: u8) -> [u8; 4] {
    [command, 1, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_found_by_name() {
        let channel = Channel::open(SockProtocol::NetlinkGeneric).unwrap();
        assert_eq!(family(&channel, "nlctrl").unwrap(), Some(GENL_ID_CTRL));
        assert_eq!(family(&channel, "no such family").unwrap(), None);
    }

    #[test]
    fn loopback_is_no_wifi() {
        assert!(!is_wireless(1));
    }
}
