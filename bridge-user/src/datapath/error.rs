//! What can go wrong with the kernel's half.

use std::{error::Error as StdError, io, path::PathBuf};

use super::Slot;

/// The datapath's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One variant an operation. `reason` is the kernel's own words, with aya's around them.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error("no BPF file system is mounted")]
    NoBpffs,
    #[error("cannot read {path}: {source}")]
    ReadPins { path: PathBuf, source: io::Error },
    #[error("cannot make {path}: {source}")]
    MakePins { path: PathBuf, source: io::Error },
    #[error("cannot remove {path}: {source}")]
    RemovePins { path: PathBuf, source: io::Error },
    #[error("cannot pin {path}: {reason}")]
    Pin { path: PathBuf, reason: String },
    #[error("there is no bridge {0}")]
    NoBridge(String),
    #[error("the maps of bridge {bridge} were made by another version of xbr ({reason})")]
    OtherLayout { bridge: String, reason: String },
    #[error("the BPF programs in this executable are damaged: {reason}")]
    Object { reason: String },
    #[error("cannot load the BPF programs: {reason}")]
    Load { reason: String },
    #[error("the kernel refuses program {program}: {reason}")]
    Verify { program: &'static str, reason: String },
    #[error("cannot attach to {slot} of {interface}: {reason}")]
    Attach { interface: String, slot: Slot, errno: Option<i32>, reason: String },
    #[error("cannot replace the program at {slot} of {interface}: {reason}")]
    Replace { interface: String, slot: Slot, reason: String },
    #[error("cannot detach from {slot} of port {port}: {reason}")]
    Detach { port: u16, slot: Slot, reason: String },
    #[error("cannot make the rings of a capture: {reason}")]
    CaptureRings { errno: Option<i32>, reason: String },
    #[error("cannot send a probe for loops: {reason}")]
    Probe { reason: String },
    #[error("cannot open map {map}: {reason}")]
    OpenMap { map: &'static str, reason: String },
    #[error("cannot read map {map}: {reason}")]
    ReadMap { map: &'static str, reason: String },
    #[error("cannot write map {map}: {reason}")]
    WriteMap { map: &'static str, reason: String },
}

/// An error and its causes in one line. aya's errors keep the kernel's words in their sources.
pub(super) fn words(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// The errno somewhere among an error's causes.
pub(super) fn errno(error: &(dyn StdError + 'static)) -> Option<i32> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.raw_os_error();
        }
        cause = error.source();
    }
    None
}
