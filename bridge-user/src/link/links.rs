//! Asking for interfaces and changing them.

use bridge_common::mac::Mac;
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use super::channel::{Channel, Request};
use super::{Address, Error, InterfaceName, Link, LinkWatch, Reason, Result, decode, wireless};

/// A connection to the network namespace in which it was opened.
///
/// An interface is changed by its index, since its name may go to another at any time.
pub struct Links {
    pub(super) channel: Channel,
}

impl Links {
    /// Connects to the network namespace of the calling thread.
    pub fn open() -> Result<Self> {
        let channel = Channel::open(SockProtocol::NetlinkRoute).map_err(|reason| Error::Open { reason })?;
        Ok(Self { channel })
    }

    /// The interface of this name, if there is one. An alternative name finds it too (`netdev_name_node_lookup`);
    /// [`Link::name`] then differs from what was asked for.
    pub fn get(&self, name: &InterfaceName) -> Result<Option<Link>> {
        let request =
            Request::new(libc::RTM_GETLINK, &header(0, 0, 0)).text(libc::IFLA_IFNAME, name.as_str());
        self.one(&request).map_err(|reason| Error::Get { name: name.clone(), reason })
    }

    /// The interface of this index, if there is one.
    pub fn by_index(&self, index: u32) -> Result<Option<Link>> {
        // The kernel takes 0 for a request that names nothing.
        if index == 0 {
            return Ok(None);
        }
        let request = Request::new(libc::RTM_GETLINK, &header(index, 0, 0));
        self.one(&request).map_err(|reason| Error::GetByIndex { index, reason })
    }

    /// All interfaces of the namespace, in the order of their indexes.
    pub fn list(&self) -> Result<Vec<Link>> {
        let request = Request::new(libc::RTM_GETLINK, &header(0, 0, 0)).dump();
        let links = self.channel.list(&request, |message| decode::link(message.body));
        let mut links = links.map_err(|reason| Error::List { reason })?;
        links.iter_mut().for_each(wireless::mark);
        links.sort_by_key(|link| link.index);
        Ok(links)
    }

    /// Begins to tell what changes from now on. Open the watch before you list, and nothing falls in between.
    /// It follows the namespace of the calling thread and needs a tokio runtime.
    pub fn watch(&self) -> Result<LinkWatch> {
        LinkWatch::open()
    }

    /// Sets the interface up.
    pub fn set_up(&self, index: u32) -> Result<()> {
        let done = self.set_flag(index, libc::IFF_UP, true);
        done.map_err(|reason| Error::SetUp { interface: self.label(index), reason })
    }

    /// Sets the interface down.
    pub fn set_down(&self, index: u32) -> Result<()> {
        let done = self.set_flag(index, libc::IFF_UP, false);
        done.map_err(|reason| Error::SetDown { interface: self.label(index), reason })
    }

    /// Sets or clears the flag of [`Link::promiscuous`]. It is not counted: clear it only where you set it.
    pub fn set_promiscuous(&self, index: u32, on: bool) -> Result<()> {
        let done = self.set_flag(index, libc::IFF_PROMISC, on);
        done.map_err(|reason| Error::SetPromiscuous { interface: self.label(index), on, reason })
    }

    /// Sets the MTU, in bytes.
    pub fn set_mtu(&self, index: u32, mtu: u32) -> Result<()> {
        let request = Request::new(libc::RTM_SETLINK, &header(index, 0, 0));
        let done = self.act(&request.attribute(libc::IFLA_MTU, &mtu.to_ne_bytes()));
        done.map_err(|reason| Error::SetMtu { interface: self.label(index), mtu, reason })
    }

    /// Sets the MAC address.
    pub fn set_address(&self, index: u32, mac: Mac) -> Result<()> {
        let request = Request::new(libc::RTM_SETLINK, &header(index, 0, 0));
        let done = self.act(&request.attribute(libc::IFLA_ADDRESS, &mac.0));
        done.map_err(|reason| Error::SetAddress { interface: self.label(index), mac, reason })
    }

    /// Deletes a virtual interface, also one that somebody has open.
    pub fn delete(&self, index: u32) -> Result<()> {
        let done = self.act(&Request::new(libc::RTM_DELLINK, &header(index, 0, 0)));
        done.map_err(|reason| Error::Delete { interface: self.label(index), reason })
    }

    /// The IP addresses of an interface; none where the interface does not exist.
    pub fn addresses(&self, index: u32) -> Result<Vec<Address>> {
        let request = Request::new(libc::RTM_GETADDR, &[0; 8]).dump();
        let addresses = self.channel.list(&request, |message| decode::address(message, index));
        addresses.map_err(|reason| Error::Addresses { interface: self.label(index), reason })
    }

    fn set_flag(&self, index: u32, flag: i32, on: bool) -> Result<(), Reason> {
        let flag = flag as u32;
        self.act(&Request::new(libc::RTM_SETLINK, &header(index, if on { flag } else { 0 }, flag)))
    }

    pub(super) fn act(&self, request: &Request) -> Result<(), Reason> {
        self.channel.ask(request, |_message| {})
    }

    /// The answer to a question for one interface.
    fn one(&self, request: &Request) -> Result<Option<Link>, Reason> {
        let mut found = None;
        match self.channel.ask(request, |message| found = decode::link(message.body)) {
            Err(reason) if reason.errno() == Some(Errno::ENODEV) => return Ok(None),
            done => done?,
        }
        let mut link = found.ok_or(Reason::Answer("the kernel's answer describes no interface"))?;
        wireless::mark(&mut link);
        Ok(Some(link))
    }

    /// What to call an interface in an error: its name as long as it has one.
    pub(super) fn label(&self, index: u32) -> String {
        match self.by_index(index) {
            Ok(Some(link)) => link.name.to_string(),
            _ => format!("interface {index}"),
        }
    }
}

/// `struct ifinfomsg`: family, padding, hardware type, index, flags, which flags to change.
fn header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let words = [0, index, flags, change].map(u32::to_ne_bytes);
    std::array::from_fn(|at| words[at / 4][at % 4])
}

#[cfg(test)]
mod tests;
