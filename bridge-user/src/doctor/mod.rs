//! What this machine and its devices can do for a bridge, in plain words.
//!
//! [`look`] asks the kernel; everything else here is a pure function of what it found.

mod device;
mod look;
mod machine;
mod others;

pub use device::{Device, device};
pub use look::{look, look_at};
pub use machine::{Machine, machine};

use serde::Serialize;

/// How a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// In the way.
    Problem,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it matters.
    pub level: Level,
    /// What it is about, in a word or two.
    pub subject: &'static str,
    /// A sentence without a full stop.
    pub text: String,
}

impl Finding {
    fn good(subject: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Good, subject, text: text.into() }
    }

    fn note(subject: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Note, subject, text: text.into() }
    }

    fn problem(subject: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Problem, subject, text: text.into() }
    }
}
