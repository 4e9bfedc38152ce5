//! The controller and the command line of xbr.

pub mod capture;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod controller;
pub mod datapath;
pub mod doctor;
mod error;
pub mod helper;
pub mod libvirt;
pub mod link;
pub mod metrics;
pub mod multicast;
pub mod plan;
pub mod policy;
pub mod rates;
mod refusal;
pub mod settings;
pub mod snapshot;
pub mod vlan;

pub use error::{Error, Result};
pub use refusal::Refusal;
