//! The controller and the command line of xbr.

pub mod control;
pub mod controller;
pub mod datapath;
mod error;
pub mod link;
pub mod plan;
pub mod settings;

pub use error::{Error, Refusal, Result};
