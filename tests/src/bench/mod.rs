//! The measuring stick: subjects in turns on the same wires, and ratios of what arrives.
//!
//! Absolute figures of a shared machine mean nothing, and neither do those of two runs. So every round measures every subject, one after
//! the other, and what is reported is the median of the rounds' ratios.

mod against;
pub mod baseline;
pub mod charts;
mod load;
mod machine;
mod ovs;
pub mod pktgen;
mod programs;
mod refusal;
mod report;
mod subject;
mod works;

pub use against::Against;
pub use machine::Machine;
pub use ovs::Ovs;
pub use refusal::Refusal;
pub use report::{Better, Report, Row, number};
pub use works::{NAMES, run};

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
    /// Subjects beside xbr; all that there are if none is named.
    pub against: Vec<Against>,
}

impl Options {
    /// Whether this subject is measured. Open vSwitch is only where it can be fair; [`Ovs::missing`] says why it is not.
    fn takes(&self, subject: &subject::Subject) -> bool {
        Against::takes(&self.against, subject)
            && (*subject != subject::Subject::Ovs || Ovs::missing().is_none())
    }
}
