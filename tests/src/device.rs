//! Devices: veth pairs between namespaces, and what the lab asks of any device.

use std::ffi::c_short;
use std::io;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::os::fd::AsRawFd;

use crate::{Mac, Namespace};

/// Which offloads the devices of a segment have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Offloads {
    /// What the kernel gives: unfinished checksums, and segments of 64 KiB.
    #[default]
    Default,
    /// None, so that every frame on the segment is whole and fits the MTU.
    Off,
}

/// A veth pair in the making: `Veth::between(&a, "eth0", &b, "vm1").mtu(9000).create()`.
///
/// The first end is a station's, the second the switch's. The station's end gets GRO, because a frame that XDP redirects into
/// the other end is lost without a trace unless this end runs NAPI; and it loses tx-vlan-offload, because XDP at the other
/// end does not see a tag that travels beside the frame.
pub struct Veth<'a> {
    station: (&'a Namespace, &'a str),
    switch: (&'a Namespace, &'a str),
    mtu: u32,
    mac: Option<Mac>,
    switch_mac: Option<Mac>,
    offloads: Offloads,
    station_features: bool,
}

impl<'a> Veth<'a> {
    /// A pair with one end in each namespace. The first is the station's.
    pub fn between(a: &'a Namespace, a_dev: &'a str, b: &'a Namespace, b_dev: &'a str) -> Self {
        Veth {
            station: (a, a_dev),
            switch: (b, b_dev),
            mtu: 1500,
            mac: None,
            switch_mac: None,
            offloads: Offloads::Default,
            station_features: true,
        }
    }

    /// The MTU of both ends.
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = mtu;
        self
    }

    /// The address of the station's end.
    pub fn mac(mut self, mac: Mac) -> Self {
        self.mac = Some(mac);
        self
    }

    /// The address of the switch's end.
    pub fn switch_mac(mut self, mac: Mac) -> Self {
        self.switch_mac = Some(mac);
        self
    }

    /// The offloads of both ends.
    pub fn offloads(mut self, offloads: Offloads) -> Self {
        self.offloads = offloads;
        self
    }

    /// Leaves the station's features as the kernel makes them, for a test of what happens then.
    pub fn plain_features(mut self) -> Self {
        self.station_features = false;
        self
    }

    /// Makes the pair and takes both ends up.
    #[track_caller]
    pub fn create(self) {
        let address = |mac: Option<Mac>| mac.map(|mac| format!("address {mac} ")).unwrap_or_default();
        let ((a, a_dev), (b, b_dev), mtu) = (self.station, self.switch, self.mtu);
        b.ip(&format!(
            "link add {b_dev} {}mtu {mtu} type veth peer name {a_dev} {}mtu {mtu} netns {}",
            address(self.switch_mac),
            address(self.mac),
            a.path().display()
        ));
        let mut station = String::new();
        if self.offloads == Offloads::Off {
            ethtool(b, b_dev, OFF);
            station += OFF;
        }
        if self.station_features {
            station += " gro on tx-vlan-offload off";
        }
        if !station.is_empty() {
            ethtool(a, a_dev, &station);
        }
        for (ns, dev) in [self.station, self.switch] {
            ns.run(|| set_up(dev)).unwrap_or_else(|e| panic!("{}: {dev} up: {e}", ns.name()));
        }
    }
}

/// The features whose absence means: what leaves is finished and fits the MTU.
pub(crate) const OFF: &str = "tx off sg off tso off gso off";

/// A veth pair with the lab's defaults; see [`Veth`].
#[track_caller]
pub fn veth(a: &Namespace, a_dev: &str, b: &Namespace, b_dev: &str) {
    Veth::between(a, a_dev, b, b_dev).create();
}

/// `ethtool -K dev`, as in `ethtool(&ns, "eth0", "gro on tso off")`.
#[track_caller]
pub fn ethtool(ns: &Namespace, dev: &str, features: &str) {
    ns.output(&format!("ethtool -K {dev} {features}"));
}

/// Whether a device of the namespace is up and has a carrier, as the kernel's network stack sees it.
pub fn is_running(ns: &Namespace, dev: &str) -> bool {
    let wanted = (libc::IFF_UP | libc::IFF_RUNNING) as c_short;
    ns.run(|| flags(dev).is_ok_and(|flags| flags & wanted == wanted))
}

/// Takes a device of the caller's namespace up.
pub(crate) fn set_up(dev: &str) -> io::Result<()> {
    let up = flags(dev)? | libc::IFF_UP as c_short;
    let mut request = request(dev)?;
    request.ifr_ifru.ifru_flags = up;
    control(libc::SIOCSIFFLAGS, &mut request)
}

/// The index of a device of the caller's namespace.
pub(crate) fn index(dev: &str) -> io::Result<u32> {
    Ok(nix::net::if_::if_nametoindex(dev)?)
}

fn flags(dev: &str) -> io::Result<c_short> {
    let mut request = request(dev)?;
    control(libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: SIOCGIFFLAGS filled this member.
    Ok(unsafe { request.ifr_ifru.ifru_flags })
}

/// An interface request that names `dev`.
pub(crate) fn request(dev: &str) -> io::Result<libc::ifreq> {
    if dev.len() >= libc::IFNAMSIZ {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{dev}: name over 15 bytes")));
    }
    // SAFETY: ifreq is plain data for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(dev.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

fn control(verb: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    let any = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: the verbs used here read and write one ifreq.
    nix::errno::Errno::result(unsafe { libc::ioctl(any.as_raw_fd(), verb, request) })?;
    Ok(())
}
