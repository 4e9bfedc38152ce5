//! Which unicast addresses a device takes in beside its own.

use bridge_common::mac::Mac;

use super::{
    Error, Links, Result,
    channel::{Request, attributes, u32_at},
};

/// `struct ndmsg`: family, padding, index, state, flags, type.
const NDMSG: usize = 12;

impl Links {
    /// The unicast addresses that others have asked an interface to take in: those of macvlans on it, in whatever namespace they are, and
    /// of whoever else has called `dev_uc_add`. Its own is not among them.
    pub fn unicast_addresses(&self, index: u32) -> Result<Vec<Mac>> {
        // With the longer `struct ifinfomsg` the kernel lists one device only (`valid_fdb_dump_legacy`).
        let words = [libc::AF_BRIDGE as u32, index, 0, 0].map(u32::to_ne_bytes);
        let request = Request::new(libc::RTM_GETNEIGH, words.as_flattened()).dump();
        let rows = self.channel.list(&request, |message| entry(message.body, index));
        let mut rows = rows.map_err(|reason| Error::Addresses { interface: self.label(index), reason })?;
        rows.retain(|mac| !mac.is_group());
        Ok(rows)
    }
}

/// The address of an entry of a device's own list (`ndo_dflt_fdb_dump`).
fn entry(body: &[u8], index: u32) -> Option<Mac> {
    let own = *body.get(10)? == libc::NTF_SELF && u32_at(body, 4)? == index;
    let (_, mac) = attributes(body.get(NDMSG..)?).find(|(kind, _)| *kind == libc::NDA_LLADDR)?;
    own.then(|| mac.try_into().ok().map(Mac))?
}

#[cfg(test)]
mod tests {
    use crate::link::testing::{in_new_namespace, index, links_with_veth, run};

    #[test]
    fn a_macvlan_shows_and_groups_do_not() {
        in_new_namespace(|| {
            let links = links_with_veth();
            let a = index(&links, "a");
            run(&["ip", "link", "set", "dev", "a", "up"]);
            assert_eq!(links.unicast_addresses(a).unwrap(), []);
            run(&["ip", "link", "add", "mv", "link", "a", "address", "02:00:00:00:00:77", "type", "macvlan"]);
            // It asks for its address once it is up.
            run(&["ip", "link", "set", "dev", "mv", "up"]);
            let macs = links.unicast_addresses(a).unwrap();
            assert_eq!(macs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["02:00:00:00:00:77"]);
            assert_eq!(links.unicast_addresses(index(&links, "b")).unwrap(), []);
            run(&["ip", "link", "del", "mv"]);
            assert_eq!(links.unicast_addresses(a).unwrap(), []);
        });
    }
}
