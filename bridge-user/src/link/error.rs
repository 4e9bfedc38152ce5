//! What can go wrong, one variant an operation.

use std::fmt;
use std::io;

use nix::errno::Errno;

use super::InterfaceName;
use bridge_common::mac::Mac;

/// The result of a verb of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the kernel did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The kernel said no.
    Kernel {
        /// The error number.
        errno: Errno,
        /// What the kernel added in words, where it did (netlink's extended acknowledgement).
        words: Option<String>,
    },
    /// The kernel gave an answer that could not be read.
    Answer(&'static str),
}

impl Reason {
    /// The kernel's error number, where there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Kernel { errno, .. } => Some(*errno),
            Self::Answer(_) => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel { errno, words: Some(words) } => write!(formatter, "{words} ({})", describe(*errno)),
            Self::Kernel { errno, words: None } => formatter.write_str(&describe(*errno)),
            Self::Answer(what) => formatter.write_str(what),
        }
    }
}

impl std::error::Error for Reason {}

/// The words of `strerror`, which other tools use too: nix has its own, and std adds the number.
pub(super) fn describe(errno: Errno) -> String {
    let text = io::Error::from(errno).to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_string()
}

impl From<Errno> for Reason {
    fn from(errno: Errno) -> Self {
        Self::Kernel { errno, words: None }
    }
}

impl From<io::Error> for Reason {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Errno::from_raw(number).into(),
            None => Self::Answer("the answer could not be read as text"),
        }
    }
}

/// An operation on an interface that failed, with the interface and the kernel's own words.
///
/// Where an operation names its interface by index, `interface` is the name that the index has now, or
/// `interface 7` when there is none any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the sentence of each variant says it, and the fields are what it names
pub enum Error {
    #[error("cannot open a netlink socket: {reason}")]
    Open { reason: Reason },
    #[error("cannot look up the interface {name}: {reason}")]
    Get { name: InterfaceName, reason: Reason },
    #[error("cannot look up interface {index}: {reason}")]
    GetByIndex { index: u32, reason: Reason },
    #[error("cannot list the interfaces: {reason}")]
    List { reason: Reason },
    #[error("cannot watch the interfaces: {reason}")]
    Watch { reason: Reason },

    #[error("cannot set {interface} up: {reason}")]
    SetUp { interface: String, reason: Reason },
    #[error("cannot set {interface} down: {reason}")]
    SetDown { interface: String, reason: Reason },
    #[error("cannot turn promiscuous mode of {interface} {}: {reason}", on_off(*on))]
    SetPromiscuous { interface: String, on: bool, reason: Reason },
    #[error("cannot set the MTU of {interface} to {mtu}: {reason}")]
    SetMtu { interface: String, mtu: u32, reason: Reason },
    #[error("cannot set the MAC address of {interface} to {mac}: {reason}")]
    SetAddress { interface: String, mac: Mac, reason: Reason },
    #[error("cannot delete {interface}: {reason}")]
    Delete { interface: String, reason: Reason },
    #[error("cannot list the addresses of {interface}: {reason}")]
    Addresses { interface: String, reason: Reason },
    #[error("cannot list the queueing disciplines of {interface}: {reason}")]
    Qdiscs { interface: String, reason: Reason },
    #[error("cannot give {interface} a clsact qdisc: {reason}")]
    AddClsact { interface: String, reason: Reason },
    #[error("cannot take the clsact qdisc of {interface} away: {reason}")]
    DeleteClsact { interface: String, reason: Reason },
    #[error("cannot list the TC filters of {interface}: {reason}")]
    Filters { interface: String, reason: Reason },
    #[error("cannot make a TC filter on {interface}: {reason}")]
    AddFilter { interface: String, reason: Reason },
    #[error("cannot replace the program of the TC filter on {interface}: {reason}")]
    ReplaceFilter { interface: String, reason: Reason },
    #[error("cannot delete the TC filter on {interface}: {reason}")]
    DeleteFilter { interface: String, reason: Reason },

    #[error("cannot open a packet socket: {reason}")]
    OpenSender { reason: Reason },
    #[error("cannot send a frame out of interface {index}: {reason}")]
    Send { index: u32, reason: Reason },

    #[error("cannot read the nftables rules: {reason}")]
    Rules { reason: Reason },
    #[error("cannot read the ebtables table {table}: {reason}")]
    Ebtables { table: &'static str, reason: Reason },
    #[error("cannot watch the rules and queueing disciplines of others: {reason}")]
    WatchRules { reason: Reason },

    #[error("cannot open /dev/net/tun: {reason}")]
    TunDevice { reason: Reason },
    #[error("cannot create the TAP {name}: an interface of that name exists")]
    NameTaken { name: InterfaceName },
    #[error("cannot create the TAP {name}: {reason}")]
    CreateTap { name: InterfaceName, reason: Reason },
    #[error("cannot create a TAP {pattern}: {reason}")]
    OpenTap { pattern: String, reason: Reason },
    #[error("cannot destroy the TAP {name}: it is no TAP")]
    NotTap { name: InterfaceName },
    #[error("cannot destroy the TAP {name}: {reason}")]
    DestroyTap { name: InterfaceName, reason: Reason },

    #[error("cannot read the offloads of {name}: {reason}")]
    Features { name: InterfaceName, reason: Reason },
    #[error("{name} has no offload {feature}")]
    NoFeature { name: InterfaceName, feature: String },
    #[error("cannot turn {feature} of {name} {}: {reason}", on_off(*on))]
    SetFeature { name: InterfaceName, feature: String, on: bool, reason: Reason },
    #[error("cannot turn {feature} of {name} {}: the driver does not let it change", on_off(*on))]
    FixedFeature { name: InterfaceName, feature: String, on: bool },
    #[error("cannot read the driver of {name}: {reason}")]
    Driver { name: InterfaceName, reason: Reason },
    #[error("cannot read the channels of {name}: {reason}")]
    Channels { name: InterfaceName, reason: Reason },

    #[error("cannot read whether IPv6 is disabled on {name}: {reason}")]
    ReadIpv6 { name: InterfaceName, reason: Reason },
    #[error("cannot {} IPv6 on {name}: {reason}", if *disabled { "disable" } else { "enable" })]
    SetIpv6 { name: InterfaceName, disabled: bool, reason: Reason },
    #[error("cannot read the cookie of the network namespace: {reason}")]
    Cookie { reason: Reason },
}

impl Error {
    /// The kernel's error number, where the kernel gave one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::NameTaken { .. } => Some(Errno::EEXIST),
            Self::NotTap { .. } | Self::NoFeature { .. } | Self::FixedFeature { .. } => None,
            Self::Open { reason }
            | Self::Get { reason, .. }
            | Self::GetByIndex { reason, .. }
            | Self::List { reason }
            | Self::Watch { reason }
            | Self::SetUp { reason, .. }
            | Self::SetDown { reason, .. }
            | Self::SetPromiscuous { reason, .. }
            | Self::SetMtu { reason, .. }
            | Self::SetAddress { reason, .. }
            | Self::Delete { reason, .. }
            | Self::Addresses { reason, .. }
            | Self::Qdiscs { reason, .. }
            | Self::AddClsact { reason, .. }
            | Self::DeleteClsact { reason, .. }
            | Self::Filters { reason, .. }
            | Self::AddFilter { reason, .. }
            | Self::ReplaceFilter { reason, .. }
            | Self::DeleteFilter { reason, .. }
            | Self::OpenSender { reason }
            | Self::Send { reason, .. }
            | Self::Rules { reason }
            | Self::Ebtables { reason, .. }
            | Self::WatchRules { reason }
            | Self::TunDevice { reason }
            | Self::CreateTap { reason, .. }
            | Self::OpenTap { reason, .. }
            | Self::DestroyTap { reason, .. }
            | Self::Features { reason, .. }
            | Self::SetFeature { reason, .. }
            | Self::Driver { reason, .. }
            | Self::Channels { reason, .. }
            | Self::ReadIpv6 { reason, .. }
            | Self::SetIpv6 { reason, .. }
            | Self::Cookie { reason } => reason.errno(),
        }
    }

    /// Whether it failed because the interface does not exist (any more). Undoing may take that for done.
    pub fn is_gone(&self) -> bool {
        self.errno() == Some(Errno::ENODEV)
    }

    /// Whether it failed for want of a capability (CAP_NET_ADMIN).
    pub fn is_permission(&self) -> bool {
        matches!(self.errno(), Some(Errno::EPERM | Errno::EACCES))
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_carry_the_kernels_words() {
        let error = Error::SetUp { interface: "eth0".into(), reason: Errno::ENETDOWN.into() };
        assert_eq!(error.to_string(), "cannot set eth0 up: Network is down");
        let words = Some("mtu less than device minimum".into());
        let reason = Reason::Kernel { errno: Errno::EINVAL, words };
        let error = Error::SetMtu { interface: "eth0".into(), mtu: 7, reason };
        let sentence = "cannot set the MTU of eth0 to 7: mtu less than device minimum (Invalid argument)";
        assert_eq!(error.to_string(), sentence);
    }
}
