//! The regression gate: works whose ratios are stable, held against a baseline that is in the repository.

use std::path::{Path, PathBuf};

use super::{
    Against, Options, Refusal, Report, Row,
    baseline::{Change, changes, fallen},
    run,
};
use crate::median;

/// The share of its baseline that a ratio must keep, on a machine like the baseline's.
const KEPT: f64 = 0.85;
/// The same with another kernel or processor, where ratios are others: what is left then is that nothing has broken.
const KEPT_ELSEWHERE: f64 = 0.6;

/// Of a look at it.
pub const ROUNDS: usize = 6;

/// What a gate has found.
pub struct Held {
    /// All that was measured; a second look in place of the first.
    pub report: Report,
    /// To the baseline.
    pub changes: Vec<Change>,
    /// The share that had to be kept.
    pub kept: f64,
}

impl Held {
    /// What fell below it twice.
    pub fn fallen(&self) -> Vec<&Change> {
        fallen(&self.changes, self.kept)
    }
}

/// Where the baseline is, in the sources that this was built from.
pub fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.json")
}

/// Measures the gate's works, against the Linux bridge only.
pub fn measure(options: &Options, said: impl FnMut(&Row)) -> Report {
    run(&Options { gate: true, against: vec![Against::Bridge], ..options.clone() }, said)
}

/// What a baseline keeps of a run: for each work one round, whose ratios are the medians.
pub fn condensed(report: &Report) -> Report {
    let condense = |row: &Row| {
        let (first, figures) = &row.figures[0];
        let middle = median(figures.clone()).0;
        let to_first = |subject: &str| row.ratio(subject, first).map_or(f64::NAN, |(ratio, ..)| ratio);
        let figures =
            row.figures.iter().map(|(subject, _)| (subject.clone(), vec![middle * to_first(subject)]));
        Row { figures: figures.collect(), ..row.clone() }
    };
    Report { machine: report.machine.clone(), rows: report.rows.iter().map(condense).collect() }
}

/// Measures them, and those that have fallen once more: others may have had the machine. `said` gets every row and every such sentence.
pub fn hold(options: &Options, then: &Report, mut said: impl FnMut(&str)) -> Result<Held, Refusal> {
    let first = measure(options, |row| said(&row.to_string()));
    judge(first, then, |works| {
        for (work, share) in &works {
            said(&format!(
                "{work}: {share:.2} of the baseline; measured once more, in case that the machine was busy"
            ));
        }
        let only = works.into_iter().map(|(work, _)| work).collect();
        measure(&Options { only, ..options.clone() }, |row| said(&row.to_string()))
    })
}

fn judge(
    first: Report,
    then: &Report,
    again: impl FnOnce(Vec<(String, f64)>) -> Report,
) -> Result<Held, Refusal> {
    let machines = first.machine.as_ref().zip(then.machine.as_ref());
    let alike = machines.is_some_and(|(now, then)| now.differs(then).is_none());
    let kept = if alike { KEPT } else { KEPT_ELSEWHERE };
    let mut report = first;
    let found = changes(&report, then);
    // Or the work would be held against nothing.
    let is_found = |row: &&Row| found.iter().any(|change| change.work == row.work && change.subject == "xbr");
    if let Some(row) = report.rows.iter().find(|row| !is_found(row)) {
        return Err(Refusal::NotInBaseline(row.work.clone()));
    }
    let low: Vec<_> =
        fallen(&found, kept).iter().map(|change| (change.work.clone(), change.ratio())).collect();
    if !low.is_empty() {
        for row in again(low).rows {
            if let Some(old) = report.rows.iter_mut().find(|old| old.work == row.work) {
                *old = row;
            }
        }
    }
    let changes = changes(&report, then);
    Ok(Held { report, changes, kept })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Better, Machine};

    fn report(kernel: &str, ratios: &[(&str, f64)]) -> Report {
        let machine = Machine { kernel: kernel.into(), ..Machine::default() };
        let row = |(work, ratio): &(&str, f64)| Row {
            work: (*work).into(),
            unit: "frames/s".into(),
            better: Better::Higher,
            figures: vec![("bridge".into(), vec![1.0]), ("xbr".into(), vec![*ratio])],
        };
        Report { machine: Some(machine), rows: ratios.iter().map(row).collect() }
    }

    fn fallen(held: &Held) -> Vec<&str> {
        held.fallen().iter().map(|change| change.work.as_str()).collect()
    }

    #[test]
    fn what_is_low_is_measured_again_and_nothing_else() {
        let then = report("6.18", &[("a", 3.0), ("b", 2.0), ("c", 1.0)]);
        let first = report("6.18", &[("a", 2.9), ("b", 1.6), ("c", 0.8)]);
        let held = judge(first, &then, |works| {
            assert_eq!(works.iter().map(|(work, _)| work.as_str()).collect::<Vec<_>>(), ["b", "c"]);
            report("6.18", &[("b", 1.9), ("c", 0.84)])
        })
        .unwrap();
        assert_eq!(fallen(&held), ["c"]);
        assert_eq!(held.report.rows.len(), 3);
    }

    #[test]
    fn a_baseline_has_the_medians_of_the_ratios() {
        let mut run = report("6.18", &[("a", 3.0)]);
        run.rows[0].figures =
            vec![("bridge".into(), vec![1.0, 2.0, 4.0]), ("xbr".into(), vec![3.0, 4.0, 16.0])];
        assert_eq!(
            condensed(&run).rows[0].figures,
            [("bridge".into(), vec![2.0]), ("xbr".into(), vec![6.0])]
        );
    }

    #[test]
    fn what_keeps_up_is_measured_once() {
        let then = report("6.18", &[("a", 3.0)]);
        let held = judge(report("6.18", &[("a", 2.56)]), &then, |_| panic!("again")).unwrap();
        assert_eq!(fallen(&held), [""; 0]);
    }

    #[test]
    fn elsewhere_the_bound_is_lower() {
        let then = report("6.18", &[("a", 3.0)]);
        let held = judge(report("6.12", &[("a", 2.0)]), &then, |_| panic!("again")).unwrap();
        assert_eq!(fallen(&held), [""; 0]);
        let low = || report("6.12", &[("a", 1.7)]);
        assert_eq!(fallen(&judge(low(), &then, |_| low()).unwrap()), ["a"]);
    }

    #[test]
    fn a_work_without_a_baseline_is_refused() {
        let (now, then) = (report("6.18", &[("a", 3.0), ("b", 3.0)]), report("6.18", &[("a", 3.0)]));
        let refused = judge(now, &then, |_| panic!("again")).err().unwrap();
        assert!(refused.to_string().contains(" b"), "{refused}");
    }
}
