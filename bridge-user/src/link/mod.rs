//! Network interfaces: what they are, and the few things xbr does to them.
//!
//! This module is the only place in xbr that speaks netlink, and it holds netlink's ioctl neighbours too:
//! tun, ethtool and the IPv6 sysctl. Callers see named verbs and plain data ([`Link`]), which a pure validator
//! can judge and a test can record.
//!
//! - [`Links`] asks and changes; [`LinkWatch`] tells what others changed.
//! - [`FrameSender`] sends frames.
//! - [`rules`] and [`RuleWatch`] are about what others do to an interface's frames.
//! - [`tap`] makes TAPs, [`offload`] turns features of a device, [`hardware`] says what drives it,
//!   [`sysctl`] keeps IPv6 off a port, [`namespace`] says where we are.
//!
//! Invariant: nothing here knows of bridges, ports or BPF; a program for a TC filter is a file descriptor.
//!
//! Invariant: all of it acts in the network namespace of the calling thread. A [`Links`] or [`LinkWatch`] stays
//! in the namespace in which it was opened.
//!
//! The verbs block, and lose nothing by it: the kernel carries out a netlink request inside `sendmsg`, under
//! the RTNL lock (`netlink_rcv_skb`), so an asynchronous client waits there just as long.

mod channel;
mod decode;
mod error;
mod facts;
mod filter;
pub mod hardware;
mod ioctl;
mod links;
mod name;
pub mod namespace;
pub mod offload;
mod packet;
mod qdisc;
mod rule_watch;
pub mod rules;
mod socket;
pub mod sysctl;
pub mod tap;
#[cfg(test)]
mod testing;
mod unicast;
mod watch;
mod wireless;

pub use error::{Error, Reason, Result};
pub use facts::{Address, Link, OtherEnd, Statistics, Tun, XdpMode, XdpProgram};
pub use filter::{Direction, Filter, Place};
pub use links::Links;
pub use name::{InterfaceName, InvalidName};
pub use packet::FrameSender;
pub use qdisc::{Qdisc, default_qdisc};
pub use rule_watch::RuleWatch;
pub use watch::{LinkEvent, LinkWatch};
