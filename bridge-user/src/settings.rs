//! temporary
use crate::{
    control::protocol::{HookChoice, TapOptions},
    datapath::BridgeName,
    link::InterfaceName,
};
use std::net::SocketAddr;

/// s
#[derive(Clone, Debug)]
pub struct PortSettings {
    /// .
    pub ifname: InterfaceName,
    /// .
    pub hook: HookChoice,
    /// .
    pub tap: Option<TapOptions>,
}

/// lab
#[derive(Clone, Debug, Default)]
#[cfg(feature = "lab")]
pub struct Lab {
    /// .
    pub clock: u64,
    /// .
    pub no_guard: bool,
    /// .
    pub other_tag: bool,
    /// .
    pub fail_step: Option<u32>,
}

/// s
#[derive(Clone, Debug)]
pub struct Settings {
    /// .
    pub bridge: BridgeName,
    /// .
    pub uplink: InterfaceName,
    /// .
    pub uplink_hook: HookChoice,
    /// .
    pub ports: Vec<PortSettings>,
    /// .
    pub ageing_time: u32,
    /// .
    pub fdb_max: u32,
    /// .
    pub metrics: Option<SocketAddr>,
    /// .
    pub keep: bool,
    /// .
    pub log: Option<String>,
    /// .
    #[cfg(feature = "lab")]
    pub lab: Lab,
}
