//! Planning, without doing: pure functions from what is wanted and what is there to what is to be done.

pub mod hook;
pub mod steps;
