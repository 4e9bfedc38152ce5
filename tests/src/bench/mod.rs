//! The measuring stick: subjects in turns on the same wires, and ratios of what arrives.
//!
//! Absolute figures of a shared machine mean nothing, and neither do those of two runs. So every round measures every subject, one after
//! the other, and what is reported is the median of the rounds' ratios.

mod against;
pub mod baseline;
pub mod charts;
pub mod gate;
mod line;
mod load;
mod machine;
mod ovs;
pub mod pktgen;
mod programs;
mod refusal;
mod report;
mod stations;
mod subject;
mod taps;
mod turns;
mod wire;
mod works;

pub use against::Against;
pub use machine::Machine;
pub use ovs::Ovs;
pub use refusal::Refusal;
pub use report::{Better, Report, Row, number};
pub use works::{names, run};

/// How much is measured.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The `xbr` to run.
    pub xbr: String,
    /// The commit that it was built from, for the report.
    pub commit: Option<String>,
    /// How often each subject has its turn.
    pub rounds: usize,
    /// Only works whose name contains one of these; all of them if there is none.
    pub only: Vec<String>,
    /// Without `only`: leave out what takes long.
    pub quick: bool,
    /// The works of the regression gate, and no others; `only` has whole names then.
    pub gate: bool,
    /// Subjects beside xbr; all that there are if none is named.
    pub against: Vec<Against>,
}

impl Options {
    /// Those of a work's subjects that are measured. Open vSwitch is only where it can be fair; [`Ovs::missing`] says why it is not.
    fn chosen(&self, subjects: &[subject::Subject]) -> Vec<subject::Subject> {
        let takes = |subject: &&subject::Subject| {
            Against::takes(&self.against, subject)
                && (**subject != subject::Subject::Ovs || Ovs::missing().is_none())
        };
        subjects.iter().filter(takes).cloned().collect()
    }
}
