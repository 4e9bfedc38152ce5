//! The lab: namespaces, guests and traffic, with which the tests of xbr read like sentences.
//!
//! A [`Segment`] is one Ethernet segment around a switch under test: the switch's own namespace (`host`), the
//! network beyond its uplink (`outside`), and guests behind veths or TAPs. The test starts the switch,
//! then sends traffic between any two [`Node`]s:
//!
//! ```no_run
//! use xbr_lab::{GuestKind, LinuxBridge, Segment, TapsBy, ping, tcp_transfer};
//!
//! let mut segment = Segment::builder().guests(2, GuestKind::TapVnetHdr).build();
//! let _bridge = segment.start(TapsBy::Lab, LinuxBridge::start);
//! for (a, b) in segment.pairs() {
//!     ping(&a.ns, b.v4).unwrap();
//!     tcp_transfer(&a.ns, &b.ns, b.v6, 8 << 20).unwrap();
//! }
//! ```
//!
//! Two rules run through all of it. What **prepares** a test (namespaces, devices, addresses) panics at the caller's line,
//! because a lab that is not there proves nothing. What **tests** something (traffic) returns a `Result`, because
//! a test may want the failure; and it ends within seconds, whatever the switch does.
//!
//! Nothing of a lab has a name in the file system and nothing outlives the test process, even when it is killed:
//! namespaces are held by file descriptors only, and children die with the thread that started them.

pub mod bench;
mod bpf;
mod bulk;
mod counters;
mod device;
pub mod dhcp;
mod ears;
mod film;
mod foreign;
pub mod forged;
pub mod frames;
mod guest;
mod helper;
mod kernel;
mod libvirt;
mod life;
mod linux_bridge;
mod live;
pub mod loaded;
mod mac;
mod metrics;
mod names;
mod namespace;
mod privileges;
mod process;
mod processors;
mod ratio;
mod raw;
mod relay;
mod segment;
mod segment_builder;
mod share;
mod snapshot;
mod speaker;
mod tap;
mod tcx;
mod traffic;
pub mod vm;
mod wait;
mod xbr;

pub use bulk::{Bulk, bulk, serve_bulk};
pub use counters::{AllCounters, Counters, Traffic};
pub use device::{Offloads, Veth, ethtool, is_running, veth};
pub use ears::Ears;
pub use film::{Film, Shot, read as read_pcapng};
pub use foreign::ForeignXdp;
pub use guest::TapGuest;
pub use helper::{Helper, Rights, USER};
pub use kernel::has_tcx;
pub use libvirt::{Domain, Libvirt, require_libvirt};
pub use linux_bridge::LinuxBridge;
pub use live::LiveFrames;
pub use mac::Mac;
pub use metrics::Metrics;
pub use names::{Cleanup, bpffs_dir, remove_stale_bridges, socket_path, unique_name};
pub use namespace::Namespace;
pub use privileges::{require_privileges, require_program};
pub use process::Process;
pub use processors::{keep_on_processor, on_processor, processors};
pub use ratio::{Enough, Ratio, median, ratios, rounds};
pub use raw::{Frame, RawPort};
pub use relay::{Crossed, Direction};
pub use segment::{Node, Segment, TapsBy};
pub use segment_builder::{GuestKind, SegmentBuilder};
pub use share::percent;
pub use snapshot::Snapshot;
pub use speaker::{Said, Speaker};
pub use tap::{Tap, TapMode};
pub use traffic::everyone::{everyone_talks, guests_get_addresses, talk};
pub use traffic::group::{Datagram, Listener, Sources};
pub use traffic::ping::{Ping, PingReport, ping};
pub use traffic::stream::{Stream, StreamReport};
pub use traffic::tcp::tcp_transfer;
pub use traffic::udp::{udp_exchange, udp_segments};
pub use wait::{pace, patience, wait_until};
pub use xbr::Xbr;
