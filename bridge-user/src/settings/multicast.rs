//! What is asked for of multicast snooping.

use serde::{Deserialize, Serialize};

/// Where groups go of which nobody has said anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Unregistered {
    /// To multicast routers only.
    Routers,
    /// To every port, as without snooping.
    Flood,
}

/// What is `None` stays as it was, which in the beginning is off, off, and routers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MulticastSettings {
    /// Frames for groups go where members and routers are.
    pub snooping: Option<bool>,
    /// The bridge asks who is in groups, if nobody else does.
    pub querier: Option<bool>,
    /// Where groups go of which nobody has said anything.
    pub unregistered: Option<Unregistered>,
}
