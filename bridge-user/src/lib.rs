//! The controller and the command line of xbr.

pub mod control;
pub mod datapath;
mod error;
pub mod link;

pub use error::{Error, Refusal, Result};
