//! The measuring stick: subjects in turns on the same wires, and ratios of what arrives.
//!
//! Absolute figures of a shared machine mean nothing, and neither do those of two runs. So every round measures every subject, one after
//! the other, and what is reported is the median of the rounds' ratios.

mod load;
mod programs;
mod report;
mod stations;
mod subject;
mod taps;
mod turns;
mod wire;
mod works;

pub use report::{Better, Report, Row};
pub use works::{names, run};

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `xbr` to run.
    pub xbr: String,
    /// How often each subject has its turn.
    pub rounds: usize,
    /// Only works whose name contains one of these; all of them if there is none.
    pub only: Vec<String>,
    /// Without `only`: leave out what takes long.
    pub quick: bool,
}
