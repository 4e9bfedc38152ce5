//! What an operator may say of a port, once for the command line, the configuration file and the control socket.

use clap::Args;
use serde::{Deserialize, Serialize};

/// Calls a macro with all options: documentation, name and type of each.
macro_rules! with_port_options {
    ($callback:ident { $($own:tt)* }) => { $callback! { { $($own)* }
        /// Learn the sources of its frames; on unless said otherwise
        #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
        learning: $crate::policy::Switch,
        /// Unicasts to nobody known leave here; on unless said otherwise
        #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
        flood: $crate::policy::Switch,
        /// Multicasts leave here; on unless said otherwise
        #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
        mcast_flood: $crate::policy::Switch,
        /// Broadcasts leave here; on unless said otherwise
        #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
        bcast_flood: $crate::policy::Switch,
        /// Whether a multicast router is here: 0 for never, 1 for while one is heard, 2 for always; 0 on TAPs unless said otherwise
        #[arg(long, value_name = "0|1|2")]
        mcast_router: $crate::policy::McastRouter,
        /// A group that a host leaves is forgotten at once: for ports with one host behind them
        #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
        mcast_fast_leave: $crate::policy::Switch,
        /// The most groups, and sources of groups, that are followed here; 256 on guests' ports unless said otherwise
        #[arg(long, value_name = "N")]
        mcast_max_groups: $crate::policy::MaxGroups,
        /// Frames may leave where they came in
        #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
        hairpin: $crate::policy::Switch,
        /// Nothing passes between this port and other isolated ones
        #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
        isolated: $crate::policy::Switch,
        /// Answer requests for neighbours that are here, and send none here for neighbours that are known
        #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
        neigh_suppress: $crate::policy::Switch,
        /// Only stations that the FDB has here may send
        #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
        locked: $crate::policy::Switch,
        /// The most stations that are learned here, or off; 256 on TAPs unless said otherwise
        #[arg(long, value_name = "N")]
        max_macs: $crate::policy::MaxMacs,
        /// Only these source MAC addresses may be used, or off
        #[arg(long, value_name = "MAC", num_args = 1.., value_delimiter = ',')]
        mac: Vec<$crate::policy::AllowedMac>,
        /// Only these source IP addresses may be used, in ARP and neighbour discovery too, or off
        #[arg(long, value_name = "ADDR", num_args = 1.., value_delimiter = ',')]
        ip: Vec<$crate::policy::AllowedIp>,
        /// Drop what only a DHCP server sends
        #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
        no_dhcp_server: $crate::policy::Switch,
        /// Drop IPv6 router advertisements
        #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
        no_ra: $crate::policy::Switch,
        /// What a bridge protocol data unit does beside being dropped: drop for nothing, shut to stop the port
        #[arg(long, value_name = "drop|shut")]
        bpdu_guard: $crate::policy::BpduGuard,
        /// How many floods the port may start a second, as in broadcast=1000pps,multicast=10kpps,unknown=off, or off
        #[arg(long, value_name = "LIMITS")]
        storm: $crate::policy::Storm,
        /// The most that the port may send, and the most that it may be sent, as in 500mbit,burst=256k, or off
        #[arg(long, value_name = "RATE")]
        rate: $crate::policy::Limit,
        /// The most that the port may send
        #[arg(long, value_name = "RATE")]
        rate_in: $crate::policy::Limit,
        /// The most that the port may be sent
        #[arg(long, value_name = "RATE")]
        rate_out: $crate::policy::Limit,
    } };
}
pub(crate) use with_port_options;

macro_rules! define {
    ({} $($(#[$meta:meta])* $field:ident: $kind:ty,)*) => {
        /// What an operator says of a port. What is `None` stays as it is.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub struct PortOptions {
            $($(#[$meta])*
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub $field: Option<$kind>,)*
        }

        impl PortOptions {
            /// The names of all, with underscores.
            pub const NAMES: &[&str] = &[$(stringify!($field),)*];

            /// What is said here, and where nothing is said, what is said there.
            pub fn or(self, other: Self) -> Self {
                Self { $($field: self.$field.or(other.$field),)* }
            }

            /// The names of those that are said.
            pub fn said(&self) -> Vec<&'static str> {
                let mut names = Vec::new();
                $(if self.$field.is_some() { names.push(stringify!($field)); })*
                names
            }
        }
    };
}
with_port_options!(define {});

impl PortOptions {
    /// Nothing is said.
    pub fn is_empty(&self) -> bool {
        self.said().is_empty()
    }

    /// What holds for a TAP if nobody says otherwise: a guest is somebody else's computer.
    pub fn of_tap() -> Self {
        use super::{MaxMacs, McastRouter, Storm};
        Self {
            max_macs: Some(MaxMacs(256)),
            mcast_router: Some(McastRouter::Disabled),
            storm: Some(Storm { broadcast: Some(1_000), multicast: Some(10_000), unknown: Some(10_000) }),
            ..Self::default()
        }
    }
}
