//! What a verb can end with, and the exit code that it gives.

use std::io;

use crate::{Refusal, control, datapath, link};

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bad input.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// A device said no.
    #[error("{0}")]
    Link(#[from] link::Error),
    /// The BPF half said no.
    #[error("{0}")]
    Datapath(#[from] datapath::Error),
    /// The controller could not be asked.
    #[error("{0}")]
    Control(#[from] control::client::Error),
    /// The controller said no.
    #[error("{0}")]
    Controller(String),
    /// The control socket, the metrics port or a file.
    #[error("cannot {what}: {}", words(source))]
    Io {
        /// What was tried, in words that follow "cannot".
        what: String,
        /// The kernel's words.
        source: io::Error,
    },
}

/// The kernel's words without the number that std puts behind them.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_string()
}

impl Error {
    /// 2 for bad input, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 2,
            _ => 1,
        }
    }

    /// What failed, for an I/O error.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
