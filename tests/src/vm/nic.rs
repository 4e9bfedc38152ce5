//! A guest's network cards, as QEMU is told of them.

use crate::Mac;

/// What QEMU's virtio-net is denied where a guest shall have no offloads at all.
const NO_OFFLOADS: &str = "csum=off,guest_csum=off,gso=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,\
    host_tso4=off,host_tso6=off,host_ecn=off,host_ufo=off,guest_uso4=off,guest_uso6=off,host_uso=off";

/// One virtio-net card.
#[derive(Clone, Debug)]
pub struct Nic {
    netdev: String,
    mac: Option<Mac>,
    queues: u32,
    tap: bool,
    vnet_hdr: bool,
    offloads: bool,
    more: String,
}

impl Nic {
    /// On a TAP of this name in the namespace that QEMU runs in.
    pub fn tap(ifname: &str) -> Nic {
        let mut nic = Nic::netdev(&format!("tap,ifname={ifname},script=no,downscript=no,vhost=off"));
        nic.tap = true;
        nic
    }

    /// On a back end in QEMU's words, as in `bridge,br=br0,helper=/usr/lib/…`, without an id.
    pub fn netdev(words: &str) -> Nic {
        Nic {
            netdev: words.into(),
            mac: None,
            queues: 1,
            tap: false,
            vnet_hdr: true,
            offloads: true,
            more: String::new(),
        }
    }

    /// Its address; QEMU chooses the same one for every guest otherwise.
    pub fn mac(mut self, mac: Mac) -> Nic {
        self.mac = Some(mac);
        self
    }

    /// With several queues, which the TAP must have been made for.
    pub fn queues(mut self, queues: u32) -> Nic {
        self.queues = queues;
        self
    }

    /// Without the virtio header between QEMU and the TAP.
    pub fn no_vnet_hdr(mut self) -> Nic {
        self.vnet_hdr = false;
        self
    }

    /// With every offload of the device off.
    pub fn no_offloads(mut self) -> Nic {
        self.offloads = false;
        self
    }

    /// With more properties of the device, as in `host_mtu=9000`.
    pub fn device(mut self, words: &str) -> Nic {
        self.more = format!("{},{words}", self.more);
        self
    }

    /// QEMU's arguments for card number `number`.
    pub(super) fn arguments(&self, number: usize) -> [String; 4] {
        let mut netdev = format!("{},id=net{number}", self.netdev);
        let mut device = format!("virtio-net-pci,netdev=net{number},id=nic{number},romfile=");
        if self.tap && !self.vnet_hdr {
            netdev.push_str(",vnet_hdr=off");
        }
        if self.queues > 1 {
            netdev.push_str(&format!(",queues={}", self.queues));
            // One vector for each direction of a queue, one for the control queue, one for changes of its configuration.
            device.push_str(&format!(",mq=on,vectors={}", 2 * self.queues + 2));
        }
        if let Some(mac) = self.mac {
            device.push_str(&format!(",mac={mac}"));
        }
        if !self.offloads {
            device.push_str(&format!(",{NO_OFFLOADS}"));
        }
        device.push_str(&self.more);
        ["-netdev".into(), netdev, "-device".into(), device]
    }
}

#[cfg(test)]
mod tests {
    use super::Nic;
    use crate::Mac;

    #[test]
    fn says_what_qemu_understands() {
        let nic = Nic::tap("vm1").queues(2).mac(Mac::numbered(7)).device("host_mtu=9000");
        let [_, netdev, _, device] = nic.arguments(0);
        assert_eq!(netdev, "tap,ifname=vm1,script=no,downscript=no,vhost=off,id=net0,queues=2");
        assert_eq!(
            device,
            format!(
                "virtio-net-pci,netdev=net0,id=nic0,romfile=,mq=on,vectors=6,mac={},host_mtu=9000",
                Mac::numbered(7)
            )
        );
        assert!(Nic::tap("a").no_vnet_hdr().arguments(1)[1].ends_with(",id=net1,vnet_hdr=off"));
        assert!(Nic::tap("a").no_offloads().arguments(1)[3].contains(",csum=off,"));
    }
}
