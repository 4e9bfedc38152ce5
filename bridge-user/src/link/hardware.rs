//! What drives an interface, and how many queues it uses: ethtool again, but only to look.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::ioctl::{ethtool, text};
use super::{Error, InterfaceName, Reason, Result};

// <linux/ethtool.h>
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
/// Words of `struct ethtool_drvinfo` (196 bytes): command; driver, version, firmware, bus, each 32 bytes; …
const DRVINFO_WORDS: usize = 49;
/// Words of `struct ethtool_channels`: command; the most of rx, tx, other, combined; the present ones.
const CHANNELS_WORDS: usize = 9;

/// The driver of an interface. Parts that it does not tell are empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driver {
    /// Its name, such as `virtio_net`, `ixgbe`, `veth` or `tun`.
    pub name: String,
    /// Its version, by default the kernel's.
    pub version: String,
    /// Where the device sits, such as `0000:00:03.0`.
    pub bus: String,
}

/// How many channels (interrupts with their queues) an interface uses, and could use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channels {
    /// Channels that receive only.
    pub rx: u32,
    /// Channels that send only.
    pub tx: u32,
    /// Channels that do both.
    pub combined: u32,
    /// The most channels that receive only.
    pub max_rx: u32,
    /// The most channels that send only.
    pub max_tx: u32,
    /// The most channels that do both.
    pub max_combined: u32,
}

/// What drives an interface; none where the device does not say (`lo`, …).
pub fn driver(name: &InterfaceName) -> Result<Option<Driver>> {
    let mut info = [0; DRVINFO_WORDS];
    info[0] = ETHTOOL_GDRVINFO;
    let answered = if_supported(ethtool(name, &mut info));
    let answered = answered.map_err(|reason| Error::Driver { name: name.clone(), reason })?;
    let field = |number: usize| text(&info[1 + 8 * number..][..8]);
    Ok(answered.map(|_| Driver { name: field(0), version: field(1), bus: field(3) }))
}

/// How many channels an interface uses; none where the device has no such notion.
pub fn channels(name: &InterfaceName) -> Result<Option<Channels>> {
    let mut info = [0; CHANNELS_WORDS];
    info[0] = ETHTOOL_GCHANNELS;
    let answered = if_supported(ethtool(name, &mut info));
    let answered = answered.map_err(|reason| Error::Channels { name: name.clone(), reason })?;
    let [_, max_rx, max_tx, _, max_combined, rx, tx, _, combined] = info;
    Ok(answered.map(|_| Channels { rx, tx, combined, max_rx, max_tx, max_combined }))
}

fn if_supported(result: Result<i32, Reason>) -> Result<Option<i32>, Reason> {
    match result {
        Err(reason) if reason.errno() == Some(Errno::EOPNOTSUPP) => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::tap::{self, TapOptions};
    use crate::link::testing::{in_new_namespace, links_with_veth, name, run};

    #[test]
    fn drivers_say_who_they_are() {
        in_new_namespace(|| {
            let _links = links_with_veth();
            tap::create(&name("t"), &TapOptions::default()).unwrap();
            assert_eq!(driver(&name("a")).unwrap().unwrap().name, "veth");
            let tap = driver(&name("t")).unwrap().unwrap();
            assert_eq!((tap.name.as_str(), tap.bus.as_str()), ("tun", "tap"));
            assert_eq!(driver(&name("lo")).unwrap(), None);
            let error = driver(&name("nope")).unwrap_err();
            assert_eq!(error.to_string(), "cannot read the driver of nope: No such device");
        });
    }

    #[test]
    fn channels_are_counted() {
        in_new_namespace(|| {
            let links = links_with_veth();
            run(&["ip", "link", "add", "name", "c", "numrxqueues", "4", "numtxqueues", "2", "type", "veth"]);
            let link = links.get(&name("c")).unwrap().unwrap();
            assert_eq!((link.rx_queues, link.tx_queues), (4, 2));
            let channels_of_c = channels(&name("c")).unwrap().unwrap();
            assert_eq!((channels_of_c.max_rx, channels_of_c.max_tx), (4, 2), "{channels_of_c:?}");
            assert_eq!(channels(&name("lo")).unwrap(), None);
        });
    }
}
